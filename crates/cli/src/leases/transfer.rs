//! `standfast leases export` and `import`: every lease as a file, for a backup, or to move from or to another server.

use super::format::{self, Format};
use super::{fetch, left_to_take};
use crate::admin::{self, Server};
use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use crate::question::Question;
use clap::Args;
use serde::Serialize;
use standfast_rpc::convert::command::MAX_IMPORTED;
use standfast_rpc::proto;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// So many addresses are named with a reason.
const SHOWN: usize = 5;
/// How long an import waits before it looks again whether the partner has taken what was recorded: every lease is listed
/// for that, which for a million takes seconds.
const LOOK_AGAIN_MS: [u64; 8] = [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000];

#[derive(Args)]
pub(crate) struct Export {
    /// The file; without one the leases are printed
    file: Option<PathBuf>,
    /// The form [default: kea for a file that ends in .csv, else json]
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    server: Server,
}

#[derive(Args)]
pub(crate) struct Import {
    /// The file; - is standard input
    file: PathBuf,
    /// The form [default: kea for a file that ends in .csv, else json]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Read the file, say what it holds, and record nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    question: Question,
}

impl Export {
    pub(super) async fn run(self) -> Outcome {
        let leases = fetch(&mut self.server.connect().await?, proto::ListLeasesRequest::default()).await?;
        let format = format_of(self.file.as_deref(), self.format);
        let text = format::write(&leases, format).map_err(|error| Failure::new(Exit::Failed, error))?;
        let Some(file) = &self.file else {
            output::raw(&text);
            return Ok(Exit::Done);
        };
        write_new(file, &text)?;
        output::line(&format!("{} leases are in {}.", leases.len(), file.display()));
        Ok(Exit::Done)
    }
}

impl Import {
    pub(super) async fn run(self) -> Outcome {
        let text = read_file(&self.file)?;
        let leases = format::read(&text, format_of(Some(&self.file), self.format))
            .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", self.file.display())))?;
        if self.dry_run || leases.is_empty() {
            let text = || format!("{} holds {} leases; nothing was recorded.", self.file.display(), leases.len());
            self.question.answer(&Report::of(leases.len()), text)?;
            return Ok(Exit::Done);
        }
        let read = leases.len();
        let mut client = self.question.connect().await?;
        let mut refused = Vec::new();
        for page in leases.chunks(MAX_IMPORTED) {
            let request = proto::ImportLeasesRequest { leases: page.to_vec() };
            let response = client.import_leases(request).await.map_err(|status| admin::failed(&status))?;
            let result = response.into_inner().result.unwrap_or_default();
            match result.outcome() {
                proto::Outcome::Done => {}
                proto::Outcome::Refused => refused.extend(result.text.lines().map(str::to_owned)),
                proto::Outcome::Failed | proto::Outcome::Unspecified => {
                    return Err(Failure::new(Exit::Failed, result.text));
                }
            }
        }
        let expected = accepted(leases, &refused);
        let missing = wait_until_taken(&mut client, &expected).await?;
        let report =
            Report { recorded: expected.len() - missing.len(), not_recorded: not_recorded(&refused, &missing), read };
        if self.question.json {
            self.question.answer(&report, String::new)?;
            return Ok(if report.not_recorded.is_empty() { Exit::Done } else { Exit::Failed });
        }
        output::line(&format!("{} leases are recorded.", report.recorded));
        if report.not_recorded.is_empty() { Ok(Exit::Done) } else { Err(Failure::new(Exit::Failed, report.reasons())) }
    }
}

/// What was sent and not refused: each refusal begins with its address.
fn accepted(leases: Vec<proto::LeaseView>, refused: &[String]) -> BTreeMap<Ipv4Addr, proto::LeaseView> {
    let mut accepted: BTreeMap<_, _> =
        leases.into_iter().map(|lease| (Ipv4Addr::from_bits(lease.address), lease)).collect();
    for address in refused.iter().filter_map(|line| line.split_once(':')?.0.parse().ok()) {
        accepted.remove(&address);
    }
    accepted
}

/// Waits until the node holds every lease and its partner has taken it. Returns those that were not taken in time.
async fn wait_until_taken(
    client: &mut admin::Client,
    expected: &BTreeMap<Ipv4Addr, proto::LeaseView>,
) -> Result<Vec<Ipv4Addr>, Failure> {
    let mut pauses = LOOK_AGAIN_MS.into_iter().map(Duration::from_millis);
    loop {
        let held = fetch(client, proto::ListLeasesRequest::default()).await?;
        let missing = left_to_take(&held, expected.keys().copied());
        match pauses.next() {
            Some(pause) if !missing.is_empty() => tokio::time::sleep(pause).await,
            Some(_) | None => return Ok(missing),
        }
    }
}

/// What became of the leases of a file, as `--json` prints it: an interface, to which fields are only added.
#[derive(Serialize)]
struct Report {
    /// Leases in the file that are not over.
    read: usize,
    /// On both nodes.
    recorded: usize,
    not_recorded: Vec<NotRecorded>,
}

#[derive(Serialize)]
struct NotRecorded {
    address: String,
    why: String,
}

fn not_recorded(refused: &[String], missing: &[Ipv4Addr]) -> Vec<NotRecorded> {
    let refused = refused.iter().map(|line| line.split_once(": ").unwrap_or((line, "refused")));
    let refused = refused.map(|(address, why)| NotRecorded { address: address.to_owned(), why: why.to_owned() });
    let missing = missing.iter().map(|address| NotRecorded {
        address: address.to_string(),
        why: "the partner has not taken it yet".to_owned(),
    });
    refused.chain(missing).collect()
}

impl Report {
    /// Of a file of which nothing was recorded.
    fn of(read: usize) -> Self {
        Self { read, recorded: 0, not_recorded: Vec::new() }
    }

    /// For people: each reason once, with the addresses that it holds for.
    fn reasons(&self) -> String {
        let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for lease in &self.not_recorded {
            by_reason.entry(&lease.why).or_default().push(&lease.address);
        }
        let mut text = "these leases were not recorded on both nodes; once the reason is mended, import the file \
             again (--json names them all):"
            .to_owned();
        for (why, addresses) in by_reason {
            let shown = addresses[..addresses.len().min(SHOWN)].join(", ");
            let more = addresses.len().saturating_sub(SHOWN);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            text.push_str(&format!("\n  {shown}{more}: {why}"));
        }
        text
    }
}

fn format_of(file: Option<&Path>, format: Option<Format>) -> Format {
    let is_csv = file.and_then(Path::extension).is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    format.unwrap_or(if is_csv { Format::Kea } else { Format::Json })
}

fn read_file(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut text).map(|_| text)
    } else {
        std::fs::read(file)
    };
    read.map_err(|error| Failure::new(Exit::Failed, format!("{} cannot be read: {error}", file.display())))
}

/// A backup is whole or not there: it is written beside its place and then moved there.
fn write_new(file: &Path, text: &[u8]) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::new(Exit::Failed, format!("{} cannot be written: {error}", file.display()));
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    std::io::Write::write_all(&mut beside, text).map_err(failed)?;
    beside.as_file().sync_all().map_err(failed)?;
    beside.persist(file).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::assert_documented;

    #[test]
    fn a_reason_is_said_once() {
        let refused: Vec<_> = (1..=7).map(|last| format!("10.20.0.{last}: it is in no pool")).collect();
        let not_recorded = not_recorded(&refused, &[Ipv4Addr::new(10, 20, 0, 9)]);
        let report = Report { read: 9, recorded: 1, not_recorded };
        assert_documented("leases import", &report);
        let lines = report.reasons();
        assert!(
            lines.contains("\n  10.20.0.1, 10.20.0.2, 10.20.0.3, 10.20.0.4, 10.20.0.5 and 2 more: it is in no pool")
        );
        assert!(lines.ends_with("\n  10.20.0.9: the partner has not taken it yet"), "{lines}");
    }

    #[test]
    fn the_form_follows_the_name_unless_it_is_said() {
        assert_eq!(format_of(Some(Path::new("leases.csv")), None), Format::Kea);
        assert_eq!(format_of(Some(Path::new("leases.jsonl")), None), Format::Json);
        assert_eq!(format_of(None, None), Format::Json);
        assert_eq!(format_of(Some(Path::new("leases.csv")), Some(Format::Json)), Format::Json);
    }

    #[test]
    fn what_was_refused_is_not_expected() {
        let lease = |last| proto::LeaseView { address: Ipv4Addr::new(10, 20, 0, last).to_bits(), ..Default::default() };
        let left = accepted(vec![lease(1), lease(2)], &["10.20.0.1: it is in no pool".to_owned()]);
        assert_eq!(left.into_keys().collect::<Vec<_>>(), [Ipv4Addr::new(10, 20, 0, 2)]);
    }
}
