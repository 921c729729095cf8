//! The live view of the demo: both nodes side by side, every client below, and what happened.

use super::crowd::{Fares, Node};
use super::pair::NAMES;
use super::stage::{Seen, Stage};
use crate::status::report::Report;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Sparkline, Wrap};

const COLOURS: [Color; 2] = [Color::Cyan, Color::Magenta];
/// Shapes, so that the nodes are told apart without colour.
const MARKS: [&str; 2] = ["●", "■"];
/// Width of a label.
const LABEL: u16 = 12;

pub(super) fn draw(stage: &Stage, frame: &mut Frame<'_>) {
    let rows = [Constraint::Length(2), Constraint::Length(10), Constraint::Length(6), Constraint::Min(4)];
    let [title, nodes, clients, log] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(heading(stage), title);
    let columns = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas::<2>(nodes);
    for (node, area) in columns.into_iter().enumerate() {
        draw_node(stage, node, frame, area);
    }
    frame.render_widget(crowd(stage), clients);
    frame.render_widget(events(stage, log), log);
}

fn heading(stage: &Stage) -> Paragraph<'static> {
    let seconds = stage.elapsed().as_secs();
    let title = Line::from(vec![" standfast demo ".bold().reversed(), format!("  {seconds:>2} s  q quits").dim()]);
    Paragraph::new(vec![title, stage.story().caption().bold().into()])
}

fn draw_node(stage: &Stage, node: Node, frame: &mut Frame<'_>, area: Rect) {
    let seen = stage.node(node);
    let block = Block::bordered()
        .border_style(Style::new().fg(if seen.report.is_some() { COLOURS[node] } else { Color::Red }))
        .title(format!(" {} {} ", MARKS[node], NAMES[node]));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [text, answers] = Layout::vertical([Constraint::Length(7), Constraint::Length(1)]).areas(inner);
    let mut heartbeat = seen.heartbeat.line(inner.width.saturating_sub(LABEL));
    heartbeat.spans.insert(0, label("heartbeat"));
    let mut lines = says(stage, node, seen);
    lines.push(heartbeat);
    lines.push(Line::from(vec![label("answers"), stage.crowd().answers()[node].to_string().into()]));
    frame.render_widget(Paragraph::new(lines), text);
    let [_, chart] = Layout::horizontal([Constraint::Length(LABEL), Constraint::Fill(1)]).areas(answers);
    let rates = seen.rates(usize::from(chart.width));
    frame.render_widget(Sparkline::default().data(&rates).style(Style::new().fg(COLOURS[node])), chart);
}

fn says(stage: &Stage, node: Node, seen: &Seen) -> Vec<Line<'static>> {
    let process = match stage.pair().process(node) {
        Some(id) => format!("runs as {id}").into(),
        None => "KILLED".red().bold(),
    };
    let mut lines = vec![Line::from(vec![label("process"), process])];
    lines.extend(seen.report.as_ref().map_or_else(|| vec![Line::default(); 4], |report| reported(report)));
    lines
}

fn reported(report: &Report) -> Vec<Line<'static>> {
    let Some(pair) = report.relationships.first() else { return vec![Line::default(); 4] };
    let state = pair.state.unwrap_or("unknown");
    let state = Span::styled(state, Style::new().fg(if state == "normal" { Color::Green } else { Color::Yellow }));
    let role = match pair.role {
        Some("active") => " ACTIVE ".black().on_green().bold(),
        role => role.unwrap_or("-").dim(),
    };
    let bound = report.scopes.iter().map(|scope| scope.bound).sum::<u64>();
    vec![
        Line::from(vec![label("role"), role]),
        Line::from(vec![label("state"), state]),
        Line::from(vec![label("epoch"), format!("{} taken by {}", pair.epoch.number, pair.epoch.node).into()]),
        Line::from(vec![label("leases"), bound.to_string().into()]),
    ]
}

fn crowd(stage: &Stage) -> Paragraph<'static> {
    let marks = stage.crowd().fares().flat_map(|fares| {
        let mark = match fares {
            Fares::Served(node) => Span::styled(MARKS[node], Style::new().fg(COLOURS[node])),
            Fares::Waiting => "?".yellow().bold(),
            Fares::New => "·".dim(),
        };
        [mark, " ".into()]
    });
    let marks: Vec<_> = marks.collect();
    let held = stage.holders().len();
    let title = format!(
        " {} clients, {held} hold an address; {} lost, {} doubled ",
        marks.len() / 2,
        stage.lost(),
        stage.crowd().judge().doubled()
    );
    let legend = Line::from(vec![
        Span::styled(format!("{} answered by {}  ", MARKS[0], NAMES[0]), Style::new().fg(COLOURS[0])),
        Span::styled(format!("{} answered by {}  ", MARKS[1], NAMES[1]), Style::new().fg(COLOURS[1])),
        "? waits".yellow(),
    ]);
    Paragraph::new(vec![Line::from(marks), Line::default(), legend])
        .wrap(Wrap { trim: true })
        .block(Block::bordered().title(title))
}

fn events(stage: &Stage, area: Rect) -> Paragraph<'static> {
    let fits = usize::from(area.height.saturating_sub(2));
    let lines = stage.log().iter().rev().take(fits).rev().map(|line| Line::from(line.clone()));
    Paragraph::new(lines.collect::<Vec<_>>()).block(Block::bordered().title(" what happens "))
}

fn label(text: &str) -> Span<'static> {
    format!(" {text:<10} ").dim()
}
