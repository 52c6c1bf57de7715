//! `tidegate top`: all flows of a running instance, again and again.

mod view;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::widgets::TableState;
use view::{Answer, Look, Screen};

use crate::api::Api;
use crate::args::{Form, Global, TopArgs};
use crate::out::{colored, print};

const DATAFLOWS: &str = "/api/v1/dataflows";
const BROKER: &str = "/api/v1/broker";
/// However often one wants to look, the instance has other things to do.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// How long a key may wait before it is seen to.
const KEY_WAIT_MAX: Duration = Duration::from_millis(50);

pub(crate) fn top(args: &TopArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let api = Api::new(global)?;
    if global.output == Form::Json {
        let answer = api.get(DATAFLOWS)?;
        print(&format!("{}\n", answer.trim_end()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let first = look(&api)?;
    if args.once || !io::stdout().is_terminal() {
        thread::sleep(args.interval.saturating_sub(first.at.elapsed()));
        let now = look(&api)?;
        print(&view::plain(&view::rows(&now, Some(&first)), now.broker.as_ref()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let screen = Screen {
        api: global.api.clone(),
        rows: view::rows(&first, None),
        broker: first.broker.clone(),
        trouble: None,
        table: TableState::default().with_selected(0),
        colored: colored(global.color, &io::stdout()),
    };
    let looks = watch(api, args.interval);
    ratatui::run(|terminal| show(terminal, screen, first, &looks))?;
    Ok(ExitCode::SUCCESS)
}

fn look(api: &Api) -> anyhow::Result<Look> {
    let answer = api.get(DATAFLOWS)?;
    let at = Instant::now();
    let Answer { dataflows } =
        serde_json::from_str(&answer).context("the answer is no list of data flows")?;
    // there is none where another process is the local broker
    let broker = api.get(BROKER).ok().and_then(|answer| serde_json::from_str(&answer).ok());
    Ok(Look { at, dataflows, broker })
}

/// Looks every `interval` in a thread of its own, so that an instance that hangs does not stop the keys.
fn watch(api: Api, interval: Duration) -> Receiver<anyhow::Result<Look>> {
    let (sender, looks): (SyncSender<_>, _) = mpsc::sync_channel(1);
    thread::spawn(move || {
        loop {
            thread::sleep(interval.max(INTERVAL_MIN));
            if sender.send(look(&api)).is_err() {
                return;
            }
        }
    });
    looks
}

fn show(
    terminal: &mut ratatui::DefaultTerminal,
    mut screen: Screen,
    mut last: Look,
    looks: &Receiver<anyhow::Result<Look>>,
) -> io::Result<()> {
    loop {
        terminal.draw(|frame| screen.draw(frame))?;
        // until there is something new to draw
        loop {
            if event::poll(KEY_WAIT_MAX)? {
                match event::read()? {
                    Event::Key(key) if is_quit(key) => return Ok(()),
                    Event::Key(KeyEvent { code: KeyCode::Down | KeyCode::Char('j'), .. }) => {
                        screen.table.select_next();
                    }
                    Event::Key(KeyEvent { code: KeyCode::Up | KeyCode::Char('k'), .. }) => {
                        screen.table.select_previous();
                    }
                    _ => {}
                }
                break;
            }
            match looks.recv_timeout(Duration::ZERO) {
                Ok(Ok(look)) => {
                    screen.rows = view::rows(&look, Some(&last));
                    screen.broker = look.broker.clone();
                    screen.trouble = None;
                    last = look;
                    break;
                }
                // the last rows stay; how old they are is said
                Ok(Err(error)) => {
                    screen.trouble = Some(format!("as of {} s ago: {error:#}", last.at.elapsed().as_secs()));
                    break;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }
}

fn is_quit(key: KeyEvent) -> bool {
    let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}
