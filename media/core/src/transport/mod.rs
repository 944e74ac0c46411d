//! One peer connection: ICE-lite, DTLS, SRTP, SCTP.
//!
//! ```text
//! demux     which protocol a datagram is of
//! ice       proven paths, the one we send on, consent
//! dtls      the handshake, SRTP keys, application data
//! srtp      media in place
//! data      data channels inside DTLS
//! identity  the certificate of this process
//! ```
//!
//! [`Transport`] ties ICE, DTLS and the data channels of one peer together. It knows nothing of media: it hands out
//! the keys.

mod data;
pub mod demux;
mod dtls;
pub mod ice;
pub mod identity;
pub mod srtp;
#[cfg(test)]
pub(crate) mod tests;

use crate::batch::{Destination, Priority, SendBatch};
use crate::control::{CloseReason, DataChannelId, Reliability};
use crate::drops::DropReason;
use crate::limits::CONNECT_TIMEOUT;
use crate::params::{IceCredentials, Path, RemoteParameters};
use bytes::Bytes;
use data::{DataChannels, DataEvent, SendError};
use dtls::{Dtls, DtlsEvent};
use ice::{IceLite, StunMessage, StunOutcome};
use identity::{Identity, certificate_hash};
use srtp::SrtpKeys;
use std::collections::VecDeque;
use std::time::Instant;

#[derive(Clone, Debug)]
pub enum TransportEvent {
    /// A path is proven, DTLS finished and the certificate is the announced one. Once.
    Connected(SrtpKeys),
    /// The connection ended by itself. Nothing comes after it.
    Closed(CloseReason),
    /// By either side.
    DataChannelOpened {
        channel: DataChannelId,
        label: String,
        reliability: Reliability,
    },
    DataChannelClosed {
        channel: DataChannelId,
    },
    Data {
        channel: DataChannelId,
        binary: bool,
        payload: Bytes,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Connecting,
    Connected,
    Closed,
}

/// One peer connection below RTP. See the module's description.
pub struct Transport {
    slot: u32,
    state: State,
    connect_deadline: Instant,
    ice: IceLite,
    dtls: Dtls,
    data: DataChannels,
    remote: Option<RemoteParameters>,
    events: VecDeque<TransportEvent>,
}

impl Transport {
    /// `slot` is the peer's place in the send batch; `seed` spreads timers and makes no secret.
    pub fn new(identity: &Identity, local: IceCredentials, slot: u32, seed: u64, now: Instant) -> Self {
        Self {
            slot,
            state: State::Connecting,
            connect_deadline: now + CONNECT_TIMEOUT,
            ice: IceLite::new(local),
            dtls: Dtls::new(identity, seed),
            data: DataChannels::new(),
            remote: None,
            events: VecDeque::new(),
        }
    }

    /// What the far side's description said. A later call may change only ICE credentials and the message size; another
    /// fingerprint or role is refused with `LimitExceeded` once the handshake has begun.
    pub fn set_remote(
        &mut self,
        now: Instant,
        remote: RemoteParameters,
        out: &mut SendBatch,
    ) -> Result<(), DropReason> {
        if let Some(known) = &self.remote
            && self.dtls.is_started()
            && (known.fingerprints != remote.fingerprints || known.dtls_role != remote.dtls_role)
        {
            return Err(DropReason::LimitExceeded);
        }
        self.ice.set_remote(&remote.ice);
        self.data.set_remote_max_message_size(remote.max_message_size);
        self.remote = Some(remote);
        self.start_dtls(now);
        self.pump(now, None, out);
        Ok(())
    }

    /// New local credentials. The old ones stay valid until the peer uses the new ones. Fragments that
    /// [`Transport::local_ufrags`] no longer names are no longer answered.
    pub fn restart_ice(&mut self, local: IceCredentials) {
        self.ice.restart(local);
    }

    /// Fragments whose checks are this peer's.
    pub fn local_ufrags(&self) -> impl Iterator<Item = &str> {
        self.ice.local_ufrags()
    }

    /// Takes a check that names one of our fragments, and answers it if it is authentic.
    pub fn handle_stun(
        &mut self,
        now: Instant,
        path: Path,
        message: &StunMessage<'_>,
        out: &mut SendBatch,
    ) -> Result<StunOutcome, DropReason> {
        if self.state == State::Closed {
            return Err(DropReason::StunUnknownUser);
        }
        let to = Destination { slot: self.slot, path };
        // A full batch costs the peer one check, which it repeats.
        let outcome = self.ice.handle(now, path, message, |answer| {
            out.push(to, Priority::High, answer);
        })?;
        self.start_dtls(now);
        self.pump(now, None, out);
        Ok(outcome)
    }

    /// Takes a DTLS datagram from a proven address.
    pub fn handle_dtls(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
        out: &mut SendBatch,
    ) -> Result<(), DropReason> {
        if !self.ice.is_validated(path.remote) {
            return Err(DropReason::UnknownAddress);
        }
        if self.state == State::Closed {
            return Err(DropReason::DtlsUnexpected);
        }
        let taken = self.dtls.handle(now, datagram);
        let read = self.take_dtls_events(now);
        self.pump(now, Some(path), out);
        taken.and(read)
    }

    /// Where we send now.
    pub fn selected_path(&self) -> Option<Path> {
        self.ice.selected()
    }

    pub fn destination(&self) -> Option<Destination> {
        Some(Destination { slot: self.slot, path: self.selected_path()? })
    }

    pub fn is_connected(&self) -> bool {
        self.state == State::Connected
    }

    /// Opens a channel as soon as SCTP is up; [`TransportEvent::DataChannelOpened`] follows. Does nothing over
    /// [`crate::limits::DATA_CHANNELS_MAX`].
    pub fn open_data_channel(&mut self, now: Instant, label: String, reliability: Reliability, out: &mut SendBatch) {
        if self.state != State::Closed {
            self.data.open(now, label, reliability);
            self.pump(now, None, out);
        }
    }

    /// Queues one message. A reliable channel over the backlog closes the connection.
    pub fn send_data(
        &mut self,
        now: Instant,
        channel: DataChannelId,
        binary: bool,
        payload: Bytes,
        out: &mut SendBatch,
    ) -> Result<(), DropReason> {
        if self.state != State::Connected {
            return Err(DropReason::SubscriberNotConnected);
        }
        let sent = self.data.send(now, channel, binary, payload);
        if sent == Err(SendError::Backlog) {
            self.end(now, CloseReason::DataBacklog);
        }
        self.pump(now, None, out);
        sent.map_err(|_| DropReason::DataChannel)
    }

    /// More reliable data waits for the peer than it takes in time: those who send it should wait.
    pub fn is_behind(&mut self) -> bool {
        self.state == State::Connected && self.data.is_behind()
    }

    /// Whether somebody who gets what this peer sends is behind. What was held may be read now:
    /// [`Transport::poll_timeout`] says so.
    pub fn set_slowed(&mut self, now: Instant, slowed: bool) {
        self.data.set_slowed(now, slowed);
    }

    /// Closes because we want to: no event follows.
    pub fn close(&mut self, now: Instant, out: &mut SendBatch) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.events.clear();
            self.dtls.close(now);
            self.pump(now, None, out);
        }
    }

    /// When [`Transport::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let lifetime = match self.state {
            State::Closed => return None,
            State::Connecting => Some(self.connect_deadline),
            State::Connected => self.ice.consent_expires(),
        };
        [lifetime, self.dtls.poll_timeout(), self.data.poll_timeout()].into_iter().flatten().min()
    }

    pub fn handle_timeout(&mut self, now: Instant, out: &mut SendBatch) {
        match self.state {
            State::Closed => return,
            State::Connecting if now >= self.connect_deadline => {
                let reason = match self.ice.selected() {
                    None => CloseReason::IceTimeout,
                    Some(_) => CloseReason::DtlsFailed,
                };
                self.end(now, reason);
            }
            State::Connected if self.ice.consent_expires().is_none_or(|at| now >= at) => {
                self.end(now, CloseReason::ConsentExpired);
            }
            State::Connecting | State::Connected => {}
        }
        self.dtls.handle_timeout(now);
        self.data.handle_timeout(now);
        // A timer brings no datagram, so there is nothing to count.
        let _ = self.take_dtls_events(now);
        self.pump(now, None, out);
    }

    pub fn poll_event(&mut self) -> Option<TransportEvent> {
        self.events.pop_front()
    }

    /// The role comes with the description, the path with the first check; the client needs both before it speaks.
    fn start_dtls(&mut self, now: Instant) {
        if let (Some(remote), Some(_)) = (&self.remote, self.ice.selected())
            && !self.dtls.is_started()
        {
            self.dtls.start(now, remote.dtls_role);
            // An early ClientHello completes nothing, and has nothing in it to count.
            let _ = self.take_dtls_events(now);
        }
    }

    fn take_dtls_events(&mut self, now: Instant) -> Result<(), DropReason> {
        let mut result = Ok(());
        while let Some(event) = self.dtls.poll_event() {
            match event {
                _ if self.state == State::Closed => {}
                DtlsEvent::Connected => self.authenticate(now),
                DtlsEvent::Data(packet) => {
                    result = result.and(self.data.handle(now, packet));
                    // Before a close that the same datagram may bring.
                    self.take_data_events(now);
                }
                DtlsEvent::ClosedByPeer => self.end(now, CloseReason::ClosedByPeer),
                DtlsEvent::Failed => self.end(now, CloseReason::DtlsFailed),
            }
        }
        result
    }

    /// RFC 8122 section 6.2: without the announced certificate the connection must end, and nothing of it is exposed.
    fn authenticate(&mut self, now: Instant) {
        let (Some(remote), Some(certificate)) = (&self.remote, self.dtls.peer_certificate()) else {
            return self.end(now, CloseReason::FingerprintMismatch);
        };
        let matches = remote.fingerprints.iter().any(|known| certificate_hash(known.hash, certificate) == known.bytes);
        if !matches {
            return self.end(now, CloseReason::FingerprintMismatch);
        }
        let Some(keys) = self.dtls.srtp_keys() else { return self.end(now, CloseReason::DtlsFailed) };
        self.data.start(now, remote.dtls_role);
        self.state = State::Connected;
        self.events.push_back(TransportEvent::Connected(keys));
    }

    fn end(&mut self, now: Instant, reason: CloseReason) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.dtls.close(now);
            self.events.push_back(TransportEvent::Closed(reason));
        }
    }

    /// Moves what the layers have for one another and for the peer. Without a nomination the peer is answered on the
    /// path that it just used.
    fn pump(&mut self, now: Instant, from: Option<Path>, out: &mut SendBatch) {
        self.take_data_events(now);
        if self.state == State::Connected {
            while let Some(packets) = self.data.poll_transmit(now) {
                packets.iter().for_each(|packet| self.dtls.write(now, packet));
            }
        }
        let selected = self.ice.selected();
        let path = if self.ice.is_nominated() { selected } else { from.or(selected) };
        while let Some(datagram) = self.dtls.poll_transmit() {
            // What a full batch refuses is lost like any datagram, and repeated like one.
            if let Some(path) = path {
                out.push(Destination { slot: self.slot, path }, Priority::High, &datagram);
            }
        }
    }

    fn take_data_events(&mut self, now: Instant) {
        while let Some(event) = self.data.poll_event() {
            if self.state != State::Connected {
                break;
            }
            match event {
                DataEvent::Opened { channel, label, reliability } => {
                    self.events.push_back(TransportEvent::DataChannelOpened { channel, label, reliability });
                }
                DataEvent::Closed { channel } => self.events.push_back(TransportEvent::DataChannelClosed { channel }),
                DataEvent::Message { channel, binary, payload } => {
                    self.events.push_back(TransportEvent::Data { channel, binary, payload });
                }
                DataEvent::Lost => self.end(now, CloseReason::ClosedByPeer),
                DataEvent::Flood => self.end(now, CloseReason::DataFlood),
            }
        }
    }
}
