//! `standfast explain`: what a node would answer to a client now and why, and what it last did about it.

use crate::admin;
use crate::exit::{Exit, Failure, Outcome};
use crate::question::Question;
use crate::words;
use clap::Args;
use serde::Serialize;
use standfast_core::dhcp::reason;
use standfast_node::clock;
use standfast_rpc::proto;
use standfast_rpc::proto::explain_request::Subject;
use std::net::Ipv4Addr;

#[derive(Args)]
pub(crate) struct Explain {
    /// An address; a hardware address as 02:00:5e:10:00:01; or a client id, as more or fewer bytes of the same form, or
    /// as id:01:02 or hex:0102
    #[arg(value_parser = subject, value_name = "MAC|ADDRESS|CLIENT-ID")]
    subject: Subject,
    /// Only in this scope
    #[arg(long, value_name = "NAME")]
    scope: Option<String>,
    #[command(flatten)]
    question: Question,
}

/// As `--json` prints it: an interface, to which fields are only added.
#[derive(Serialize)]
struct Report {
    node: String,
    scopes: Vec<InScope>,
    last: Vec<Deed>,
}

/// What a DISCOVER would meet in one scope.
#[derive(Serialize)]
struct InScope {
    scope: String,
    state: Option<&'static str>,
    reserved: Option<Ipv4Addr>,
    lease: Option<Lease>,
    would: String,
}

#[derive(Serialize)]
struct Lease {
    address: Ipv4Addr,
    client_id: String,
    hardware: String,
    hostname: String,
    state: Option<&'static str>,
    expiry: String,
    remaining_seconds: i64,
}

/// What the node did about one message.
#[derive(Serialize)]
struct Deed {
    time: String,
    message: String,
    /// As metrics name it; absent if the message was answered, or needed no answer.
    silence: Option<String>,
    /// The same for people.
    why: Option<&'static str>,
    #[serde(skip)]
    time_ms: i64,
}

impl Explain {
    pub(crate) fn run(self) -> Outcome {
        admin::block_on(async {
            let mut client = self.question.connect().await?;
            let scope = self.scope.clone().unwrap_or_default();
            let request = proto::ExplainRequest { subject: Some(self.subject.clone()), scope };
            let response = client.explain(request).await.map_err(|status| admin::failed(&status))?;
            let report = Report::from(response.into_inner());
            if report.scopes.is_empty() && !self.question.json {
                return Err(Failure::new(Exit::Failed, "no scope of this node has to do with it"));
            }
            self.question.answer(&report, || report.text(clock::wall().0))?;
            Ok(Exit::Done)
        })
    }
}

/// Whom or what to explain. Six bytes are a hardware address unless they are said to be a client id.
fn subject(text: &str) -> Result<Subject, String> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Subject::Address(address.to_bits()));
    }
    let (id, is_id) = text.strip_prefix("id:").map_or((text, false), |id| (id, true));
    // As the cluster file writes it.
    let (bytes, is_id) = match text.strip_prefix("hex:") {
        Some(digits) => (words::bytes(&in_pairs(digits)), true),
        None => (id.split([':', '-']).map(|byte| u8::from_str_radix(byte, 16).ok()).collect(), is_id),
    };
    let bytes: Vec<u8> =
        bytes.ok_or("neither an address, as 10.20.0.50, nor bytes in hexadecimal, as 02:00:5e:10:00:01")?;
    Ok(if bytes.len() == 6 && !is_id {
        Subject::Hardware(proto::HardwareAddress { kind: 1, address: bytes })
    } else {
        Subject::ClientId(bytes)
    })
}

fn in_pairs(digits: &str) -> String {
    digits.as_bytes().chunks(2).map(String::from_utf8_lossy).collect::<Vec<_>>().join(":")
}

impl From<proto::ExplainResponse> for Report {
    fn from(response: proto::ExplainResponse) -> Self {
        Self {
            node: response.node,
            scopes: response.explanations.into_iter().map(InScope::from).collect(),
            last: response.deeds.into_iter().map(Deed::from).collect(),
        }
    }
}

impl From<proto::Explanation> for InScope {
    fn from(explanation: proto::Explanation) -> Self {
        Self {
            state: words::scope_state(explanation.state()),
            scope: explanation.scope,
            reserved: explanation.reserved.map(Ipv4Addr::from_bits),
            lease: explanation.lease.map(Lease::from),
            would: explanation.would,
        }
    }
}

impl From<proto::LeaseView> for Lease {
    fn from(lease: proto::LeaseView) -> Self {
        Self {
            state: words::lease_state(lease.state()),
            address: Ipv4Addr::from_bits(lease.address),
            client_id: words::client_id(&lease.client_id),
            hardware: words::hardware(lease.hardware.as_ref()),
            hostname: words::hostname(&lease.hostname),
            expiry: words::rfc3339(lease.expiry_ms),
            remaining_seconds: lease.remaining_seconds,
        }
    }
}

impl From<proto::Deed> for Deed {
    fn from(deed: proto::Deed) -> Self {
        let silence = Some(deed.silence).filter(|silence| !silence.is_empty());
        Self {
            time: words::rfc3339(deed.time_ms),
            time_ms: deed.time_ms,
            message: deed.message,
            why: silence.as_deref().and_then(reason::sentence),
            silence,
        }
    }
}

impl Report {
    /// For people, at `now`, in milliseconds since 1970.
    fn text(&self, now: i64) -> String {
        let mut lines = Vec::new();
        for scope in &self.scopes {
            lines.push(format!("{} on {}: {}", scope.scope, self.node, scope.state.unwrap_or("-")));
            lines.push(format!("  now       {}", words::wrapped_in(12, &scope.would)));
            lines.extend(scope.reserved.map(|address| format!("  reserved  {address}")));
            lines.extend(scope.lease.as_ref().map(|lease| format!("  lease     {}", lease.text())));
        }
        if !self.last.is_empty() {
            lines.push(String::from("\nWhat became of its latest messages here:"));
        }
        lines.extend(self.last.iter().map(|deed| {
            let became = match (&deed.silence, deed.why) {
                (None, _) => "answered, or done".to_owned(),
                (Some(label), Some(why)) => format!("silence ({label}): {why}"),
                (Some(label), None) => format!("silence ({label})"),
            };
            format!("  {}  {:<9} {became}", words::local(deed.time_ms, now), deed.message)
        }));
        lines.join("\n")
    }
}

impl Lease {
    fn text(&self) -> String {
        let state = self.state.unwrap_or("-");
        let left = u64::try_from(self.remaining_seconds).ok().map(|left| words::roughly(left.saturating_mul(1_000)));
        let until = left.map(|left| format!(", {left} left")).unwrap_or_default();
        format!("{} is {state}{until}; client {}, hardware {}", self.address, self.client_id, self.hardware)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::assert_documented;

    #[test]
    fn a_subject_is_an_address_a_hardware_address_or_a_client_id() {
        assert_eq!(subject("10.20.0.50"), Ok(Subject::Address(0x0a14_0032)));
        let hardware = proto::HardwareAddress { kind: 1, address: vec![2, 0, 0x5e, 0x10, 0, 1] };
        assert_eq!(subject("02:00:5e:10:00:01"), Ok(Subject::Hardware(hardware.clone())));
        assert_eq!(subject("02-00-5E-10-00-01"), Ok(Subject::Hardware(hardware)));
        assert_eq!(subject("01:02:00:5e:10:00:01"), Ok(Subject::ClientId(vec![1, 2, 0, 0x5e, 0x10, 0, 1])));
        assert_eq!(subject("id:02:00:5e:10:00:01"), Ok(Subject::ClientId(vec![2, 0, 0x5e, 0x10, 0, 1])));
        assert_eq!(subject("hex:02005e"), Ok(Subject::ClientId(vec![2, 0, 0x5e])));
        assert!(["hex:0", "hex:", "hex:printer"].into_iter().all(|text| subject(text).is_err()));
    }

    #[test]
    fn people_see_what_would_be_done_and_what_was() {
        let lease = proto::LeaseView {
            address: 0x0a14_0032,
            client_id: vec![1, 2, 0, 0, 0, 0, 1],
            hardware: Some(proto::HardwareAddress { kind: 1, address: vec![2, 0, 0, 0, 0, 1] }),
            state: proto::LeaseState::Bound.into(),
            remaining_seconds: 3_000,
            ..Default::default()
        };
        let now = 1_700_000_000_000;
        let deed = |silence: &str| proto::Deed {
            time_ms: now,
            message: "request".into(),
            silence: silence.into(),
            ..Default::default()
        };
        let report = Report::from(proto::ExplainResponse {
            node: "dhcp-a".into(),
            explanations: vec![proto::Explanation {
                scope: "office-lan".into(),
                state: proto::ScopeState::Active.into(),
                reserved: None,
                lease: Some(lease),
                would: "10.20.0.50: an offer of it: it is the client's lease".into(),
            }],
            deeds: vec![deed(""), deed("other_server")],
        });
        let text = report.text(now).replace(&words::local(now, now), "22:13:20");
        insta::assert_snapshot!(text);
        assert_documented("explain", &report);
        assert_eq!(report.last[1].why, Some("Another server was chosen."));
    }
}
