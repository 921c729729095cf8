//! Events on disk, one JSON object a line: they outlive the process, for whoever asks later what happened.
//!
//! Written by a task of its own, so that a slow disk holds up nobody who has an event to tell. What cannot be written is
//! in the journal all the same.

use super::{EventLog, Happened};
use serde::Serialize;
use standfast_core::event::Severity;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tokio::sync::broadcast::error::RecvError;

/// The file in the data folder.
pub const EVENTS: &str = "events.jsonl";
/// The one before it, once that was full.
const BEFORE: &str = "events.jsonl.1";
/// Bytes after which another file is begun: some ten thousand events.
const FULL: u64 = 4 << 20;

/// An event as it is written: an interface, to which fields are only added.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    code: String,
    name: &'static str,
    severity: &'static str,
    relationship: Option<&'a str>,
    epoch: Option<u64>,
    what: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    evidence: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    cause: &'a str,
}

/// Writes every event from now on into a file in `data_dir`, for as long as the process lives.
pub async fn keep(log: EventLog, data_dir: PathBuf) {
    let (past, mut present) = log.listen();
    let mut trouble = append(&data_dir, &past).err().map(|error| error.to_string());
    loop {
        if let Some(trouble) = trouble.take() {
            tracing::warn!(trouble, "events could not be written to {EVENTS}");
        }
        let happened = match present.recv().await {
            Ok(happened) => happened,
            Err(RecvError::Lagged(missed)) => {
                trouble = Some(format!("{missed} came too quickly"));
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        let dir = data_dir.clone();
        let written = tokio::task::spawn_blocking(move || append(&dir, &[happened])).await;
        trouble =
            written.map_or_else(|error| Some(error.to_string()), |done| done.err().map(|error| error.to_string()));
    }
}

fn append(data_dir: &Path, events: &[Happened]) -> io::Result<()> {
    let path = data_dir.join(EVENTS);
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() >= FULL) {
        fs::rename(&path, data_dir.join(BEFORE))?;
    }
    let text: String = events.iter().map(|event| line(event) + "\n").collect();
    File::options().create(true).append(true).open(&path)?.write_all(text.as_bytes())
}

fn line(happened: &Happened) -> String {
    let event = &happened.event;
    let time = jiff::Timestamp::from_millisecond(happened.at.0);
    let line = Line {
        time: time.map_or_else(|_| "unknown".to_owned(), |time| format!("{time:.3}")),
        code: event.code.code(),
        name: event.code.name(),
        severity: match event.code.severity() {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Alarm => "alarm",
        },
        relationship: event.relationship.as_ref().map(|name| name.as_str()),
        epoch: event.epoch.map(|epoch| epoch.number),
        what: &event.what,
        evidence: &event.evidence,
        cause: &event.cause,
    };
    serde_json::to_string(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_core::event::{Code, Event};
    use standfast_core::time::Wall;

    fn happened(what: &str) -> Happened {
        let event = Event {
            code: Code::OperatorActed,
            relationship: Some("office".into()),
            epoch: None,
            what: what.to_owned(),
            evidence: String::new(),
            cause: "alice: a new disk".to_owned(),
        };
        Happened { at: Wall(1_700_000_000_123), event }
    }

    #[test]
    fn a_line_has_the_documented_fields() {
        let expected = r#"{"time":"2023-11-14T22:13:20.123Z","code":"SF4004","name":"operator_acted","severity":"info","relationship":"office","epoch":null,"what":"switchover","cause":"alice: a new disk"}"#;
        assert_eq!(line(&happened("switchover")), expected);
    }

    #[test]
    fn a_full_file_is_kept_beside_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let lines = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap().lines().count();
        append(dir.path(), &[happened("one"), happened("two")]).unwrap();
        append(dir.path(), &[happened("three")]).unwrap();
        assert_eq!(lines(EVENTS), 3);
        File::options().write(true).open(dir.path().join(EVENTS)).unwrap().set_len(FULL).unwrap();
        append(dir.path(), &[happened("four")]).unwrap();
        assert_eq!(lines(EVENTS), 1);
        assert_eq!(fs::metadata(dir.path().join(BEFORE)).unwrap().len(), FULL);
    }

    #[tokio::test]
    async fn what_happens_is_written_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let log = EventLog::default();
        log.add(happened("first").event);
        let keeping = tokio::spawn(keep(log.clone(), dir.path().to_owned()));
        let text = || fs::read_to_string(dir.path().join(EVENTS)).unwrap_or_default();
        while !text().contains("first") {
            tokio::task::yield_now().await;
        }
        log.add(happened("second").event);
        while !text().contains("second") {
            tokio::task::yield_now().await;
        }
        keeping.abort();
        assert_eq!(text().lines().count(), 2);
    }
}
