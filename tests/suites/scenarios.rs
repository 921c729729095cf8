//! The scenarios' transcripts: each is kept in `scenarios/NAME.txt` and must come out the same. `UPDATE=1` rewrites
//! them; what changed then is read in the diff like any other change.

use standfast_sim::scenario::{HOLDS, SCENARIOS};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/scenarios")
}

fn update() -> bool {
    std::env::var("UPDATE").is_ok_and(|value| value == "1")
}

#[test]
fn every_scenario_is_told_as_it_is_kept() {
    let mut faults = Vec::new();
    for scenario in SCENARIOS {
        let text = scenario.text();
        let path = folder().join(scenario.name).with_extension("txt");
        if !text.ends_with(HOLDS) {
            faults.push(format!("{}: an invariant is broken:\n{text}", scenario.name));
        } else if update() {
            fs::write(&path, &text).unwrap();
        } else {
            let kept = fs::read_to_string(&path).unwrap_or_default();
            let differ = kept.lines().zip(text.lines()).position(|(kept, told)| kept != told);
            let line = differ.unwrap_or_else(|| kept.lines().count().min(text.lines().count()));
            if kept != text {
                let at = |text: &str| text.lines().nth(line).unwrap_or("nothing").to_owned();
                let (kept, told) = (at(&kept), at(&text));
                faults.push(format!("{}, line {}:\n  kept: {kept}\n  told: {told}", scenario.name, line + 1));
            }
        }
    }
    assert!(faults.is_empty(), "UPDATE=1 cargo test --workspace --test scenarios\n{}", faults.join("\n"));
}

#[test]
fn every_transcript_is_of_a_scenario() {
    if update() {
        return;
    }
    let told: BTreeSet<String> = SCENARIOS.iter().map(|scenario| format!("{}.txt", scenario.name)).collect();
    let kept: BTreeSet<String> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let kept: BTreeSet<String> = kept.into_iter().filter(|name| name != "README.md").collect();
    assert_eq!(kept, told);
}
