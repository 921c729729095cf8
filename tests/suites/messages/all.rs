//! Every error that the code can name is in a row, in another test of the binary, or has a reason why it is not.

use crate::table::ROWS;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Told by the binary, or by the part of it that tells, in a test of this name.
const ELSEWHERE: &[(&str, &str)] = &[
    ("DaemonError::Mistakes", "overlapping_scopes"),
    ("DaemonError::NoSuchNode", "no_such_node_name"),
    ("DialError::Refused", "another_cluster_is_refused_with_both_names"),
    ("DialError::Tls", "whoever_answers_must_be_the_node_that_was_dialled"),
    ("DialError::TooLate", "whoever_answers_must_be_the_node_that_was_dialled"),
    ("DecodeError", "a_refusal_names_the_field"),
    ("EditError::NotToml", "what_is_not_there_is_said"),
    ("EditError::UnknownScope", "what_is_not_there_is_said"),
    ("StoreError::Damaged", "a_damaged_store_is_made_whole_by_the_partner"),
    ("StoreError::Held", "another_process_holds_the_folder"),
    ("StoreError::NewerFormat", "a_record_of_a_later_version_stops_the_start_and_nothing_is_touched"),
    ("StoreError::NoSpace", "a_full_disk_at_the_start_is_told_and_waited_for"),
    ("TlsError::OtherCluster", "a_certificate_of_another_cluster"),
    ("UdpError::NoInterface", "the_interface_is_missing"),
    ("UdpError::NoLowPorts", "messages_say_what_where_and_what_to_do"),
    ("UdpError::NoRawSockets", "raw_sockets_are_not_permitted"),
];

/// Not a person's mistake, or not to be brought about.
const REASONS: &[(&str, &str)] = &[
    ("DaemonError::Os", "the operating system refuses threads, signals or a poller: what it said is passed on"),
    ("DaemonError::StoodStill", "the process was suspended for longer than the lead time"),
    ("DialError::Connect", "a partner that cannot be reached, in the words of the operating system"),
    ("DialError::Transport", "a connection that breaks while it is opened"),
    ("RevisionError", "a later version that no longer takes what an earlier one took: there is none yet"),
    ("TlsError::Unusable", "the library refuses what passed every check before"),
    ("UdpError::Os", "a system call on a socket that was opened a moment ago"),
    ("UdpError::Unsuitable", "an interface without a hardware address takes the driver of a tunnel"),
    ("Unavailable", "a node that is stopping"),
];

#[test]
fn every_error_has_a_row_or_a_reason() {
    let named: BTreeSet<String> = sources(&["crates"]).iter().flat_map(|text| errors(text)).collect();
    let rows = ROWS.iter().map(|row| row.error).chain(ELSEWHERE.iter().map(|row| row.0));
    let listed: Vec<&str> = rows.chain(REASONS.iter().map(|row| row.0)).collect();
    let unique: BTreeSet<String> = listed.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(unique.len(), listed.len(), "each is listed once");
    assert_eq!(named, unique, "left: in the code; right: in the tables");
}

#[test]
fn the_tests_that_are_named_exist() {
    let all: String = sources(&["crates", "tests/suites"]).concat();
    for (error, test) in ELSEWHERE {
        assert!(all.contains(&format!("fn {test}()")), "{error}: there is no test {test}");
    }
    assert!(REASONS.iter().all(|(_, why)| why.len() > 20));
}

/// The names of errors in a file: `Enum::Variant`, or `Struct`. One that only passes another on is that other one.
fn errors(text: &str) -> Vec<String> {
    let (mut found, mut of, mut awaited) = (Vec::new(), String::new(), false);
    for line in text.lines().map(str::trim) {
        let words: Vec<&str> =
            line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
        let declared = words.iter().position(|word| ["enum", "struct"].contains(word)).map(|at| words.get(at + 1));
        if line.starts_with("#[error(") {
            awaited = !line.contains("transparent");
        } else if let Some(Some(name)) = declared
            && !line.starts_with("//")
        {
            of = (*name).to_owned();
            if std::mem::take(&mut awaited) {
                found.push(of.clone());
            }
        } else if awaited && line.starts_with(|c: char| c.is_ascii_uppercase()) {
            awaited = false;
            found.push(format!("{of}::{}", words[0]));
        }
    }
    found
}

/// The text of every source file in these folders.
fn sources(folders: &[&str]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                texts.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    texts
}

#[test]
fn errors_are_found_where_they_are_declared() {
    let text = r#"
        /// An enum of struggles.
        pub enum TrialError {
            #[error("it failed")]
            Failed,
            #[error(
                "cannot {action}: {why}"
            )]
            /// Said in full.
            Long { action: String },
            #[error(transparent)]
            Other(OtherError),
        }
        #[error("alone")]
        pub struct AloneError;
    "#;
    assert_eq!(errors(text), ["TrialError::Failed", "TrialError::Long", "AloneError"]);
}
