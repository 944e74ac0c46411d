//! One client's WebSocket, from greeting to goodbye.
//!
//! Reading and writing go on side by side; whichever ends first ends the session. Each can only wait for a bounded time.

use super::bucket::Bucket;
use crate::rooms::{Outbox, Outgoing, Session};
use crate::stats::{SessionEnd, Stats};
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use livekit_protocol::signal_response::Message;
use livekit_protocol::{SignalRequest, SignalResponse};
use prost::Message as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tungstenite::Error as WebSocketError;
use tungstenite::error::ProtocolError;

/// Longest message, in bytes: a description of 256 KiB in JSON, with room to spare.
const MESSAGE_LEN_MAX: usize = 512 * 1024;
/// Longest frame that is taken into memory. Above [`MESSAGE_LEN_MAX`], so that a message somewhat too long can be answered
/// with the close code that says so.
pub(super) const FRAME_LEN_MAX: usize = 2 * MESSAGE_LEN_MAX;
/// What a session keeps for reading, in bytes; longer messages grow it. Most are pings and small requests, and the
/// library's own 128 KiB would be the largest thing that an idle participant holds.
pub(super) const READ_BUFFER_LEN: usize = 4 * 1024;
/// A client that sends nothing for this long is gone: the SDKs ping every five seconds.
const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// A client that takes nothing for this long does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last messages may take to arrive.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn run(socket: WebSocket, mut session: Session) {
    let stats = session.stats().clone();
    stats.session_opened();
    let (mut sink, mut stream) = socket.split();
    let json = AtomicBool::new(false);
    let end = {
        let (requests, outbox, cut) = session.parts();
        let reading = read(&mut stream, &json, &stats, |request| requests.send(request));
        tokio::select! {
            end = reading => end,
            end = write(&mut sink, outbox, &json, &stats) => end,
            // A room that lets go of the session without cutting it off has its last messages in the queue.
            Ok(end) = cut => end,
        }
    };
    if end == SessionEnd::Malformed {
        stats.count_malformed();
    }
    tracing::debug!(reason = end.name(), "a session ended");
    // The room hears of it first: saying goodbye may take a moment.
    session.tell_gone();
    say_goodbye(&mut sink, &mut stream, end).await;
    stats.session_ended(end);
}

async fn read<F: Future<Output = bool>>(
    stream: &mut SplitStream<WebSocket>,
    json: &AtomicBool,
    stats: &Stats,
    deliver: impl Fn(SignalRequest) -> F,
) -> SessionEnd {
    let mut bucket = Bucket::new(Instant::now());
    loop {
        let frame = match timeout(PING_TIMEOUT, stream.next()).await {
            Err(_) => return SessionEnd::PingTimeout,
            Ok(None) => return SessionEnd::ConnectionLost,
            Ok(Some(Err(error))) => return unreadable(error),
            Ok(Some(Ok(frame))) => frame,
        };
        if !bucket.take(Instant::now(), len(&frame)) {
            return SessionEnd::Flood;
        }
        let request = match &frame {
            Frame::Binary(bytes) => accept(bytes, stats, |bytes| SignalRequest::decode(bytes).ok()),
            Frame::Text(text) => {
                json.store(true, Ordering::Relaxed);
                accept(text.as_bytes(), stats, |bytes| serde_json::from_slice(bytes).ok())
            }
            Frame::Ping(_) | Frame::Pong(_) => continue,
            Frame::Close(_) => return SessionEnd::ConnectionLost,
        };
        match request {
            Ok(request) => {
                if !deliver(request).await {
                    // The room is gone; what it said last still waits to be written.
                    std::future::pending::<()>().await;
                }
            }
            Err(end) => return end,
        }
    }
}

fn len(frame: &Frame) -> usize {
    match frame {
        Frame::Text(text) => text.len(),
        Frame::Binary(bytes) | Frame::Ping(bytes) | Frame::Pong(bytes) => bytes.len(),
        Frame::Close(_) => 0,
    }
}

fn accept(
    bytes: &[u8],
    stats: &Stats,
    decode: impl FnOnce(&[u8]) -> Option<SignalRequest>,
) -> Result<SignalRequest, SessionEnd> {
    stats.received(bytes.len());
    if bytes.len() > MESSAGE_LEN_MAX {
        return Err(SessionEnd::MessageTooLarge);
    }
    decode(bytes).ok_or(SessionEnd::Malformed)
}

/// What a frame that the library refuses says about its sender. Told apart by the library's own errors, so this crate names
/// the version that axum uses.
fn unreadable(error: axum::Error) -> SessionEnd {
    match error.into_inner().downcast_ref() {
        Some(WebSocketError::Capacity(_)) => SessionEnd::MessageTooLarge,
        Some(WebSocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => SessionEnd::ConnectionLost,
        Some(WebSocketError::Utf8(_) | WebSocketError::Protocol(_)) => SessionEnd::Malformed,
        _ => SessionEnd::ConnectionLost,
    }
}

async fn write(
    sink: &mut SplitSink<WebSocket, Frame>,
    outbox: &mut Outbox,
    json: &AtomicBool,
    stats: &Stats,
) -> SessionEnd {
    while let Some(outgoing) = outbox.next().await {
        let message = match outgoing {
            Outgoing::Message(message) => message,
            Outgoing::Close(end) => return end,
        };
        let Some(frame) = encode(*message, json.load(Ordering::Relaxed)) else { continue };
        stats.sent(len(&frame));
        match timeout(WRITE_TIMEOUT, sink.send(frame)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return SessionEnd::ConnectionLost,
            Err(_) => return SessionEnd::SlowReader,
        }
    }
    SessionEnd::Shutdown
}

/// A client that wrote text is answered in text.
fn encode(message: Message, json: bool) -> Option<Frame> {
    let response = SignalResponse { message: Some(message) };
    if !json {
        return Some(Frame::Binary(response.encode_to_vec().into()));
    }
    match serde_json::to_string(&response) {
        Ok(text) => Some(Frame::Text(text.into())),
        Err(error) => {
            tracing::error!(%error, "a message has no JSON form");
            None
        }
    }
}

/// Says why, and waits for the client to close: a socket dropped with unread input takes back what it sent last.
async fn say_goodbye(sink: &mut SplitSink<WebSocket, Frame>, stream: &mut SplitStream<WebSocket>, end: SessionEnd) {
    let close = Frame::Close(Some(CloseFrame { code: close_code(end), reason: end.name().into() }));
    let goodbye = async {
        // Fails where the client closed first; the answer to its close frame then waits in the socket, and reading sends
        // it (RFC 6455 section 5.5.1).
        let _ = sink.send(close).await;
        while let Some(Ok(frame)) = stream.next().await {
            if matches!(frame, Frame::Close(_)) {
                return;
            }
        }
        // After a frame that the library refused it reads no further; the rest of it lies in the socket.
        if matches!(end, SessionEnd::MessageTooLarge | SessionEnd::Malformed) {
            std::future::pending::<()>().await;
        }
    };
    // Whoever does not close in time is cut off.
    let _ = timeout(CLOSE_TIMEOUT, goodbye).await;
}

/// RFC 6455 section 7.4.1.
fn close_code(end: SessionEnd) -> u16 {
    match end {
        SessionEnd::Left
        | SessionEnd::ConnectionLost
        | SessionEnd::Replaced
        | SessionEnd::DuplicateIdentity
        | SessionEnd::Removed
        | SessionEnd::RoomDeleted
        | SessionEnd::MediaFailed
        | SessionEnd::StateMismatch => 1000,
        SessionEnd::Shutdown | SessionEnd::Simulated => 1001,
        SessionEnd::Malformed => 1007,
        SessionEnd::PingTimeout
        | SessionEnd::SlowReader
        | SessionEnd::Flood
        | SessionEnd::DataFlood
        | SessionEnd::NoAnswer => 1008,
        SessionEnd::MessageTooLarge => 1009,
    }
}
