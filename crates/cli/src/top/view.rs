//! What `top` shows: the rows of the table, as plain text and on a terminal.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Paragraph, Row as TableRow, Table, TableState, Wrap};
use serde::Deserialize;

use crate::out::printable;

/// What `/api/v1/dataflows` answers, as far as it is shown.
#[derive(Deserialize)]
pub(crate) struct Answer {
    pub(crate) dataflows: Vec<Dataflow>,
}

#[derive(Clone, Deserialize)]
pub(crate) struct Dataflow {
    namespace: String,
    name: String,
    state: String,
    health: Health,
    messages: Messages,
}

/// What `/api/v1/broker` answers, as far as it is shown.
#[derive(Clone, Deserialize)]
pub(crate) struct Broker {
    health: Health,
}

impl Broker {
    /// What there is to say of it, if anything is.
    fn line(&self) -> Option<String> {
        let Health { status, message } = &self.health;
        (!message.is_empty()).then(|| format!("local broker: {}: {}", printable(status), printable(message)))
    }

    fn is_well(&self) -> bool {
        self.health.status == "Available"
    }
}

#[derive(Clone, Deserialize)]
struct Health {
    status: String,
    message: String,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Messages {
    received: u64,
    delivered: u64,
    filtered: u64,
    dead_lettered: u64,
    in_flight: u64,
    retried: u64,
}

/// All flows at one moment.
pub(crate) struct Look {
    pub(crate) at: Instant,
    pub(crate) dataflows: Vec<Dataflow>,
    pub(crate) broker: Option<Broker>,
}

/// How much a flow needs somebody to look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Broken,
    Weak,
    Unsettled,
    None,
    Idle,
}

/// One flow.
pub(crate) struct Row {
    need: Need,
    /// Per second; none as long as there was only one look.
    received: Option<f64>,
    delivered: Option<f64>,
    cells: [String; COLUMNS.len()],
}

const COLUMNS: [&str; 9] =
    ["DATA FLOW", "STATE", "IN/S", "OUT/S", "IN FLIGHT", "RETRIED", "FILTERED", "DEAD", "HEALTH"];
/// The columns that hold numbers.
const NUMBERS: std::ops::Range<usize> = 2..8;
const HEALTH: usize = 8;

/// The flows of `now`, those with problems first; the rates are over the time since `before`.
pub(crate) fn rows(now: &Look, before: Option<&Look>) -> Vec<Row> {
    let seconds = before.map_or(0.0, |b| now.at.duration_since(b.at).as_secs_f64());
    let before: HashMap<_, _> = before
        .map_or(&[][..], |b| &b.dataflows)
        .iter()
        .map(|d| ((d.namespace.as_str(), d.name.as_str()), &d.messages))
        .collect();
    let namespaces: BTreeSet<_> = now.dataflows.iter().map(|d| d.namespace.as_str()).collect();
    let mut flows: Vec<_> = now.dataflows.iter().map(|d| (need(d), d)).collect();
    flows.sort_by_key(|(need, d)| (*need, d.namespace.as_str(), d.name.as_str()));
    flows
        .into_iter()
        .map(|(need, d)| {
            let before = before.get(&(d.namespace.as_str(), d.name.as_str())).filter(|_| seconds > 0.0);
            // a counter that went back belongs to an instance that started anew
            let rate = |count: fn(&Messages) -> u64| {
                before.map(|b| count(&d.messages).saturating_sub(count(b)) as f64 / seconds)
            };
            let (received, delivered) = (rate(|m| m.received), rate(|m| m.delivered));
            let per_second = |rate: Option<f64>| rate.map_or("-".into(), short);
            let count = |n: u64| short(n as f64);
            let m = &d.messages;
            let name =
                if namespaces.len() > 1 { format!("{}/{}", d.namespace, d.name) } else { d.name.clone() };
            Row {
                need,
                received,
                delivered,
                cells: [
                    printable(&name),
                    printable(&d.state),
                    per_second(received),
                    per_second(delivered),
                    count(m.in_flight),
                    count(m.retried),
                    count(m.filtered),
                    count(m.dead_lettered),
                    health(&d.health),
                ],
            }
        })
        .collect()
}

fn need(flow: &Dataflow) -> Need {
    match (flow.state.as_str(), flow.health.status.as_str()) {
        ("disabled" | "not-run", _) => Need::Idle,
        ("troubled", _) | (_, "Unavailable") => Need::Broken,
        (_, "Degraded") => Need::Weak,
        ("running", "Available") => Need::None,
        _ => Need::Unsettled,
    }
}

fn health(health: &Health) -> String {
    match (health.status.as_str(), health.message.as_str()) {
        ("Available", "") => "ok".into(),
        ("Available", message) => printable(&format!("ok: {message}")),
        (status, "") => printable(status),
        (status, message) => printable(&format!("{status}: {message}")),
    }
}

/// At most five characters, up to a million millions.
fn short(n: f64) -> String {
    let fraction = n.fract() >= 0.05;
    match n {
        _ if n < 100.0 && fraction => format!("{n:.1}"),
        _ if n < 9_999.5 => format!("{n:.0}"),
        _ if n < 999_950.0 => format!("{:.1}k", n / 1e3),
        _ if n < 999_950_000.0 => format!("{:.1}M", n / 1e6),
        _ => format!("{:.1}G", n / 1e9),
    }
}

/// One table as text, without colour.
pub(crate) fn plain(rows: &[Row], broker: Option<&Broker>) -> String {
    let broker = broker.and_then(Broker::line).map_or(String::new(), |line| line + "\n");
    if rows.is_empty() {
        return format!("There are no data flows.\n{broker}");
    }
    let header = COLUMNS.map(String::from);
    let lines = || std::iter::once(&header).chain(rows.iter().map(|r| &r.cells));
    let mut widths = [0; COLUMNS.len()];
    for (column, width) in widths.iter_mut().enumerate() {
        *width = lines().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    }
    let mut text = String::new();
    for cells in lines() {
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let _ = match column {
                HEALTH => writeln!(text, "{cell}"),
                _ if NUMBERS.contains(&column) => write!(text, "{cell:>width$}  "),
                _ => write!(text, "{cell:width$}  "),
            };
        }
    }
    text + &broker
}

/// The whole terminal.
pub(crate) struct Screen {
    pub(crate) api: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) broker: Option<Broker>,
    /// Why the rows are old.
    pub(crate) trouble: Option<String>,
    /// Which row is selected, and so which are in sight.
    pub(crate) table: TableState,
    pub(crate) colored: bool,
}

impl Screen {
    pub(crate) fn draw(&mut self, frame: &mut Frame<'_>) {
        let [title, table, selected, foot] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Min(1),
            Constraint::Length(2),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let color = |color| if self.colored { Style::new().fg(color) } else { Style::new() };
        let red = color(Color::Red);
        let of = |need| match need {
            Need::Broken => red,
            Need::Weak => color(Color::Yellow),
            Need::Unsettled => color(Color::Cyan),
            Need::Idle => color(Color::DarkGray),
            Need::None => Style::new(),
        };
        let broker = self.broker.as_ref().and_then(|broker| {
            let style = if broker.is_well() { Style::new() } else { red };
            Some(Line::styled(broker.line()?, style))
        });
        frame.render_widget(Text::from(vec![self.summary(), broker.unwrap_or_default()]), title);
        let mut widths = COLUMNS.map(|name| name.chars().count());
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let constraints = widths.iter().enumerate().map(|(column, width)| match column {
            HEALTH => Constraint::Fill(1),
            _ => Constraint::Length(u16::try_from(*width).unwrap_or(u16::MAX)),
        });
        let cell = |(column, text): (usize, String)| {
            let text = Text::from(text);
            if NUMBERS.contains(&column) { text.right_aligned() } else { text }
        };
        let header = COLUMNS.map(String::from).into_iter().enumerate().map(cell);
        let rows = self
            .rows
            .iter()
            .map(|row| TableRow::new(row.cells.iter().cloned().enumerate().map(cell)).style(of(row.need)));
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let shown = Table::new(rows, constraints)
            .header(TableRow::new(header).style(bold))
            .column_spacing(2)
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        frame.render_stateful_widget(shown, table, &mut self.table);
        // in full, as the table may have cut it off
        if let Some(row) = self.table.selected().and_then(|i| self.rows.get(i)) {
            let health = Line::styled(format!("{}: {}", row.cells[0], row.cells[HEALTH]), of(row.need));
            frame.render_widget(Paragraph::new(health).wrap(Wrap { trim: true }), selected);
        }
        match &self.trouble {
            Some(trouble) => frame.render_widget(Line::styled(printable(trouble), red), foot),
            None => frame.render_widget(Line::raw("q quit   ↑ ↓ scroll"), foot),
        }
    }

    fn summary(&self) -> Line<'_> {
        let problems = self.rows.iter().filter(|r| r.need <= Need::Weak).count();
        let sum = |rate: fn(&Row) -> Option<f64>| short(self.rows.iter().filter_map(rate).sum());
        Line::raw(format!(
            "tidegate {}   data flows: {}, with problems: {problems}   in {}/s   out {}/s",
            self.api,
            self.rows.len(),
            sum(|r| r.received),
            sum(|r| r.delivered),
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::expect;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    use super::*;

    fn flow(name: &str, state: &str, status: &str, message: &str, received: u64) -> serde_json::Value {
        json!({
            "namespace": "plant", "name": name, "state": state, "mode": "Enabled",
            "health": {"status": status, "message": message, "reasonCode": null},
            "messages": {"received": received, "delivered": received / 2, "inFlight": 3, "retried": 12_345,
                         "filtered": 0, "deadLettered": 1},
        })
    }

    fn look(at: Instant, flows: Vec<serde_json::Value>) -> Look {
        let Answer { dataflows } = serde_json::from_value(json!({ "dataflows": flows })).unwrap();
        Look { at, dataflows, broker: None }
    }

    fn two_looks() -> Vec<Row> {
        let at = Instant::now();
        let before = look(
            at,
            vec![
                flow("mill", "running", "Available", "", 100),
                flow("press", "running", "Available", "", 9000),
            ],
        );
        let filling = "the spool holds 9 messages, 1.0 MiB";
        let now = look(
            at + Duration::from_secs(2),
            vec![
                flow("archive", "disabled", "Unknown", "mode is Disabled", 0),
                flow("mill", "running", "Available", filling, 25_100),
                flow("oven", "starting", "Unknown", "", 5),
                flow(
                    "press",
                    "troubled",
                    "Unavailable",
                    "endpoint \"lake\": connection refused\u{1b}[2J",
                    9000,
                ),
                flow("robot", "running", "Degraded", "retrying", 1),
            ],
        );
        rows(&now, Some(&before))
    }

    #[test]
    fn problems_come_first_and_rates_are_per_second() {
        expect![[r#"
            DATA FLOW  STATE      IN/S  OUT/S  IN FLIGHT  RETRIED  FILTERED  DEAD  HEALTH
            press      troubled      0      0          3    12.3k         0     1  Unavailable: endpoint "lake": connection refused\u{1b}[2J
            robot      running       -      -          3    12.3k         0     1  Degraded: retrying
            oven       starting      -      -          3    12.3k         0     1  Unknown
            mill       running   12.5k   6250          3    12.3k         0     1  ok: the spool holds 9 messages, 1.0 MiB
            archive    disabled      -      -          3    12.3k         0     1  Unknown: mode is Disabled
        "#]]
        .assert_eq(&plain(&two_looks(), None));
    }

    #[test]
    fn a_restarted_instance_does_not_make_rates_negative() {
        let at = Instant::now();
        let before = look(at, vec![flow("mill", "running", "Available", "", 100)]);
        let now = look(at + Duration::from_secs(1), vec![flow("mill", "running", "Available", "", 5)]);
        assert_eq!(rows(&now, Some(&before))[0].cells[2], "0");
    }

    #[test]
    fn namespaces_show_when_there_are_several() {
        let mut other = flow("mill", "running", "Available", "", 5);
        other["namespace"] = "yard".into();
        let now = look(Instant::now(), vec![other, flow("mill", "running", "Available", "", 5)]);
        let names: Vec<_> = rows(&now, None).into_iter().map(|r| r.cells[0].clone()).collect();
        assert_eq!(names, ["plant/mill", "yard/mill"]);
    }

    #[test]
    fn no_flows_are_said_in_words() {
        assert_eq!(plain(&[], None), "There are no data flows.\n");
    }

    #[test]
    fn a_local_broker_whose_log_fills_says_so() {
        let broker = |status: &str, message: &str| -> Broker {
            serde_json::from_value(json!({ "health": { "status": status, "message": message } })).unwrap()
        };
        assert_eq!(plain(&[], Some(&broker("Available", ""))), "There are no data flows.\n");
        let text = plain(&two_looks(), Some(&broker("Degraded", "the broker's log is full")));
        assert!(text.ends_with("\nlocal broker: Degraded: the broker's log is full\n"), "{text}");
        let mut shown = Screen {
            api: "http://127.0.0.1:9464".into(),
            rows: vec![],
            broker: Some(broker("Degraded", "the broker's log is full")),
            trouble: None,
            table: TableState::default(),
            colored: true,
        };
        let text = screen(80, 8, &mut shown);
        assert!(text.contains("local broker: Degraded: the broker's log is full"), "{text}");
    }

    #[test]
    fn numbers_are_short() {
        for (n, expected) in [
            (0.0, "0"),
            (0.04, "0"),
            (0.5, "0.5"),
            (99.96, "100.0"),
            (123.4, "123"),
            (9_999.0, "9999"),
            (12_345.0, "12.3k"),
            (999_960.0, "1.0M"),
            (1.26e9, "1.3G"),
        ] {
            assert_eq!(short(n), expected);
        }
    }

    fn screen(width: u16, height: u16, screen: &mut Screen) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_terminal_shows_as_much_as_it_has_room_for() {
        let mut shown = Screen {
            api: "http://127.0.0.1:9464".into(),
            rows: two_looks(),
            broker: None,
            trouble: None,
            table: TableState::default().with_selected(0),
            colored: true,
        };
        expect![[r#"
            "tidegate http://127.0.0.1:9464   data flows: 5, with problems: 2   in 12.5k/s   out 6250/s          "
            "                                                                                                    "
            "DATA FLOW  STATE      IN/S  OUT/S  IN FLIGHT  RETRIED  FILTERED  DEAD  HEALTH                       "
            "press      troubled      0      0          3    12.3k         0     1  Unavailable: endpoint "lake":"
            "robot      running       -      -          3    12.3k         0     1  Degraded: retrying           "
            "oven       starting      -      -          3    12.3k         0     1  Unknown                      "
            "mill       running   12.5k   6250          3    12.3k         0     1  ok: the spool holds 9 message"
            "archive    disabled      -      -          3    12.3k         0     1  Unknown: mode is Disabled    "
            "press: Unavailable: endpoint "lake": connection refused\u{1b}[2J                                    "
            "                                                                                                    "
            "q quit   ↑ ↓ scroll                                                                                 "
        "#]]
        .assert_eq(&screen(100, 11, &mut shown));
        shown.trouble = Some("as of 3 s ago: connection refused".into());
        shown.table.select(Some(4));
        expect![[r#"
            "tidegate http://127.0.0.1:9464   data flows: 5, with problems: 2   in 12.5k/s   "
            "                                                                                "
            "DATA FLOW  STATE      IN/S  OUT/S  IN FLIGHT  RETRIED  FILTERED  DEAD  HEALTH   "
            "mill       running   12.5k   6250          3    12.3k         0     1  ok: the s"
            "archive    disabled      -      -          3    12.3k         0     1  Unknown: "
            "archive: Unknown: mode is Disabled                                              "
            "                                                                                "
            "as of 3 s ago: connection refused                                               "
        "#]]
        .assert_eq(&screen(80, 8, &mut shown));
    }
}
