//! Where text leaves the process: results on standard output, everything else on standard error.

use std::io::{self, IsTerminal, Write};

use clap::ColorChoice;

/// Writes a result.
///
/// # Errors
/// Among others `BrokenPipe`, when the reader has seen enough; [`main`](crate) ends quietly then.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes what is no result. A closed standard error is nobody's loss.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether to colour what goes to `stream`.
pub(crate) fn colored(choice: ColorChoice, stream: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            stream.is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

/// Text of others for a terminal: control characters, which could move the cursor or worse, stand escaped.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_reach_a_terminal() {
        assert_eq!(printable("tür \u{1b}[2J\n\u{9b}"), "tür \\u{1b}[2J\\n\\u{9b}");
    }
}
