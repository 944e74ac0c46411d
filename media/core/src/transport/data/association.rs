//! The one SCTP association of a peer (RFC 8261), whoever starts it. Knows nothing of channels.
//!
//! Browsers start it from both ends; some peers only from the DTLS client's end, some only when they have a channel
//! to open. So we let the peer begin, and begin ourselves when it does not.

use crate::limits::DATA_MESSAGE_LEN_MAX;
use crate::params::DtlsRole;
use bytes::Bytes;
use rtc::sctp::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    ServerConfig, TimerConfig, TransportConfig, max_payload_size_for_mtu,
};
use rtc::shared::TransportProtocol;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
#[allow(clippy::disallowed_types, reason = "rtc-sctp takes its configuration in an Arc")]
use std::sync::Arc;
use std::time::Instant;

/// There is one association, so one constant address.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 1);
/// RFC 8841 section 5.2: what every description says.
const SCTP_PORT: u16 = 5_000;
/// Largest SCTP packet, in bytes: with DTLS and UDP around it, it fits the 1,280 bytes of every IPv6 path (RFC 8200).
const PACKET_LEN_MAX: u32 = 1_180;
/// What a peer may have in flight towards us, in bytes: four of the largest messages.
const RECEIVE_BUFFER_LEN: u32 = 4 * DATA_MESSAGE_LEN_MAX as u32;
/// Each INIT that the engine does not know makes an association. Some are kept until one of them is used, because the
/// answer to a repeated INIT may overtake the answer to the first.
const CANDIDATES_MAX: usize = 4;
/// INITs taken before one association is established.
const INITS_MAX: usize = 32;

struct Candidate {
    handle: AssociationHandle,
    association: Association,
    ours: bool,
}

pub(super) struct Sctp {
    role: DtlsRole,
    endpoint: Endpoint,
    /// Exactly one once `established`.
    candidates: Vec<Candidate>,
    established: bool,
    inits: usize,
}

impl Sctp {
    pub(super) fn new(role: DtlsRole) -> Self {
        let mut config = EndpointConfig::new();
        config.max_payload_size(max_payload_size_for_mtu(PACKET_LEN_MAX));
        #[allow(clippy::disallowed_types, reason = "rtc-sctp takes its configuration in an Arc")]
        let endpoint = Endpoint::new(
            PEER,
            TransportProtocol::UDP,
            Arc::new(config),
            Some(Arc::new(ServerConfig::new(transport_config()))),
        );
        Self { role, endpoint, candidates: Vec::new(), established: false, inits: 0 }
    }

    /// Starts the association from our end.
    pub(super) fn connect(&mut self, now: Instant) {
        if self.candidates.is_empty()
            && let Ok((handle, association)) = self.endpoint.connect(now, ClientConfig::new(transport_config()), PEER)
        {
            self.candidates.push(Candidate { handle, association, ours: true });
        }
    }

    /// Neither end has begun.
    pub(super) fn is_idle(&self) -> bool {
        self.candidates.is_empty() && !self.established
    }

    pub(super) fn handle(&mut self, now: Instant, packet: Bytes) {
        match self.endpoint.handle(now, PEER, None, packet) {
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                if let Some(known) = self.candidates.iter_mut().find(|candidate| candidate.handle == handle) {
                    known.association.handle_event(event);
                }
            }
            Some((handle, DatagramEvent::NewAssociation(association))) if !self.established => {
                // When both begin at once, the DTLS client's INIT counts. The engine cannot merge the two (RFC 9260
                // section 5.2.1); a peer that can is content with either.
                let ours = self.candidates.iter().any(|candidate| candidate.ours);
                if ours && self.role == DtlsRole::Client {
                    return;
                }
                self.candidates.retain(|candidate| !candidate.ours);
                if self.candidates.len() >= CANDIDATES_MAX {
                    self.candidates.remove(0);
                }
                self.candidates.push(Candidate { handle, association, ours: false });
                self.inits += 1;
                if self.inits >= INITS_MAX {
                    self.endpoint.reject_new_associations();
                }
            }
            _ => {}
        }
    }

    /// The association, once it is established.
    pub(super) fn association(&mut self) -> Option<&mut Association> {
        if !self.established {
            return None;
        }
        self.candidates.first_mut().map(|candidate| &mut candidate.association)
    }

    /// It was established and is no more.
    pub(super) fn is_lost(&self) -> bool {
        self.established && self.candidates.first().is_none_or(|candidate| candidate.association.is_closed())
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        if let Some(association) = self.association() {
            return association.poll();
        }
        let mut index = 0;
        while let Some(candidate) = self.candidates.get_mut(index) {
            match candidate.association.poll() {
                Some(Event::Connected) => {
                    let chosen = self.candidates.swap_remove(index);
                    self.candidates = vec![chosen];
                    self.established = true;
                    self.endpoint.reject_new_associations();
                    return Some(Event::Connected);
                }
                Some(Event::HandshakeFailed { .. }) => drop(self.candidates.remove(index)),
                Some(_) => {}
                None => index += 1,
            }
        }
        None
    }

    /// The next packets for the peer.
    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Vec<Bytes>> {
        for candidate in &mut self.candidates {
            // Nothing needs what these ask of the endpoint: it lives as long as its association.
            while candidate.association.poll_endpoint_event().is_some() {}
            if let Some(transmit) = candidate.association.poll_transmit(now)
                && let Payload::RawEncode(packets) = transmit.message
            {
                return Some(packets);
            }
        }
        None
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.candidates.iter().filter_map(|candidate| candidate.association.poll_timeout()).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for candidate in &mut self.candidates {
            candidate.association.handle_timeout(now);
        }
    }
}

fn transport_config() -> TransportConfig {
    TransportConfig::default()
        .with_sctp_port(SCTP_PORT)
        .with_max_message_size(DATA_MESSAGE_LEN_MAX as u32)
        .with_max_receive_buffer_size(RECEIVE_BUFFER_LEN)
        // Consent (RFC 7675) decides when a silent peer is gone; until then nothing may give up on its own.
        .with_timer_config(TimerConfig {
            max_t3_rtx_retrans: usize::MAX,
            max_reconfig_retrans: usize::MAX,
            max_ack_retrans: usize::MAX,
            ..TimerConfig::default()
        })
}
