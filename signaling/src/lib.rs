//! The protocol edge: client sessions over WebSocket, rooms, negotiation of descriptions, and the server API.
//!
//! Wire messages (`livekit_protocol`) are named in this crate and nowhere else.
//!
//! ```text
//! access        tokens: claims, grants, verification
//! negotiation   SDP to the media core's typed parameters and back
//! room          the pure room state machine: who is here, who publishes, who receives
//! rooms         the registry and the task that runs each room; the server API's verbs
//! session       WebSocket endpoints: /rtc, /rtc/v1, validate
//! twirp         the server API over HTTP
//! stats         counters for metrics
//! ```

pub mod access;
pub mod negotiation;
pub mod room;
pub mod rooms;
pub mod session;
pub mod stats;
pub mod twirp;
