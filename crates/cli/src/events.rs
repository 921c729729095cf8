//! `standfast events`: every change of state, with its evidence.

use crate::admin::{self, Server};
use crate::exit::{Exit, Outcome};
use crate::output;
use crate::question::{Question, as_json};
use crate::words;
use clap::Args;
use serde::Serialize;
use standfast_node::clock;
use standfast_rpc::proto;
use std::time::Duration;
use tokio::sync::mpsc;

#[derive(Args)]
pub(crate) struct Events {
    /// Stay, and print each event as it happens
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    question: Question,
}

/// An event as `--json` prints it: an interface, to which fields are only added.
#[derive(Serialize)]
pub(crate) struct Event {
    time: String,
    code: String,
    name: String,
    severity: Option<&'static str>,
    relationship: Option<String>,
    epoch: Option<u64>,
    what: String,
    evidence: Option<String>,
    /// Who brought it about, and why they say they did.
    cause: Option<String>,
    #[serde(skip)]
    time_ms: i64,
}

impl Events {
    pub(crate) fn run(self) -> Outcome {
        admin::block_on(async {
            let mut client = self.question.connect().await?;
            let request = proto::WatchEventsRequest { follow: self.follow };
            let events = client.watch_events(request).await.map_err(|status| admin::failed(&status))?;
            let mut events = events.into_inner();
            let mut any = false;
            while let Some(response) = events.message().await.map_err(|status| admin::failed(&status))? {
                any = true;
                let event = Event::from(response.event.unwrap_or_default());
                if !output::line_is_read(&if self.question.json {
                    as_json(&event)?
                } else {
                    event.text(clock::wall().0)
                }) {
                    return Ok(Exit::Done);
                }
            }
            if !any && !self.question.json {
                output::line("No events.");
            }
            Ok(Exit::Done)
        })
    }
}

/// How long a node that is not there is left alone.
const RETRY: Duration = Duration::from_millis(100);

/// Events of a node, those of the past first, through its restarts; each once.
pub(crate) fn follow(server: Server) -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut latest = i64::MIN;
        while !sender.is_closed() {
            if let Ok(mut client) = server.connect().await
                && let Ok(response) = client.watch_events(proto::WatchEventsRequest { follow: true }).await
            {
                let mut events = response.into_inner();
                let mut newest = latest;
                while let Ok(Some(response)) = events.message().await {
                    let event = response.event.unwrap_or_default();
                    if event.time_ms <= latest {
                        continue;
                    }
                    newest = newest.max(event.time_ms);
                    if sender.send(Event::from(event)).await.is_err() {
                        return;
                    }
                }
                latest = newest;
            }
            tokio::time::sleep(RETRY).await;
        }
    });
    receiver
}

impl From<proto::EventView> for Event {
    fn from(event: proto::EventView) -> Self {
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            time: words::rfc3339(event.time_ms),
            time_ms: event.time_ms,
            code: words::code(event.code),
            severity: words::severity(event.severity()),
            name: event.name,
            relationship: said(event.relationship),
            epoch: event.epoch,
            what: event.what,
            evidence: said(event.evidence),
            cause: said(event.cause),
        }
    }
}

impl Event {
    /// What happened and why, without the time.
    pub(crate) fn short(&self) -> String {
        let evidence = self.evidence.as_ref().map(|evidence| format!(" ({evidence})")).unwrap_or_default();
        let cause = self.cause.as_ref().map(|cause| format!(", by {cause}")).unwrap_or_default();
        format!("{} {}{evidence}{cause}", self.code, self.what)
    }

    /// A line for people, at `now`, in milliseconds since 1970.
    pub(crate) fn text(&self, now: i64) -> String {
        let time = words::local(self.time_ms, now);
        let cause = self.cause.as_ref().map(|cause| format!(", by {cause}")).unwrap_or_default();
        let severity = self.severity.unwrap_or("-");
        let relationship = self.relationship.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        let evidence = self.evidence.as_ref().map(|evidence| format!(" ({evidence})")).unwrap_or_default();
        format!("{time}  {}  {severity:<7}  {relationship}{}{evidence}{cause}", self.code, self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::assert_documented;

    #[test]
    fn an_event_for_machines_and_for_people() {
        let event = Event::from(proto::EventView {
            time_ms: 1_700_000_000_000,
            code: 1002,
            name: "promoted".into(),
            severity: proto::Severity::Warning.into(),
            relationship: "office".into(),
            epoch: Some(4),
            what: "dhcp-b is active".into(),
            evidence: "dhcp-a refused two connections".into(),
            cause: "alice: a new disk".into(),
        });
        assert_documented("events", &event);
        let text = event.text(1_700_000_000_000);
        let (_, after_the_time) = text.split_at("22:13:20".len());
        insta::assert_snapshot!(as_json(&event).unwrap() + "\n" + after_the_time);
    }
}
