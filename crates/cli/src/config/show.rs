//! `standfast config show`: the revision in use. The text alone goes to standard output, so that it can be edited and
//! applied again.

use crate::admin;
use crate::exit::{Exit, Outcome};
use crate::output;
use crate::question::Question;
use crate::words;
use clap::Args;
use serde_json::json;
use standfast_rpc::proto;

#[derive(Args)]
pub(crate) struct Show {
    #[command(flatten)]
    question: Question,
}

impl Show {
    pub(crate) fn run(self) -> Outcome {
        admin::block_on(async {
            let mut client = self.question.connect().await?;
            let response = client.get_configuration(proto::GetConfigurationRequest {}).await;
            let proto::GetConfigurationResponse { configuration, notes } =
                response.map_err(|status| admin::failed(&status))?.into_inner();
            let configuration = configuration.unwrap_or_default();
            if self.question.json {
                output::line(&as_json(&configuration, &notes).to_string());
            } else {
                output::error(&heading(&configuration));
                notes.iter().for_each(|note| output::error(&words::wrapped(note)));
                output::raw(configuration.text.as_bytes());
            }
            Ok(Exit::Done)
        })
    }
}

fn heading(configuration: &proto::ConfigurationText) -> String {
    let revision = words::revision(configuration.revision.as_ref());
    match configuration.act.as_ref().filter(|act| !act.who.is_empty()) {
        Some(act) => {
            let why = if act.why.is_empty() { String::new() } else { format!(": {}", act.why) };
            format!("Revision {revision}, applied by {} at {}{why}", act.who, words::rfc3339(act.when_ms))
        }
        None => format!("Revision {revision}, from the cluster file of its node"),
    }
}

fn as_json(configuration: &proto::ConfigurationText, notes: &[String]) -> serde_json::Value {
    let revision = configuration.revision.clone().unwrap_or_default();
    let applied = configuration
        .act
        .as_ref()
        .filter(|act| !act.who.is_empty())
        .map(|act| json!({ "who": act.who, "why": act.why, "when": words::rfc3339(act.when_ms) }));
    json!({
        "revision": { "number": revision.number, "node": revision.node },
        "applied": applied,
        "notes": notes,
        "text": configuration.text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::assert_documented;

    #[test]
    fn who_applied_it_and_why_stands_above_the_text() {
        let mut configuration = proto::ConfigurationText {
            revision: Some(proto::Revision { number: 3, node: "dhcp-a".into() }),
            act: Some(proto::Act { who: "alice".into(), why: "a new floor".into(), when_ms: 0 }),
            text: String::new(),
        };
        let said = "Revision 3 of dhcp-a, applied by alice at 1970-01-01T00:00:00.000Z: a new floor";
        assert_eq!(heading(&configuration), said);
        assert_documented("config", &as_json(&configuration, &[]));
        assert_eq!(as_json(&configuration, &[])["applied"]["why"], "a new floor");
        configuration.act = None;
        assert_eq!(heading(&configuration), "Revision 3 of dhcp-a, from the cluster file of its node");
        assert!(as_json(&configuration, &[])["applied"].is_null());
    }
}
