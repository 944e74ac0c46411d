//! Where signalling and media of the load generator meet. Signalling makes a connection's [`Peer`] and learns where the server
//! is; the media engine owns sockets, time and crypto from then on. Neither knows more of the other than this.

use crate::peer::Peer;
use consilium_media_core::ids::{Mid, PayloadType, Rid, Ssrc};
use std::net::SocketAddr;
use std::time::Instant;
use tokio::sync::oneshot;

/// Payload type under which packets come again (RFC 4588), in our offers.
pub const RTX: u8 = 97;

/// A simulated participant, counted from 0 over the whole run. It stands in each payload that the participant sends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MemberId(pub u32);

/// One peer connection of a member: with two peer connections per member, each has its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConnectionId {
    pub member: MemberId,
    pub role: ConnectionRole,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ConnectionRole {
    /// Sends, and receives too where there is one peer connection only.
    Publisher,
    Subscriber,
}

/// A connection whose two descriptions are known: `peer` has been told the server's credentials and fingerprint.
pub struct Connection {
    pub id: ConnectionId,
    pub peer: Peer,
    pub server: SocketAddr,
    /// Told once: when ICE and DTLS are done, or why they never will be.
    pub connected: oneshot::Sender<Result<Instant, String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StreamKind {
    Audio,
    Video,
}

/// One RTP stream that a member sends, as negotiated. What it sends, and when, is the engine's plan.
#[derive(Clone, Debug)]
pub struct OutgoingStream {
    pub kind: StreamKind,
    /// Simulcast: 0 is the smallest.
    pub layer: u8,
    pub ssrc: Ssrc,
    pub payload_type: PayloadType,
    pub mid: Mid,
    pub rid: Option<Rid>,
    /// Negotiated header extension ids (RFC 8285); `None` where the server did not accept the extension.
    pub mid_extension: Option<u8>,
    pub rid_extension: Option<u8>,
    pub transport_cc_extension: Option<u8>,
    pub audio_level_extension: Option<u8>,
}

/// The engine, as signalling sees it. Calls never block.
pub trait Media: Clone + Send + 'static {
    /// Takes a connection over and connects it.
    fn connect(&self, connection: Connection);
    /// The connection sends these streams from now on, in addition to what it sends already.
    fn publish(&self, id: ConnectionId, streams: Vec<OutgoingStream>);
    /// The member sends its first `layers` layers of video and no others.
    fn set_layers(&self, id: ConnectionId, layers: u8);
    /// Forgets the connection and everything that it sends.
    fn close(&self, id: ConnectionId);
}
