//! The `tidegate` command: arguments in, rendered answers and diagnostics out.
fn main() {}
