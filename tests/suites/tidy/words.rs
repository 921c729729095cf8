//! One word per thing, and none that belongs to one machine.

use crate::{assert_none, sources};

/// Words that the glossary replaces, and by what. Plain words of English are listed only in the company that gives
/// them the meaning in question.
const REPLACED: [(&str, &str); 25] = [
    ("generation", "epoch"),
    ("generations", "epochs"),
    ("view number", "epoch"),
    ("new term", "epoch"),
    ("current term", "epoch"),
    ("raft term", "epoch"),
    ("slave", "standby"),
    ("slaves", "standbys"),
    ("secondary", "standby"),
    ("backup node", "standby"),
    ("backup server", "standby"),
    ("hot standby", "standby"),
    ("master", "primary or active"),
    ("leader", "active node"),
    ("follower", "standby"),
    ("failover peer", "partner"),
    ("failover pair", "relationship"),
    ("split brain", "both nodes serve"),
    ("split-brain", "both nodes serve"),
    ("inactive scope", "deactivated scope"),
    ("standby server", "standby"),
    ("primary server", "primary"),
    ("active server", "active node"),
    ("failover group", "relationship"),
    ("handoff", "switchover"),
];

/// Where one of these words may stand: a quotation, a foreign name.
const EXCUSED: [(&str, &str); 1] = [
    // What ip(8) calls the bridge of a port.
    ("tests/src/lab.rs", "master"),
];

/// Ways into one machine. Where a daemon keeps its things on a deployed system is none of these.
const OF_ONE_MACHINE: [&str; 3] = ["/home/", "/Users/", "file://"];

const THIS_FILE: &str = "tests/suites/tidy/words.rs";

#[test]
fn one_word_per_thing() {
    let mut faults = Vec::new();
    for source in sources(&["rs", "proto", "md", "toml"]).iter().filter(|it| it.path != THIS_FILE) {
        for (number, line) in source.text.lines().enumerate() {
            let plain = plain_words(line);
            for (word, instead) in REPLACED {
                let excused = EXCUSED.contains(&(source.path.as_str(), word));
                if plain.contains(&plain_words(word)) && !excused {
                    faults.push(format!(
                        "{}:{}: `{word}` is `{instead}` here: {}",
                        source.path,
                        number + 1,
                        line.trim()
                    ));
                }
            }
        }
    }
    assert_none(&faults, "docs/glossary.md has one word per thing:");
}

/// The words of a line in lower case, each between single spaces; `snake_case` and `CamelCase` are split.
fn plain_words(line: &str) -> String {
    let mut plain = String::from(" ");
    for character in line.chars() {
        if character.is_uppercase() {
            if !plain.ends_with(|last: char| last == ' ' || last.is_uppercase()) {
                plain.push(' ');
            }
            plain.push(character);
        } else if character.is_alphanumeric() {
            plain.push(character);
        } else if !plain.ends_with(' ') {
            plain.push(' ');
        }
    }
    if !plain.ends_with(' ') {
        plain.push(' ');
    }
    plain.to_lowercase()
}

#[test]
fn no_path_of_one_machine() {
    let mut faults = Vec::new();
    for source in sources(&["rs", "proto", "md", "toml", "yaml", "yml", "json", "service", "sh"]) {
        for (number, line) in source.text.lines().enumerate().filter(|_| source.path != THIS_FILE) {
            if OF_ONE_MACHINE.iter().any(|path| line.contains(path)) {
                faults.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    assert_none(&faults, "what is committed must mean the same on every machine:");
}

#[test]
fn words_are_found_in_every_spelling() {
    for line in ["a GenerationId", "generation_of", "the Generation, then", "/// generation"] {
        assert!(plain_words(line).contains(" generation "), "{line}");
    }
    assert!(!plain_words("regeneration").contains(" generation "));
    assert!(plain_words("BackupServer").contains(&plain_words("backup server")));
}
