//! Rules that would otherwise be paragraphs.
//!
//! Each test here is one rule of the project about its own sources, and says when it fails what is wrong where, and
//! why the rule stands. All faults of a kind are reported at once.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it as the test itself does")]

#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/sources.rs"]
mod sources;
#[path = "tidy/words.rs"]
mod words;

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

/// A text file of the repository.
struct Source {
    /// From the root, with `/`.
    path: String,
    text: String,
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in the repository").to_path_buf()
}

/// Every file with one of these extensions, in order; what was generated or is data for a fuzzer is left out.
fn sources(extensions: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root(), extensions, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no file of the kinds {extensions:?} was found");
    found
}

fn collect(folder: &Path, extensions: &[&str], found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["target", ".git", "corpus"].contains(&name.as_str()) {
            collect(&path, extensions, found);
        } else if path.is_file() && path.extension().is_some_and(|it| extensions.contains(&&*it.to_string_lossy())) {
            let relative = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
            found.push(Source { path: relative, text: fs::read_to_string(&path).unwrap() });
        }
    }
}

/// Fails with all faults of a kind, and the reason of the rule.
fn assert_none<Fault: Display>(faults: &[Fault], rule: &str) {
    let list: String = faults.iter().map(|fault| format!("  {fault}\n")).collect();
    assert!(faults.is_empty(), "{rule}\n{list}");
}
