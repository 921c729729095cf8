//! `standfast doctor`: what is right and what is wrong, one thing a line, each with what to do.
//!
//! The node looks at itself and its surroundings. What it has no right to see, the firewall of its machine, is looked at
//! here, by whoever runs the command.

mod firewall;

use crate::admin;
use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use crate::question::Question;
use crate::words;
use clap::Args;
use comfy_table::{Cell, Color};
use serde::Serialize;
use standfast_rpc::proto;

#[derive(Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    question: Question,
}

/// A line, as `--json` prints it: an interface, to which fields are only added.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
struct Line {
    name: String,
    /// ok, warn or fail.
    verdict: &'static str,
    what: String,
    todo: Option<String>,
}

impl Doctor {
    pub(crate) fn run(self) -> Outcome {
        admin::block_on(async {
            let mut lines = match self.ask().await {
                Ok(checks) => checks.into_iter().map(Line::from).collect(),
                Err(failure) => {
                    vec![Line::fail(NODE, failure.to_string(), "mend that, and ask again: the rest needs the node")]
                }
            };
            lines.extend(firewall::look());
            self.question.answer(&lines, || text(&lines))?;
            Ok(if lines.iter().any(|line| line.verdict == FAIL) { Exit::Degraded } else { Exit::Done })
        })
    }

    async fn ask(&self) -> Result<Vec<proto::Check>, Failure> {
        let mut client = self.question.connect().await?;
        let response = client.diagnose(proto::DiagnoseRequest {}).await.map_err(|status| admin::failed(&status))?;
        Ok(response.into_inner().checks)
    }
}

/// The check of a node as a whole.
const NODE: &str = "node";

const OK: &str = "ok";
const WARN: &str = "warn";
const FAIL: &str = "fail";

impl Line {
    fn ok(name: &str, what: impl Into<String>) -> Self {
        Self { name: name.to_owned(), verdict: OK, what: what.into(), todo: None }
    }

    fn warn(name: &str, what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { name: name.to_owned(), verdict: WARN, what: what.into(), todo: Some(todo.into()) }
    }

    fn fail(name: &str, what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { name: name.to_owned(), verdict: FAIL, what: what.into(), todo: Some(todo.into()) }
    }
}

impl From<proto::Check> for Line {
    fn from(check: proto::Check) -> Self {
        let verdict = match check.verdict() {
            proto::Verdict::Ok => OK,
            proto::Verdict::Warn => WARN,
            // What a later version says and this one does not know is worth a look.
            proto::Verdict::Fail | proto::Verdict::Unspecified => FAIL,
        };
        Self { name: check.name, verdict, what: check.what, todo: Some(check.todo).filter(|todo| !todo.is_empty()) }
    }
}

/// For people: first what to do, if anything, then everything.
fn text(lines: &[Line]) -> String {
    // What the node says of itself is what is known without a look at anything else: it goes last.
    let of =
        |verdict, is_node| lines.iter().find(move |line| line.verdict == verdict && (line.name == NODE) == is_node);
    let first = of(FAIL, false).or_else(|| of(FAIL, true)).or_else(|| of(WARN, false));
    let todo = first.and_then(|line| {
        let (name, what) = (&line.name, &line.what);
        line.todo.as_ref().map(|todo| words::wrapped(&format!("TO DO  {todo} ({name}: {what})")) + "\n\n")
    });
    let colour = |verdict| match verdict {
        OK => Color::Green,
        WARN => Color::Yellow,
        _ => Color::Red,
    };
    let rows = lines.iter().map(|line| {
        let todo = line.todo.as_ref().map(|todo| format!("\n-> {todo}")).unwrap_or_default();
        vec![
            Cell::new(line.verdict).fg(colour(line.verdict)),
            Cell::new(&line.name),
            Cell::new(format!("{}{todo}", line.what)),
        ]
    });
    let table = output::unbroken(output::table(["", "CHECK", "FOUND"], rows), [0, 1]);
    format!("{}{}", todo.unwrap_or_default(), table.trim_fmt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::assert_documented;

    #[test]
    fn what_to_do_comes_first_and_the_worst_of_it() {
        let lines = [
            Line::ok("node", "dhcp-a runs with revision 3"),
            Line::warn("clock", "nothing keeps it right", "run chrony"),
            Line::fail("partner", "office: dhcp-b was not heard for 12 s", "start dhcp-b"),
        ];
        assert_documented("doctor", &lines);
        let text = text(&lines);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        insta::assert_snapshot!(text);
    }
}
