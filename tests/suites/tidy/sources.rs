//! Sizes of files and functions, comments of dependencies, links that lead somewhere.

use crate::{Source, assert_none, root, sources};
use std::fs;

const FILE_LINES: usize = 700;
const FUNCTION_LINES: usize = 70;

/// Functions that may be longer than a screen, and why.
const LONG_FUNCTIONS: [(&str, &str, &str); 2] = [
    (
        "crates/node/src/daemon.rs",
        "start",
        "makes each part of a node once those that it needs are there, and nothing else",
    ),
    ("crates/sim/src/faults.rs", "apply", "one match with a short arm for each fault"),
];

/// Written by the program itself: one idea, as long as there are commands.
const WRITTEN_PAGE: &str = "docs/reference/commands.md";

#[test]
fn files_hold_one_idea() {
    let long = |source: &Source| source.text.lines().count() > FILE_LINES && source.path != WRITTEN_PAGE;
    let faults: Vec<_> = sources(&["rs", "proto", "md"])
        .iter()
        .filter(|it| long(it))
        .map(|it| format!("{}: {} lines", it.path, it.text.lines().count()))
        .collect();
    assert_none(&faults, "a file longer than 700 lines holds more than one idea; split it by idea:");
}

#[test]
fn functions_fit_a_screen() {
    let mut faults = Vec::new();
    for source in sources(&["rs"]) {
        for (name, line, length) in functions(&source.text) {
            let excused = LONG_FUNCTIONS.iter().any(|(path, it, _)| *path == source.path && *it == name);
            if length > FUNCTION_LINES && !excused {
                faults.push(format!("{}:{line}: `{name}` has {length} lines", source.path));
            }
        }
    }
    assert_none(&faults, "a function longer than 70 lines is usually two:");
}

/// Name, first line and length of each function of a file that rustfmt has laid out: one that does not end where it
/// begins ends at the first brace of the same indentation.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        let Some(name) = function_name(code) else { continue };
        if line.ends_with('}') || line.ends_with(';') {
            continue;
        }
        let end = lines[start..].iter().position(|it| it.strip_prefix(indent) == Some("}"));
        found.push((name.to_owned(), start + 1, end.map_or(1, |end| end + 1)));
    }
    found
}

fn function_name(code: &str) -> Option<&str> {
    let (before, after) = code.split_once("fn ")?;
    let qualifies = |word: &str| {
        ["pub", "const", "async", "unsafe", "extern"].contains(&word) || word.starts_with("pub(") || word.ends_with(')')
    };
    before.split_whitespace().all(qualifies).then(|| after.split(['(', '<']).next().unwrap_or(after))
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let start = text.find("[workspace.dependencies]").expect("the root manifest lists the dependencies");
    let section = text[start..].lines().skip(1).take_while(|line| !line.starts_with('['));
    let own = |line: &str| line.contains("{ path = ") || line.starts_with('#') || line.trim().is_empty();
    let faults: Vec<_> = section.filter(|line| !own(line) && !line.contains("# ")).collect();
    assert_none(&faults, "a dependency without a reason in the root manifest cannot be judged later:");
}

#[test]
fn versions_are_chosen_in_the_root_manifest() {
    let mut faults = Vec::new();
    for source in sources(&["toml"]).iter().filter(|it| it.path.ends_with("/Cargo.toml") && !it.path.contains("fuzz")) {
        let versions = source.text.lines().filter(|line| line.contains("= \"") && line.contains(char::is_numeric));
        let named = |line: &&str| line.starts_with("name") || line.starts_with("path") || line.starts_with('#');
        faults.extend(versions.filter(|line| !named(line)).map(|line| format!("{}: {line}", source.path)));
    }
    assert_none(&faults, "crates inherit versions with `workspace = true`, so that there is one of each:");
}

#[test]
fn links_lead_somewhere() {
    let mut faults = Vec::new();
    for source in sources(&["md"]) {
        let folder = root().join(&source.path).parent().expect("a file lies in a folder").to_path_buf();
        for target in links(&source.text) {
            let path = target.split('#').next().unwrap_or(target);
            if !path.is_empty() && !folder.join(path).exists() {
                faults.push(format!("{}: {target}", source.path));
            }
        }
    }
    assert_none(&faults, "relative links of the documentation that lead nowhere:");
}

/// The relative targets of the links of a page.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '\n']).next());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

#[test]
fn the_measures_of_this_file_measure() {
    let text = "impl A {\n    pub(crate) async fn long<T>(\n        a: T,\n    ) {\n        if a {\n        }\n    }\n    fn short() {}\n}\n";
    assert_eq!(functions(text), [("long".to_owned(), 2, 6)]);
    assert_eq!(links("see [a](b.md#c), [d](https://e) and [f](#g)").collect::<Vec<_>>(), ["b.md#c", "#g"]);
}
