//! `standfast status --watch`: the status as it changes, on a terminal as a live view, else a line at a time.

use super::follow::{News, follow};
use super::report::{Relationship, Report};
use super::timeline::Timeline;
use super::{fetch, partner, state_of};
use crate::admin::Server;
use crate::events::{self, Event};
use crate::exit::{Exit, Outcome};
use crate::output;
use crate::question::{Question, as_json};
use crate::screen::{Key, Screen};
use crate::words;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Row, Table, Wrap};
use standfast_node::clock;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Between two pictures, and between two marks of the heartbeat line.
const PICTURES: Duration = Duration::from_millis(200);
/// Between two lines.
const LINES: Duration = Duration::from_secs(1);
/// Lines of a relationship: frame, four of text, heartbeat line.
const PANEL: u16 = 7;
/// The title, and two lines of advice.
const HEAD: u16 = 3;
/// Events that are remembered: no terminal is higher.
const EVENTS: usize = 200;

pub(super) async fn run(question: &Question) -> Outcome {
    // A node that is not there at all is an error at once; one that goes away later is news.
    fetch(&question.server).await?;
    if question.json || !output::is_terminal() { lines(question).await } else { live(&question.server).await }
}

async fn lines(question: &Question) -> Outcome {
    let mut news = follow(question.server.clone(), LINES);
    let mut away = false;
    while let Some(news) = news.recv().await {
        let is_read = match &news {
            News::Status(report) if question.json => output::line_is_read(&as_json(report)?),
            News::Status(report) => plain(report, clock::wall().0).iter().all(|line| output::line_is_read(line)),
            News::Away(why) => {
                if !away {
                    output::error(why);
                }
                true
            }
        };
        if !is_read {
            break;
        }
        away = matches!(news, News::Away(_));
    }
    Ok(Exit::Done)
}

/// A line for each relationship, and before them what is to be done.
fn plain(report: &Report, now: i64) -> Vec<String> {
    let time = words::local(now, now);
    let todo = report.todo.iter().map(|todo| format!("{time}  TO DO  {todo}"));
    let relationships = report.relationships.iter().map(|relationship| {
        let role = relationship.role.unwrap_or("-");
        let (state, partner) = (state_of(relationship), partner(&relationship.partner).replace('\n', ", "));
        format!("{time}  {}  {state}  {role} here  epoch {}  {partner}", relationship.name, relationship.epoch.number)
    });
    todo.chain(relationships).collect()
}

async fn live(server: &Server) -> Outcome {
    let mut news = follow(server.clone(), PICTURES);
    let mut events = events::follow(server.clone());
    let mut screen = Screen::take()?;
    let mut view = View::default();
    loop {
        tokio::select! {
            key = screen.key() => if key == Key::Quit { return Ok(Exit::Done) },
            Some(news) = news.recv() => view.take(news),
            Some(event) = events.recv() => view.note(event),
        }
        screen.draw(|frame| view.draw(frame))?;
    }
}

#[derive(Default)]
struct View {
    report: Option<Report>,
    away: Option<String>,
    heartbeats: BTreeMap<String, Timeline>,
    /// The latest comes last.
    events: VecDeque<Event>,
}

impl View {
    fn take(&mut self, news: News) {
        match news {
            News::Status(report) => {
                for relationship in &report.relationships {
                    let age = relationship.partner.heartbeat_age_ms;
                    self.heartbeats.entry(relationship.name.clone()).or_default().heard(age);
                }
                self.report = Some(*report);
                self.away = None;
            }
            News::Away(why) => {
                self.heartbeats.values_mut().for_each(Timeline::nobody);
                self.away = Some(why);
            }
        }
    }

    fn note(&mut self, event: Event) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let Some(report) = &self.report else { return };
        let panels = report.relationships.iter().map(|_| Constraint::Length(PANEL));
        let table = u16::try_from(report.scopes.len()).unwrap_or(u16::MAX).saturating_add(3);
        let rows = [Constraint::Length(HEAD)].into_iter().chain(panels);
        let rows = rows.chain([Constraint::Max(table), Constraint::Min(3)]);
        let areas = Layout::vertical(rows).split(frame.area());
        let head = Paragraph::new(vec![self.title(report), self.advice(report)]).wrap(Wrap { trim: true });
        frame.render_widget(head, areas[0]);
        for (relationship, area) in report.relationships.iter().zip(areas.iter().skip(1)) {
            frame.render_widget(self.panel(relationship, area.width.saturating_sub(14)), *area);
        }
        frame.render_widget(scopes(report), areas[areas.len() - 2]);
        let happened = areas[areas.len() - 1];
        frame.render_widget(self.happened(happened.height.saturating_sub(2)), happened);
    }

    /// The latest events, as many as there are lines for.
    fn happened(&self, lines: u16) -> Paragraph<'static> {
        let shown = self.events.len().saturating_sub(lines.into());
        let now = clock::wall().0;
        let events = self.events.iter().skip(shown).map(|event| Line::from(format!(" {}", event.text(now))));
        Paragraph::new(events.collect::<Vec<_>>()).block(Block::bordered().title(" events "))
    }

    fn title(&self, report: &Report) -> Line<'static> {
        let node = format!(" {} of {} ", report.node, report.cluster).bold().reversed();
        let now = clock::wall().0;
        Line::from(vec![node, format!("  {}  q quits", words::local(now, now)).dim()])
    }

    /// What matters most now.
    fn advice(&self, report: &Report) -> Line<'static> {
        match (&self.away, &report.todo) {
            (Some(why), _) => format!("AWAY   {why}").red().into(),
            (None, Some(todo)) => format!("TO DO  {todo}").yellow().into(),
            (None, None) if report.is_degraded() => "The pair is not in step.".yellow().into(),
            (None, None) => "All is well.".green().into(),
        }
    }

    fn panel(&self, relationship: &Relationship, width: u16) -> Paragraph<'static> {
        let state = state_of(relationship);
        let colour = if state == "normal" { Color::Green } else { Color::Yellow };
        let active = relationship.active_node.clone().unwrap_or_else(|| "nobody known".to_owned());
        let since = relationship.since_ms.map(|since| format!(" since {}", words::local(since, clock::wall().0)));
        let mut heartbeat = self.heartbeats.get(&relationship.name).map(|line| line.line(width)).unwrap_or_default();
        heartbeat.spans.insert(0, label("heartbeat"));
        let notes = relationship.notes().join("; ");
        let lines = vec![
            Line::from(vec![
                label("state"),
                Span::styled(state, Style::new().fg(colour)),
                since.unwrap_or_default().dim(),
            ]),
            Line::from(vec![label("active"), active.into(), format!("  epoch {}", relationship.epoch.number).dim()]),
            Line::from(vec![label("partner"), partner(&relationship.partner).replace('\n', ", ").into()]),
            heartbeat,
            Line::from(vec![" ".into(), notes.yellow()]),
        ];
        Paragraph::new(lines).block(Block::bordered().title(format!(" {} ", relationship.name)))
    }
}

fn label(text: &str) -> Span<'static> {
    format!(" {text:<10} ").dim()
}

fn scopes(report: &Report) -> Table<'static> {
    let header = Row::new(["SCOPE", "SUBNET", "HERE", "SIZE", "BOUND", "FREE HERE", "FREE THERE"]).dim();
    let rows = report.scopes.iter().map(|scope| {
        let numbers =
            [scope.addresses, scope.bound, scope.free_home, scope.free_partner].map(|number| number.to_string());
        let words = [scope.name.clone(), scope.subnet.clone(), scope.state.unwrap_or("-").to_owned()];
        Row::new(words.into_iter().chain(numbers).collect::<Vec<_>>())
    });
    let widths = [20, 19, 12, 10, 10, 10, 10].map(Constraint::Max);
    Table::new(rows, widths).header(header).block(Block::bordered().title(" scopes "))
}

#[cfg(test)]
mod tests {
    use super::super::report;
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use standfast_rpc::proto;

    #[test]
    fn a_view_shows_the_pair_its_heartbeat_and_what_to_do() {
        let mut view = View::default();
        view.take(News::Status(Box::new(report::example().into())));
        let mut status = report::example();
        status.todo = "office: dhcp-a is not heard".into();
        status.relationships[0].partner.as_mut().unwrap().heartbeat_age_ms = Some(4_000);
        view.take(News::Status(Box::new(status.into())));
        for (time_ms, what) in [(0, "contact with the partner is lost"), (1, "this node is active now")] {
            view.note(Event::from(proto::EventView { time_ms, what: what.into(), ..Default::default() }));
        }
        // Not high enough for both events: the latest is what counts.
        let mut terminal = Terminal::new(TestBackend::new(100, 17)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let shown = terminal.backend().to_string();
        for part in [
            "TO DO  office: dhcp-a is not heard",
            "dhcp-b of hq",
            "epoch 3",
            "▁█",
            "office-lan",
            "this node is active now",
        ] {
            assert!(shown.contains(part), "{part} is missing in\n{shown}");
        }
        assert!(!shown.contains("contact with the partner is lost"), "{shown}");
    }

    #[test]
    fn plain_lines_say_what_the_view_says() {
        let lines = plain(&report::example().into(), 1_700_000_000_000);
        let [line] = lines.as_slice() else { panic!("one relationship, one line") };
        let (_, after_the_time) = line.split_at("22:13:20".len());
        let expected = "  office  normal  deactivated here  epoch 3  dhcp-a: normal, heard 34 ms ago, \
                        round trip 0.4 ms, 2 records behind";
        assert_eq!(after_the_time, expected);
    }
}
