//! The status of a node as it changes, through every restart of it.

use super::report::Report;
use crate::admin::{self, Server};
use crate::exit::Failure;
use standfast_rpc::proto;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a node that is not there is left alone.
const RETRY: Duration = Duration::from_millis(200);

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum News {
    Status(Box<Report>),
    /// Nobody answers, and why.
    Away(String),
}

/// Asks `server` again and again, about each `interval`, until the receiver is dropped.
pub(crate) fn follow(server: Server, interval: Duration) -> mpsc::Receiver<News> {
    let (sender, receiver) = mpsc::channel(8);
    tokio::spawn(async move {
        while !sender.is_closed() {
            let why = match stream(&server, interval, &sender).await {
                Ok(()) => "the node ended the conversation".to_owned(),
                Err(failure) => failure.to_string(),
            };
            if sender.send(News::Away(why)).await.is_err() {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    });
    receiver
}

/// Until the node or the receiver goes away.
async fn stream(server: &Server, interval: Duration, sender: &mpsc::Sender<News>) -> Result<(), Failure> {
    let mut client = server.connect().await?;
    let interval_ms = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
    let watch = client.watch_status(proto::WatchStatusRequest { interval_ms }).await;
    let mut statuses = watch.map_err(|status| admin::failed(&status))?.into_inner();
    while let Some(response) = statuses.message().await.map_err(|status| admin::failed(&status))? {
        let report = Report::from(response.status.unwrap_or_default());
        if sender.send(News::Status(Box::new(report))).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
