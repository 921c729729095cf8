//! Revisions as nodes store and send them: a text that is read again wherever it comes from.

use super::{Cluster, ClusterFile, Mistake};
use standfast_core::configuration::Configuration;
use standfast_core::message::{Reading, Unreadable};
use standfast_rpc::convert::Text;
use std::sync::Arc;

/// Mistakes that are told of a text that cannot be used.
const MISTAKES_TOLD: usize = 5;

/// The cluster of a revision, whose configuration bears its number and act.
///
/// # Errors
/// What is wrong with it in this version, in a few lines.
pub fn read(text: &Text) -> Result<Cluster, String> {
    let name = format!("revision {}", text.revision.number);
    let cluster = ClusterFile::parse(&name, &text.text).map_err(|mistakes| told(&mistakes))?;
    let (revision, act) = (text.revision.clone(), text.act.clone());
    Ok(Cluster { configuration: Configuration { revision, act, ..cluster.configuration }, ..cluster })
}

/// As [`read`], for the core.
pub(crate) fn read_text(text: &Text) -> Reading {
    match read(text) {
        Ok(cluster) => Ok(Arc::new(cluster.configuration)),
        Err(why) => Err(Unreadable { revision: text.revision.clone(), why }),
    }
}

/// Mistakes in words, for where a text cannot be shown.
pub(crate) fn told(mistakes: &[Mistake]) -> String {
    let errors: Vec<_> = mistakes.iter().filter(|mistake| !mistake.is_warning()).collect();
    let words = errors.iter().take(MISTAKES_TOLD).map(|mistake| {
        let (line, _) = mistake.line_and_column();
        format!("line {line}: {}", mistake.message())
    });
    let more = errors.len().saturating_sub(MISTAKES_TOLD);
    let more = (more > 0).then(|| format!("and {more} more"));
    words.chain(more).collect::<Vec<_>>().join("; ")
}
