//! What operators look at: metrics, probes and logs. Served on a listener of its own.

mod exposition;
mod logging;
mod metrics;

pub use logging::start as start_logging;
pub use metrics::Sources;

use crate::store::Store;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the server takes new meetings; set once everything listens, cleared when it begins to stop.
#[derive(Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    pub fn set(&self, is_ready: bool) {
        self.0.store(is_ready, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Ops {
    sources: Sources,
    readiness: Readiness,
    store: Store,
}

pub fn router(sources: Sources, readiness: Readiness, store: Store) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(Ops { sources, readiness, store })
}

async fn metrics(State(ops): State<Ops>) -> Response {
    match ops.sources.render() {
        Ok(text) => ([(CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Fails only where a restart would help: a media thread has ended.
async fn livez(State(ops): State<Ops>) -> Response {
    if ops.sources.media.is_running() {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "a media worker has stopped\n").into_response()
    }
}

async fn readyz(State(ops): State<Ops>) -> Response {
    if !ops.readiness.get() || !ops.sources.media.is_running() {
        return (StatusCode::SERVICE_UNAVAILABLE, "not taking new meetings\n").into_response();
    }
    if let Err(error) = ops.store.health().await {
        tracing::warn!(%error, "the store does not answer");
        return (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response();
    }
    (StatusCode::OK, "ok\n").into_response()
}
