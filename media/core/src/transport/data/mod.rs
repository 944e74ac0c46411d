//! The data channels of one peer: SCTP streams with a label (RFC 8831, RFC 8832).
//!
//! Takes and gives SCTP packets, which the transport carries inside DTLS. Knows nothing of what the messages mean.

mod association;
mod backlog;
mod dcep;
mod inbound;
#[cfg(test)]
mod tests;

use crate::control::{DataChannelId, Reliability};
use crate::drops::DropReason;
use crate::limits::{
    DATA_BUFFERED_BYTES_MAX, DATA_CHANNELS_MAX, DATA_MESSAGE_LEN_MAX, DATA_RECEIVED_LEN_MAX, LOSSY_BUFFERED_BYTES_MAX,
    LOSSY_YIELD_BYTES,
};
use crate::params::DtlsRole;
use association::Sctp;
use backlog::{Backlog, Pace, Waiting};
use bytes::Bytes;
use dcep::{ChannelType, LABEL_LEN_MAX, Message, Retransmission};
use inbound::{Flood, Inbound};
use rtc::sctp::{Event, PayloadProtocolIdentifier, ReliabilityType, Stream, StreamEvent};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// SCTP streams that a peer may bring into being; each costs the engine memory and time, channel or not.
const STREAMS_MAX: usize = 4 * DATA_CHANNELS_MAX;
/// As the DTLS client we begin SCTP if the peer has not begun for so long: browsers need less, others wait for us.
const CONNECT_AS_CLIENT_AFTER: Duration = Duration::from_millis(300);
/// As the DTLS server the peer is expected to begin, so we wait longer, and begin only to open a channel.
const CONNECT_AS_SERVER_AFTER: Duration = Duration::from_secs(1);
/// Reliable messages queued towards one peer: each costs the engine some 250 bytes beside its payload, so that with the
/// smallest messages the limit on bytes would hold nothing back.
const BUFFERED_MESSAGES_MAX: usize = 16_384;
/// The same for lossy messages, a few seconds of them at the rate at which one peer may send.
const LOSSY_BUFFERED_MESSAGES_MAX: usize = 2_048;
/// Fragments that may gather between two reads while a peer's reliable messages are left unread: a whole receive window
/// of 128 bytes each. The window counts their bytes, and each costs the engine some 250 more.
const HELD_FRAGMENTS_MAX: u64 = 8_192;
/// RFC 8831 section 6.2: 65,535 is not a stream.
const STREAM_ID_MAX: u16 = 65_534;

pub(super) enum DataEvent {
    Opened {
        channel: DataChannelId,
        label: String,
        reliability: Reliability,
    },
    Closed {
        channel: DataChannelId,
    },
    Message {
        channel: DataChannelId,
        binary: bool,
        payload: Bytes,
    },
    /// The association ended, or the peer abused it.
    Lost,
    /// The peer sent more reliable messages than it may.
    Flood,
}

/// Why a message was not queued.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SendError {
    /// No such open channel, too long a message, or a lossy channel over the backlog.
    Dropped,
    /// A reliable channel over the backlog: something would be missing for ever.
    Backlog,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ChannelPhase {
    /// We sent OPEN and wait for the ACK.
    Opening,
    Open,
}

struct Channel {
    id: u16,
    channel_type: ChannelType,
    label: String,
    phase: ChannelPhase,
    backlog: Backlog,
}

pub(super) struct DataChannels {
    /// `None` until DTLS is up.
    sctp: Option<Sctp>,
    role: DtlsRole,
    connect_at: Option<Instant>,
    established: bool,
    channels: Vec<Channel>,
    /// To be opened when SCTP is up.
    waiting: VecDeque<(String, Reliability)>,
    message_len_max: usize,
    inbound: Inbound,
    /// Streams with reliable messages that wait until the peer may send again, and when that is. The engine's receive window
    /// bounds what waits, and [`STREAMS_MAX`] the list.
    held: Vec<u16>,
    read_at: Option<Instant>,
    /// Fragments of the messages that were read, and how many had been left unread when the wait for `read_at` began.
    fragments_read: u64,
    held_from: u64,
    pace: Pace,
    events: VecDeque<DataEvent>,
    /// Nothing more is read: the event that says why was given.
    ended: bool,
}

impl DataChannels {
    pub(super) fn new() -> Self {
        Self {
            sctp: None,
            role: DtlsRole::Server,
            connect_at: None,
            established: false,
            channels: Vec::new(),
            waiting: VecDeque::new(),
            message_len_max: DATA_MESSAGE_LEN_MAX,
            inbound: Inbound::new(),
            held: Vec::new(),
            read_at: None,
            fragments_read: 0,
            held_from: 0,
            pace: Pace::default(),
            events: VecDeque::new(),
            ended: false,
        }
    }

    /// RFC 8841 section 6: zero means any size.
    pub(super) fn set_remote_max_message_size(&mut self, bytes: u32) {
        self.message_len_max = match bytes as usize {
            0 => DATA_MESSAGE_LEN_MAX,
            bytes => bytes.min(DATA_MESSAGE_LEN_MAX),
        };
    }

    /// DTLS is up.
    pub(super) fn start(&mut self, now: Instant, role: DtlsRole) {
        self.sctp = Some(Sctp::new(role));
        self.role = role;
        self.connect_at = match role {
            DtlsRole::Client => Some(now + CONNECT_AS_CLIENT_AFTER),
            DtlsRole::Server => Some(now + CONNECT_AS_SERVER_AFTER),
        };
    }

    /// Does nothing over [`DATA_CHANNELS_MAX`] or with a label over [`LABEL_LEN_MAX`] bytes.
    pub(super) fn open(&mut self, now: Instant, label: String, reliability: Reliability) {
        if label.len() > LABEL_LEN_MAX || self.channels.len() + self.waiting.len() >= DATA_CHANNELS_MAX {
            return;
        }
        self.waiting.push_back((label, reliability));
        if self.established {
            self.open_waiting(now);
        } else if self.sctp.as_ref().is_some_and(Sctp::is_idle) && self.connect_at.is_none() {
            self.connect_at = Some(now);
        }
    }

    pub(super) fn send(
        &mut self,
        now: Instant,
        channel: DataChannelId,
        binary: bool,
        payload: Bytes,
    ) -> Result<(), SendError> {
        let id = channel.get();
        let open = self.channels.iter().find(|known| known.id == id && known.phase == ChannelPhase::Open);
        let reliability = open.ok_or(SendError::Dropped)?.channel_type.reliability();
        if payload.len() > self.message_len_max {
            return Err(SendError::Dropped);
        }
        self.check_backlog(reliability, payload.len())?;
        // RFC 8831 section 6.6: SCTP has no empty messages, so one zero byte stands for one.
        let (kind, payload) = match (binary, payload.is_empty()) {
            (true, false) => (PayloadProtocolIdentifier::Binary, payload),
            (false, false) => (PayloadProtocolIdentifier::String, payload),
            (true, true) => (PayloadProtocolIdentifier::BinaryEmpty, Bytes::from_static(&[0])),
            (false, true) => (PayloadProtocolIdentifier::StringEmpty, Bytes::from_static(&[0])),
        };
        let written = self.stream(id).and_then(|mut stream| stream.write_chunk_with_ppi(now, &payload, kind).ok());
        let len = written.ok_or(SendError::Dropped)?;
        self.channel_mut(id).ok_or(SendError::Dropped)?.backlog.push(len);
        Ok(())
    }

    /// Lossy and reliable messages have limits of their own, so that neither takes the other's place.
    fn check_backlog(&self, reliability: Reliability, len: usize) -> Result<(), SendError> {
        let waiting = self.waiting(reliability);
        match reliability {
            Reliability::Reliable
                if waiting.messages >= BUFFERED_MESSAGES_MAX || waiting.bytes + len > DATA_BUFFERED_BYTES_MAX =>
            {
                Err(SendError::Backlog)
            }
            Reliability::Lossy
                if waiting.messages >= LOSSY_BUFFERED_MESSAGES_MAX
                    || waiting.bytes + len > LOSSY_BUFFERED_BYTES_MAX
                    || self.waiting(Reliability::Reliable).bytes > LOSSY_YIELD_BYTES =>
            {
                Err(SendError::Dropped)
            }
            Reliability::Reliable | Reliability::Lossy => Ok(()),
        }
    }

    fn waiting(&self, reliability: Reliability) -> Waiting {
        let channels = self.channels.iter().filter(|channel| channel.channel_type.reliability() == reliability);
        channels.fold(Waiting::default(), |sum, channel| Waiting {
            messages: sum.messages + channel.backlog.messages.len(),
            bytes: sum.bytes + channel.backlog.bytes,
        })
    }

    /// So much reliable data waits for the peer that those who send it should wait.
    pub(super) fn is_behind(&mut self) -> bool {
        self.pace = self.pace.after(self.waiting(Reliability::Reliable).bytes);
        self.pace == Pace::Behind
    }

    /// Whether somebody to whom the peer's messages go is behind: what is large of them is then taken little by little, and
    /// the rest is left to the receive window. See [`Inbound::set_slowed`].
    pub(super) fn set_slowed(&mut self, now: Instant, slowed: bool) {
        self.inbound.set_slowed(now, slowed);
        if !slowed && self.read_at.is_some() {
            self.read_at = Some(now);
        }
    }

    /// Takes one SCTP packet. An error counts what the peer sent that no channel takes.
    pub(super) fn handle(&mut self, now: Instant, packet: Bytes) -> Result<(), DropReason> {
        let Some(sctp) = &mut self.sctp else { return Err(DropReason::DataChannel) };
        sctp.handle(now, packet);
        let taken = self.take_events(now);
        if self.read_at.is_some() && self.fragments_unread().saturating_sub(self.held_from) > HELD_FRAGMENTS_MAX {
            self.end(DataEvent::Flood);
        }
        taken
    }

    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Vec<Bytes>> {
        self.sctp.as_mut()?.poll_transmit(now)
    }

    pub(super) fn poll_event(&mut self) -> Option<DataEvent> {
        self.events.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let sctp = self.sctp.as_ref()?;
        sctp.poll_timeout().into_iter().chain(self.connect_at).chain(self.read_at).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let Some(sctp) = &mut self.sctp else { return };
        if self.connect_at.is_some_and(|at| at <= now) {
            self.connect_at = None;
            if self.role == DtlsRole::Client || !self.waiting.is_empty() {
                sctp.connect(now);
            }
        }
        sctp.handle_timeout(now);
        // A timer brings no packet that could be counted as dropped; what a held message turns out to be was within the
        // limits when it came.
        let _ = self.take_events(now);
        if self.read_at.is_some_and(|at| at <= now) {
            self.read_at = None;
            for id in std::mem::take(&mut self.held) {
                let _ = self.read(now, id);
            }
        }
    }

    fn take_events(&mut self, now: Instant) -> Result<(), DropReason> {
        let mut result = Ok(());
        while let Some(event) = self.sctp.as_mut().and_then(Sctp::poll_event) {
            match event {
                Event::Connected => {
                    self.established = true;
                    self.connect_at = None;
                    self.open_waiting(now);
                }
                Event::Stream(StreamEvent::Readable { id }) => result = result.and(self.read(now, id)),
                Event::Stream(StreamEvent::Opened { .. }) => self.count_streams(),
                Event::Stream(StreamEvent::BufferedAmountReleased { id, n_bytes }) => {
                    if let Some(channel) = self.channel_mut(id) {
                        channel.backlog.release(n_bytes);
                    }
                }
                Event::AssociationLost { id, .. } => self.remove(id),
                _ => {}
            }
        }
        if self.sctp.as_ref().is_some_and(Sctp::is_lost) {
            self.end(DataEvent::Lost);
        }
        result
    }

    fn end(&mut self, event: DataEvent) {
        if !self.ended {
            self.ended = true;
            self.held.clear();
            self.read_at = None;
            self.events.push_back(event);
        }
    }

    fn count_streams(&mut self) {
        let Some(association) = self.sctp.as_mut().and_then(Sctp::association) else { return };
        // The engine queues new streams for us to accept; we learn of them from their first message instead.
        while association.accept_stream().is_some() {}
        if association.stream_ids().len() > STREAMS_MAX {
            self.end(DataEvent::Lost);
        }
    }

    fn read(&mut self, now: Instant, id: u16) -> Result<(), DropReason> {
        let mut result = Ok(());
        while !self.ended {
            if self.is_reliable(id)
                && let Some(at) = self.inbound.reliable_from(now)
            {
                self.hold(id, at);
                return result;
            }
            let Some(mut stream) = self.stream(id) else { return result };
            let Ok(Some(chunks)) = stream.read_sctp() else { return result };
            self.fragments_read += chunks.chunks.len() as u64;
            let taken = match chunks.to_payload(DATA_MESSAGE_LEN_MAX) {
                Ok(payload) => self.admit(now, id, chunks.ppi, payload.freeze()),
                Err(_) => Err(DropReason::DataTooLong),
            };
            result = result.and(taken);
        }
        result
    }

    /// Whatever is not on a lossy channel counts as reliable, messages on streams without a channel included.
    fn is_reliable(&self, id: u16) -> bool {
        let lossy = |channel: &Channel| channel.id == id && channel.channel_type.reliability() == Reliability::Lossy;
        !self.channels.iter().any(lossy)
    }

    fn hold(&mut self, id: u16, until: Instant) {
        if !self.held.contains(&id) {
            self.held.push(id);
        }
        if self.read_at.is_none() {
            self.held_from = self.fragments_unread();
        }
        self.read_at = Some(until);
    }

    /// Counts what came twice as unread, so only the growth over a short time means something.
    fn fragments_unread(&mut self) -> u64 {
        let association = self.sctp.as_mut().and_then(Sctp::association);
        let received = association.map_or(0, |association| association.stats().get_num_datas());
        received.saturating_sub(self.fragments_read)
    }

    /// Takes a message if the peer may send it. One that makes or confirms a channel is never dropped.
    fn admit(
        &mut self,
        now: Instant,
        id: u16,
        kind: PayloadProtocolIdentifier,
        payload: Bytes,
    ) -> Result<(), DropReason> {
        if kind == PayloadProtocolIdentifier::Dcep || self.is_reliable(id) {
            if let Err(Flood) = self.inbound.take_reliable(now, payload.len()) {
                self.end(DataEvent::Flood);
                return Err(DropReason::DataRate);
            }
        } else if !self.inbound.take_lossy(now, payload.len()) {
            // RFC 8832 section 6: it still says that the peer has the channel.
            self.acknowledged(id);
            return Err(DropReason::DataRate);
        }
        if payload.len() > DATA_RECEIVED_LEN_MAX {
            return Err(DropReason::DataTooLong);
        }
        self.take_message(now, id, kind, payload)
    }

    fn take_message(
        &mut self,
        now: Instant,
        id: u16,
        kind: PayloadProtocolIdentifier,
        payload: Bytes,
    ) -> Result<(), DropReason> {
        let (binary, payload) = match kind {
            PayloadProtocolIdentifier::Dcep => return self.take_dcep(now, id, &payload),
            PayloadProtocolIdentifier::Binary => (true, payload),
            PayloadProtocolIdentifier::String => (false, payload),
            PayloadProtocolIdentifier::BinaryEmpty => (true, Bytes::new()),
            PayloadProtocolIdentifier::StringEmpty => (false, Bytes::new()),
            _ => return Err(DropReason::DataChannel),
        };
        // RFC 8832 section 6: an unordered message may overtake the ACK, and means as much.
        self.acknowledged(id);
        if !self.channels.iter().any(|channel| channel.id == id) {
            return Err(DropReason::DataChannel);
        }
        self.events.push_back(DataEvent::Message { channel: DataChannelId::new(id), binary, payload });
        Ok(())
    }

    fn take_dcep(&mut self, now: Instant, id: u16, payload: &[u8]) -> Result<(), DropReason> {
        match Message::parse(payload) {
            Some(Message::Ack) => {
                self.acknowledged(id);
                Ok(())
            }
            Some(Message::Open { channel_type, label }) => {
                let in_use = self.channels.iter().any(|channel| channel.id == id);
                if in_use || self.channels.len() + self.waiting.len() >= DATA_CHANNELS_MAX {
                    self.refuse(now, id, in_use);
                    return Err(DropReason::DataChannel);
                }
                self.accept(now, id, channel_type, label);
                Ok(())
            }
            None => {
                let in_use = self.channels.iter().any(|channel| channel.id == id);
                self.refuse(now, id, in_use);
                Err(DropReason::DataChannel)
            }
        }
    }

    fn accept(&mut self, now: Instant, id: u16, channel_type: ChannelType, label: String) {
        let Some(mut stream) = self.stream(id) else { return };
        let ack = Message::Ack.to_bytes();
        if set_reliability(&mut stream, channel_type)
            && let Ok(len) = stream.write_chunk_with_ppi(now, &ack, PayloadProtocolIdentifier::Dcep)
        {
            self.add(id, channel_type, String::new(), ChannelPhase::Open, len);
            self.events.push_back(DataEvent::Opened {
                channel: DataChannelId::new(id),
                label,
                reliability: channel_type.reliability(),
            });
        }
    }

    /// Resets a stream that nobody uses (RFC 8831 section 6.7).
    fn refuse(&mut self, now: Instant, id: u16, in_use: bool) {
        if !in_use && let Some(mut stream) = self.stream(id) {
            // It fails only when the association is no more, which is noticed elsewhere.
            let _ = stream.close(now);
        }
    }

    fn acknowledged(&mut self, id: u16) {
        let Some(channel) = self.channels.iter_mut().find(|channel| channel.id == id) else { return };
        if channel.phase == ChannelPhase::Opening {
            channel.phase = ChannelPhase::Open;
            self.events.push_back(DataEvent::Opened {
                channel: DataChannelId::new(id),
                label: std::mem::take(&mut channel.label),
                reliability: channel.channel_type.reliability(),
            });
        }
    }

    /// `sent` is the length of the message that made the channel.
    fn add(&mut self, id: u16, channel_type: ChannelType, label: String, phase: ChannelPhase, sent: usize) {
        let mut backlog = Backlog::default();
        backlog.push(sent);
        self.channels.push(Channel { id, channel_type, label, phase, backlog });
    }

    fn remove(&mut self, id: u16) {
        if let Some(index) = self.channels.iter().position(|channel| channel.id == id) {
            self.channels.swap_remove(index);
            self.events.push_back(DataEvent::Closed { channel: DataChannelId::new(id) });
        }
    }

    fn open_waiting(&mut self, now: Instant) {
        while let Some((label, reliability)) = self.waiting.pop_front() {
            let Some(id) = self.free_id() else { return };
            let channel_type = ChannelType::from(reliability);
            let open = Message::Open { channel_type, label: label.clone() }.to_bytes();
            let Some(association) = self.sctp.as_mut().and_then(Sctp::association) else { return };
            let Ok(mut stream) = association.open_stream(id, PayloadProtocolIdentifier::Binary) else { return };
            if set_reliability(&mut stream, channel_type)
                && let Ok(len) = stream.write_chunk_with_ppi(now, &open, PayloadProtocolIdentifier::Dcep)
            {
                self.add(id, channel_type, label, ChannelPhase::Opening, len);
            }
        }
    }

    /// RFC 8832 section 6: the DTLS client opens even streams, the server odd ones. A stream that is being reset is
    /// not free.
    fn free_id(&mut self) -> Option<u16> {
        let first = match self.role {
            DtlsRole::Client => 0,
            DtlsRole::Server => 1,
        };
        let used = self.sctp.as_mut()?.association()?.stream_ids();
        (first..=STREAM_ID_MAX).step_by(2).find(|id| !used.contains(id))
    }

    fn stream(&mut self, id: u16) -> Option<Stream<'_>> {
        self.sctp.as_mut()?.association()?.stream(id).ok()
    }

    fn channel_mut(&mut self, id: u16) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|channel| channel.id == id)
    }
}

fn set_reliability(stream: &mut Stream<'_>, channel_type: ChannelType) -> bool {
    let (kind, value) = match channel_type.retransmission {
        Retransmission::Always => (ReliabilityType::Reliable, 0),
        Retransmission::Times(times) => (ReliabilityType::Rexmit, times),
        Retransmission::ForMs(ms) => (ReliabilityType::Timed, ms),
    };
    stream.set_reliability_params(channel_type.unordered, kind, value).is_ok()
}
