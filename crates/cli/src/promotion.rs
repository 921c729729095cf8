//! `standfast pause`, `resume` and `init`: when a standby may be promoted, and what two empty stores mean.

use crate::admin;
use crate::exit::Outcome;
use crate::question::Question;
use clap::Args;
use standfast_rpc::proto;
use std::time::Duration;

#[derive(Args)]
pub(crate) struct Pause {
    /// For how long, as 30min or 2h; the pause ends by itself
    #[arg(value_parser = duration)]
    duration: Duration,
    /// Only in this relationship
    #[arg(long, value_name = "NAME")]
    relationship: Option<String>,
    #[command(flatten)]
    question: Question,
}

#[derive(Args)]
pub(crate) struct Resume {
    /// Only in this relationship
    #[arg(long, value_name = "NAME")]
    relationship: Option<String>,
    #[command(flatten)]
    question: Question,
}

#[derive(Args)]
pub(crate) struct Init {
    #[command(flatten)]
    question: Question,
}

impl Pause {
    pub(crate) fn run(self) -> Outcome {
        pause(&self.question, self.relationship, self.duration)
    }
}

impl Resume {
    pub(crate) fn run(self) -> Outcome {
        pause(&self.question, self.relationship, Duration::ZERO)
    }
}

impl Init {
    pub(crate) fn run(self) -> Outcome {
        admin::block_on(async {
            let mut client = self.question.connect().await?;
            let response =
                client.initialise(proto::InitialiseRequest {}).await.map_err(|status| admin::failed(&status))?;
            self.question.concluded(response.into_inner().result)
        })
    }
}

fn pause(question: &Question, relationship: Option<String>, duration: Duration) -> Outcome {
    admin::block_on(async {
        let mut client = question.connect().await?;
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let request = proto::PausePromotionRequest { relationship: relationship.unwrap_or_default(), duration_ms };
        let response = client.pause_promotion(request).await.map_err(|status| admin::failed(&status))?;
        question.concluded(response.into_inner().result)
    })
}

/// A pause of no time would be the end of one.
fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 30min or 2h"))?;
    if duration.is_zero() {
        return Err("a pause lasts some time; to end one, say `standfast resume`".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_has_a_length() {
        assert_eq!(duration("90min"), Ok(Duration::from_secs(5_400)));
        assert!(duration("0s").is_err_and(|why| why.contains("standfast resume")));
        assert!(duration("soon").is_err());
    }
}
