//! Everything that is seen of the demo at a moment; the view and the summary are made from it.

use super::crowd::{Crowd, Node};
use super::judge::Client;
use super::pair::{NAMES, Pair, RELAY};
use super::story::{Step, Story};
use crate::events::Event;
use crate::exit::{Exit, Failure};
use crate::status::follow::News;
use crate::status::report::Report;
use crate::status::timeline::Timeline;
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Answers are counted for so long for one bar of the chart.
const BAR: Duration = Duration::from_millis(500);
/// More bars than any terminal is wide.
const BARS: usize = 300;

pub(super) struct Stage {
    started: Instant,
    now: Instant,
    pair: Pair,
    crowd: Crowd,
    story: Story,
    nodes: [Seen; 2],
    log: Vec<String>,
    /// How many lines of the log were taken by [`Self::news`].
    told: usize,
    /// Who held what when the node was killed.
    held: BTreeMap<Client, Ipv4Addr>,
}

/// What is seen of a node.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) report: Option<Report>,
    pub(super) heartbeat: Timeline,
    bars: VecDeque<u64>,
    counted: u64,
    next_bar: Option<Instant>,
}

impl Stage {
    /// Starts both nodes.
    pub(super) fn set(now: Instant) -> Result<Self, Failure> {
        let mut pair = Pair::prepare()?;
        for node in 0..NAMES.len() {
            pair.start(node)?;
        }
        Ok(Self {
            started: now,
            now,
            pair,
            crowd: Crowd::new(now, RELAY, rand::random()),
            story: Story::new(now),
            nodes: Default::default(),
            log: Vec::new(),
            told: 0,
            held: BTreeMap::new(),
        })
    }

    /// Time has passed: the packets to send, to every node, and whether this is the end.
    pub(super) fn tick(&mut self, now: Instant) -> Result<(Vec<Vec<u8>>, bool), Failure> {
        self.now = now;
        if let Some(node) = self.pair.ended() {
            return Err(self.failed(&format!("{} ended by itself", NAMES[node]), node));
        }
        for (seen, answers) in self.nodes.iter_mut().zip(self.crowd.answers()) {
            seen.count(now, answers);
        }
        let reports = [0, 1].map(|node| self.nodes[node].report.as_ref());
        let over = match self.story.step(now, reports) {
            None => false,
            Some(Step::Finish) => true,
            Some(step) => {
                self.act(step)?;
                false
            }
        };
        Ok((self.crowd.due(now), over))
    }

    fn act(&mut self, step: Step) -> Result<(), Failure> {
        match step {
            Step::Kill(node) => {
                self.held = self.holders();
                self.pair.kill(node);
                self.say(&format!("{} is killed (SIGKILL), with {} leases", NAMES[node], self.held.len()));
            }
            Step::Restart(node) => {
                self.pair.start(node)?;
                self.say(&format!("{} is started again", NAMES[node]));
            }
            Step::Say(what) => self.say(&what),
            Step::GiveUp(why) => {
                let node = self.story.outage().map_or(0, |outage| outage.killed);
                return Err(self.failed(&why, node));
            }
            Step::Finish => {}
        }
        Ok(())
    }

    /// A packet came to the relay.
    pub(super) fn packet(&mut self, now: Instant, node: Node, bytes: &[u8]) {
        if !self.crowd.hear(now, node, bytes) {
            return;
        }
        self.now = now;
        if let Some(silence) = self.story.answered(now, node) {
            let (name, milliseconds) = (NAMES[node], silence.as_millis());
            self.say(&format!("{name} answers a client, {milliseconds} ms after the kill"));
        }
    }

    /// A node speaks of itself, or does no longer.
    pub(super) fn status(&mut self, node: Node, news: News) {
        let seen = &mut self.nodes[node];
        match news {
            News::Status(report) => {
                let age = report.relationships.first().and_then(|pair| pair.partner.heartbeat_age_ms);
                seen.heartbeat.heard(age);
                seen.report = Some(*report);
            }
            News::Away(_) => {
                seen.heartbeat.nobody();
                seen.report = None;
            }
        }
    }

    /// A node reports an event.
    pub(super) fn event(&mut self, node: Node, event: &Event) {
        self.say(&format!("{}  {}", NAMES[node], event.short()));
    }

    fn say(&mut self, what: &str) {
        self.log.push(format!("{:>6.3} s  {what}", self.elapsed().as_secs_f64()));
    }

    /// Lines of the log that were not taken yet.
    pub(super) fn news(&mut self) -> Vec<String> {
        let news = self.log[self.told..].to_vec();
        self.told = self.log.len();
        news
    }

    fn failed(&self, why: &str, node: Node) -> Failure {
        let log = self.log.join("\n");
        Failure::new(Exit::Failed, format!("the demo failed: {why}\n{log}\n\n{}", self.pair.last_words(node)))
    }

    /// What came of it, and whether that is as it should be.
    pub(super) fn summary(&self) -> (String, bool) {
        let Some(outage) = self.story.outage() else { return ("nothing was killed".to_owned(), false) };
        let holders = self.holders();
        let kept = self.held.iter().filter(|(client, address)| holders.get(client) == Some(address)).count();
        let (lost, doubled) = (self.lost(), self.crowd.judge().doubled());
        let silence = outage.first_answer.map(|at| format!("{} ms", (at - outage.at).as_millis()));
        let answers = self.crowd.answers();
        let survivor = NAMES[1 - outage.killed];
        let lines = [
            format!("{} was killed; {survivor} took over; {0} came back.", NAMES[outage.killed]),
            format!("  from the kill to the first answer  {}", silence.unwrap_or_else(|| "never".to_owned())),
            format!("  leases kept                        {kept} of {}", self.held.len()),
            format!("  leases lost                        {lost}"),
            format!("  addresses given to two clients     {doubled}"),
            format!("  clients with an address            {} at the end", holders.len()),
            format!("  answers                            {} {}, {} {}", NAMES[0], answers[0], NAMES[1], answers[1]),
        ];
        let good = lost == 0 && doubled == 0 && kept == self.held.len() && kept > 0;
        (lines.join("\n"), good)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now.saturating_duration_since(self.started)
    }

    pub(super) fn holders(&self) -> BTreeMap<Client, Ipv4Addr> {
        self.crowd.judge().holders(self.now)
    }

    pub(super) fn lost(&self) -> usize {
        self.crowd.judge().lost(self.now)
    }

    pub(super) fn node(&self, node: Node) -> &Seen {
        &self.nodes[node]
    }

    pub(super) fn pair(&self) -> &Pair {
        &self.pair
    }

    pub(super) fn crowd(&self) -> &Crowd {
        &self.crowd
    }

    pub(super) fn story(&self) -> &Story {
        &self.story
    }

    pub(super) fn log(&self) -> &[String] {
        &self.log
    }
}

impl Seen {
    fn count(&mut self, now: Instant, answers: u64) {
        let due = *self.next_bar.get_or_insert(now + BAR);
        if now < due {
            return;
        }
        self.next_bar = Some(due + BAR);
        self.bars.push_back(answers - self.counted);
        self.counted = answers;
        if self.bars.len() > BARS {
            self.bars.pop_front();
        }
    }

    /// Answers in each of the latest bars that fit.
    pub(super) fn rates(&self, width: usize) -> Vec<u64> {
        self.bars.iter().skip(self.bars.len().saturating_sub(width)).copied().collect()
    }
}
