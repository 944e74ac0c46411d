//! What the pages ask of the server over HTTP.

mod headers;
mod join;
mod problem;

pub use headers::security_headers;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use consilium_signaling::access::ApiKeys;
use std::sync::Arc;

/// Largest request body, in bytes. A room and a name fit many times.
const BODY_LEN_MAX: usize = 8 * 1024;

/// Who may enter without a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Anyone, into any room.
    Open,
    /// Nobody: tokens come from the host.
    ByToken,
}

pub fn router(keys: Arc<ApiKeys>, entry: Entry) -> Router {
    Router::new()
        .route("/api/v1/join", post(join::join))
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .with_state(join::Door { keys, entry })
}
