//! What every command that asks a node has in common: which node, and whether people or programs read the answer.

use crate::admin::{Client, Server};
use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use standfast_rpc::proto;

#[derive(Args, Clone, Debug)]
pub(crate) struct Question {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

impl Question {
    /// Connects.
    ///
    /// # Errors
    /// With what to do about it.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        self.server.connect().await
    }

    /// Prints an answer, as `text` for people.
    pub(crate) fn answer(&self, answer: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        output::line(&if self.json { as_json(answer)? } else { text() });
        Ok(())
    }

    /// What an operator's request comes to: its text is said either way.
    pub(crate) fn concluded(&self, result: Option<proto::CommandResult>) -> Outcome {
        self.concluded_with(result, |act| act)
    }

    /// The same, with more that programs are told.
    pub(crate) fn concluded_with(
        &self,
        result: Option<proto::CommandResult>,
        more: impl FnOnce(Value) -> Value,
    ) -> Outcome {
        let proto::CommandResult { outcome, text } = result.unwrap_or_default();
        let (outcome, exit) = match proto::Outcome::try_from(outcome) {
            Ok(proto::Outcome::Done) => ("done", Exit::Done),
            Ok(proto::Outcome::Refused) => ("refused", Exit::Refused),
            Ok(proto::Outcome::Failed) => ("failed", Exit::Failed),
            Ok(proto::Outcome::Unspecified) | Err(_) => {
                return Err(Failure::new(Exit::Failed, "the node did not say what became of it"));
            }
        };
        if self.json {
            output::line(&more(json!({ "outcome": outcome, "text": text })).to_string());
            Ok(exit)
        } else if exit == Exit::Done {
            output::line(&text);
            Ok(exit)
        } else {
            Err(Failure::new(exit, format!("{outcome}: {text}")))
        }
    }
}

/// What is refused before a node is asked.
pub(crate) fn refusal(text: impl Into<String>) -> Option<proto::CommandResult> {
    Some(proto::CommandResult { outcome: proto::Outcome::Refused.into(), text: text.into() })
}

/// On one line.
pub(crate) fn as_json(answer: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(answer).map_err(|error| Failure::new(Exit::Failed, error))
}

/// Checks that the page of the interface names every key of an answer, in the part of this command.
#[cfg(test)]
pub(crate) fn assert_documented(command: &str, answer: &impl Serialize) {
    const PAGE: &str = include_str!("../../../docs/reference/json.md");
    fn keys(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
            Value::Object(fields) => fields.iter().for_each(|(key, value)| {
                found.push(key.clone());
                keys(value, found);
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let heading = format!("\n## {command}\n");
    let (_, part) = PAGE.split_once(&heading).unwrap_or_else(|| panic!("the page has no part `{command}`"));
    let part = part.split("\n## ").next().unwrap_or_default();
    let words: Vec<&str> = part.split(|char: char| !char.is_ascii_alphanumeric() && char != '_').collect();
    let mut found = Vec::new();
    keys(&serde_json::to_value(answer).expect("answers are JSON"), &mut found);
    assert!(!found.is_empty(), "an example of {command} has keys");
    for key in found {
        assert!(words.contains(&key.as_str()), "docs/reference/json.md does not tell of `{key}` of {command}");
    }
}
