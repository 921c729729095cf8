//! The HTTP side: two pages, for whoever may reach the address that the cluster file names.

use super::places::Places;
use super::{Readings, encode};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use standfast_core::node::Status;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// As the OpenMetrics specification wants it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The address for metrics cannot be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for metrics: {source}; `http` of this node in the cluster file must be a free address of this machine"
)]
pub struct HttpError {
    address: SocketAddr,
    source: io::Error,
}

/// Listens on `address`.
///
/// # Errors
/// Names the address and what to do.
pub(crate) async fn open(address: SocketAddr) -> Result<TcpListener, HttpError> {
    TcpListener::bind(address).await.map_err(|source| HttpError { address, source })
}

/// Serves both pages for as long as the process lives.
pub(crate) async fn serve(listener: TcpListener, readings: Arc<Readings>) {
    let pages = Router::new().route("/metrics", get(metrics)).route("/health", get(health)).with_state(readings);
    if let Err(error) = axum::serve(Places::at(listener), pages).await {
        tracing::error!(%error, "metrics are no longer served");
    }
}

async fn metrics(State(readings): State<Arc<Readings>>) -> Response {
    match readings.get().await {
        Ok(reading) => ([(header::CONTENT_TYPE, OPEN_METRICS)], encode(&reading)).into_response(),
        Err(unavailable) => (StatusCode::SERVICE_UNAVAILABLE, unavailable.to_string()).into_response(),
    }
}

/// Whether this node does what it is there for: it serves, or follows whoever does.
async fn health(State(readings): State<Arc<Readings>>) -> Response {
    let Ok(reading) = readings.get().await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "unavailable\n").into_response();
    };
    let (well, text) = health_of(&reading.status);
    let code = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, text).into_response()
}

/// A line for each relationship, and whether each is in good hands.
fn health_of(status: &Status) -> (bool, String) {
    let mut well = true;
    let mut text = String::new();
    for relationship in &status.relationships {
        well &= relationship.active_node.is_some();
        let active = relationship.active_node.as_ref().map_or("nobody", |node| node.as_str());
        text.push_str(&format!("{}: {}, active: {active}\n", relationship.name, relationship.phase));
    }
    if let Some(todo) = &status.todo {
        text.push_str(&format!("to do: {todo}\n"));
    }
    (well, text)
}
