//! The client's side of the signalling protocol: a member joins, publishes, follows what the server asks for, and leaves.
//!
//! ```text
//! mod          what a scenario says and gets
//! session      one WebSocket, from joining to leaving
//! description  SDP: our offers and answers, and what the server's say
//! tracks       what a member publishes
//! token        JSON Web Tokens
//! ```
//!
//! Wire messages are named here and nowhere else in this crate. It is a client of the open protocol and shares no code with our
//! own server's signalling.

mod description;
mod session;
mod token;
mod tracks;

use super::seam::{Media, MemberId};
use crate::peer::PeerError;
use std::time::Duration;
use tokio::sync::mpsc;

/// How a server is reached.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `ws://`, `wss://`, `http://` or `https://`, host and port.
    pub url: String,
    pub api_key: String,
    pub api_secret: String,
    pub mode: Mode,
    /// A join that takes longer has failed.
    pub join_timeout: Duration,
}

/// How many peer connections a member has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One for both directions (`/rtc/v1`).
    Single,
    /// One to publish and one to subscribe (`/rtc`), as older clients have them.
    Dual,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PublishPlan {
    Audio,
    Video { layers: u8, width: u32, height: u32 },
}

/// Who joins what, and how.
#[derive(Clone, Debug)]
pub struct Ticket {
    pub room: String,
    pub identity: String,
    pub member: MemberId,
    pub publish: Vec<PublishPlan>,
    /// Tracks of others that are expected: with one peer connection, the first offer has room for them.
    pub expect: Expected,
    /// It says which layers it wants, and gets the smallest until then.
    pub adaptive_stream: bool,
    pub seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Expected {
    pub audios: u32,
    pub videos: u32,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JoinError {
    #[error("the address of the server cannot be read: {0}")]
    Url(String),
    #[error("no token can be made: {0}")]
    Token(String),
    #[error("the server did not take the WebSocket: {0}")]
    WebSocket(String),
    #[error("the server ended the session: {0}")]
    Ended(String),
    #[error("a description of the server cannot be used: {0}")]
    Description(String),
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("no media connection: {0}")]
    Media(String),
    #[error("the join took too long")]
    Timeout,
}

/// How long each step of a join took, from its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JoinTimings {
    pub web_socket: Duration,
    pub joined: Duration,
    /// ICE and DTLS are done on every connection, and the tracks are published.
    pub connected: Duration,
}

/// What a member may be told later.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Request {
    /// Which layer of a participant's video is wanted: 0 low, 1 medium, 2 high.
    Quality {
        identity: String,
        layer: u8,
    },
    Leave,
}

/// A participant. Dropping it leaves without a word.
pub struct Member {
    timings: JoinTimings,
    requests: mpsc::Sender<Request>,
    task: tokio::task::JoinHandle<()>,
}

impl Member {
    pub fn timings(&self) -> JoinTimings {
        self.timings
    }

    pub fn is_alive(&self) -> bool {
        !self.task.is_finished()
    }

    /// Asks for a layer of what `identity` sends; forgotten when the member is gone.
    pub async fn set_quality(&self, identity: &str, layer: u8) {
        let request = Request::Quality { identity: identity.to_owned(), layer };
        let _ = self.requests.send(request).await;
    }

    pub async fn leave(mut self) {
        // Fails for a session that the server ended before.
        let _ = self.requests.send(Request::Leave).await;
        let _ = tokio::time::timeout(Duration::from_secs(2), &mut self.task).await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Joins, and is done when media flows both ways.
pub async fn join<M: Media>(endpoint: &Endpoint, ticket: Ticket, media: M) -> Result<Member, JoinError> {
    let timeout = endpoint.join_timeout;
    match tokio::time::timeout(timeout, session::join(endpoint, ticket, media)).await {
        Ok(result) => result,
        Err(_) => Err(JoinError::Timeout),
    }
}
