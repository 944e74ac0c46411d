//! SDP to the typed parameters of the media core, and back (RFC 8829, RFC 9429).
//!
//! Owns what both sides of one connection agreed on, and the text that says so. Pure: no clock, no randomness, no I/O.
//! It refuses to know rooms, participants and wire messages.
//!
//! ```text
//! mod                     Negotiation: one connection, what comes in, what goes out
//! answer offer            the two roles: what is written, and what a description changes
//! section preferences     one m-section and what stands on it; how published tracks should be encoded
//! description transport   a description of the far side, read and checked
//! codecs extensions encodings payloads   its parts
//! candidate               trickled candidates
//! text                    lines of SDP
//! bounds error            what is refused
//! ```

mod answer;
mod bounds;
mod candidate;
mod codecs;
mod description;
mod encodings;
mod error;
mod extensions;
mod offer;
mod payloads;
mod preferences;
mod section;
#[cfg(test)]
mod tests;
mod text;
mod transport;

pub use candidate::{CandidateKind, CandidateTransport, RemoteCandidate, parse_candidate};
pub use codecs::{Channels, CodecFormat, H264Profile, Packetization, PublishedCodec, PublishedCodecs};
pub use error::NegotiationError;
pub use preferences::AudioPreferences;

use consilium_media_core::ids::{Mid, Ssrc, SubscriptionId};
use consilium_media_core::params::{
    Codec, CodecParameters, DtlsRole, Encoding, ExtensionId, Fingerprint, IceCredentials, MediaKind, RemoteParameters,
    SendParameters,
};
use preferences::{TrackPreferences, Wanted};
use section::{Section, Slot};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use transport::RemoteTransport;

/// Our end of the connection.
#[derive(Clone, Debug)]
pub struct LocalTransport {
    pub ice: IceCredentials,
    pub fingerprint: Fingerprint,
    /// Address and ICE priority (RFC 8445 section 5.1.2).
    pub candidates: Vec<(SocketAddr, u32)>,
}

/// Who writes the offers of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The client offers: a single connection, or the publishing one of two.
    Answerer,
    /// We offer: the subscribing one of two.
    Offerer,
}

/// One outgoing track (a subscription) to place on this connection.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub subscription: SubscriptionId,
    pub kind: MediaKind,
    /// `TR_…`
    pub track_sid: String,
    /// `PA_…|name`
    pub stream_id: String,
    /// The same for all tracks of one participant, so that receivers synchronise them (RFC 7022).
    pub cname: String,
    /// What the publisher negotiated: [`Incoming::published`].
    pub publisher: PublishedCodecs,
    pub ssrc: Ssrc,
    pub rtx_ssrc: Ssrc,
}

/// A section that the client sends on.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub mid: Mid,
    pub kind: MediaKind,
    /// The track's id as the client named it; the SDKs announce it as `cid`.
    pub track_id: Option<String>,
    pub codecs: Vec<CodecParameters>,
    pub published: PublishedCodecs,
    pub extensions: Vec<ExtensionId>,
    /// Lowest layer first, at least one.
    pub encodings: Vec<Encoding>,
}

/// An outgoing track that the far side agreed to receive.
#[derive(Clone, Debug)]
pub struct Placed {
    pub subscription: SubscriptionId,
    pub send: SendParameters,
    /// Codecs of the publisher that this subscriber cannot receive. With no payload left in `send`, nothing can be sent.
    pub unsupported: Vec<Codec>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OfferOutcome {
    /// The client began an ICE restart: give new credentials with [`Negotiation::set_local_ice`] before answering.
    pub ice_restarted: bool,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub sdp: String,
    pub mid_to_track_id: HashMap<String, String>,
}

/// One connection's negotiation, from the first description to the last.
#[derive(Clone, Debug)]
pub struct Negotiation {
    role: Role,
    local: LocalTransport,
    session_id: u64,
    version: u64,
    sections: Vec<Section>,
    outgoing: Vec<Outgoing>,
    /// Outgoing tracks whose section the far side rejected: they are not offered again.
    refused: HashSet<SubscriptionId>,
    preferences: TrackPreferences,
    remote: Option<RemoteTransport>,
    dtls_role: Option<DtlsRole>,
    mixed_extensions: description::MixedExtensions,
    offer: offer::OfferState,
    /// Names given to sections of ours so far.
    mids: u32,
}

impl Negotiation {
    pub fn new(role: Role, local: LocalTransport) -> Self {
        Self {
            role,
            session_id: session_id(&local),
            local,
            version: 0,
            sections: Vec::new(),
            outgoing: Vec::new(),
            refused: HashSet::new(),
            preferences: TrackPreferences::default(),
            remote: None,
            dtls_role: None,
            mixed_extensions: description::MixedExtensions::Refused,
            offer: offer::OfferState::Due,
            mids: 0,
        }
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn local(&self) -> &LocalTransport {
        &self.local
    }

    /// New credentials, for an ICE restart; they stand in the next description that is written.
    pub fn set_local_ice(&mut self, ice: IceCredentials) {
        if self.local.ice != ice {
            self.local.ice = ice;
            self.offer.restart();
        }
    }

    /// Wants a track on this connection; with a known subscription, replaces what is sent for it.
    pub fn add_outgoing(&mut self, outgoing: Outgoing) {
        match self.outgoing.iter_mut().find(|known| known.subscription == outgoing.subscription) {
            Some(known) => *known = outgoing,
            None => self.outgoing.push(outgoing),
        }
    }

    /// What is sent for a subscription is another source of the same track.
    pub fn set_publisher(&mut self, subscription: SubscriptionId, publisher: PublishedCodecs) {
        if let Some(known) = self.outgoing.iter_mut().find(|known| known.subscription == subscription) {
            known.publisher = publisher;
        }
    }

    /// Which codecs the client can receive where a subscription stands; `None` while it has not agreed to receive it.
    pub fn decoder_of(&self, subscription: SubscriptionId) -> Option<impl Fn(&PublishedCodec) -> bool> {
        let section = self.sections.iter().find(|section| section.slot == Slot::Taken(subscription))?;
        let remote = section.remote.as_ref().filter(|_| section.accepts_media())?;
        Some(|codec: &PublishedCodec| !payloads::map(std::slice::from_ref(codec), &remote.codecs).0.is_empty())
    }

    pub fn remove_outgoing(&mut self, subscription: SubscriptionId) {
        self.outgoing.retain(|outgoing| outgoing.subscription != subscription);
        self.refused.remove(&subscription);
        for section in self.sections.iter_mut().filter(|s| s.slot.subscription() == Some(subscription)) {
            section.slot = Slot::Draining;
        }
    }

    /// Whether RED is preferred for a published track; it is by default.
    pub fn set_red(&mut self, track_id: &str, enabled: bool) {
        let wanted = AudioPreferences { red: enabled, ..self.preferences.of(Some(track_id)).audio };
        self.set_audio_preferences(track_id, wanted);
    }

    /// How the client should encode a published track, from the next answer on. `track_id` is [`Incoming::track_id`].
    pub fn set_audio_preferences(&mut self, track_id: &str, wanted: AudioPreferences) {
        self.set_preferences(track_id, Wanted { audio: wanted, ..self.preferences.of(Some(track_id)) });
    }

    /// Which codec the client should send a published track in, from the next answer on; if it did not offer that one,
    /// its own order stands.
    pub fn set_video_codec(&mut self, track_id: &str, codec: Codec) {
        self.set_preferences(track_id, Wanted { video: Some(codec), ..self.preferences.of(Some(track_id)) });
    }

    fn set_preferences(&mut self, track_id: &str, wanted: Wanted) {
        let sections = &self.sections;
        let is_current = |track: &str| {
            sections.iter().filter_map(|s| s.remote.as_ref()).any(|remote| remote.track_id.as_deref() == Some(track))
        };
        self.preferences.set(track_id, wanted, is_current);
    }

    /// Audio and video sections that the client must add before everything outgoing has a place. Sections that were just
    /// vacated do not count: they are free after one more exchange.
    pub fn missing_sections(&self) -> (u32, u32) {
        let missing = |kind| {
            let waiting = self.unplaced().filter(|outgoing| outgoing.kind == kind).count();
            let spare = self.sections.iter().filter(|section| section.is_spare(kind)).count();
            u32::try_from(waiting.saturating_sub(spare)).unwrap_or(u32::MAX)
        };
        (missing(MediaKind::Audio), missing(MediaKind::Video))
    }

    /// Something changed that the far side must hear of. An offerer offers; an answerer asks the client for an offer, even
    /// where [`Self::missing_sections`] is zero.
    pub fn needs_offer(&self) -> bool {
        let changed = self.unplaced().next().is_some() || self.sections.iter().any(|s| s.slot == Slot::Draining);
        match self.role {
            Role::Answerer => changed,
            Role::Offerer => self.offer.is_due(changed && self.has_room()),
        }
    }

    /// What the far side's last description said; `None` before the first.
    pub fn remote(&self) -> Option<RemoteParameters> {
        let remote = self.remote.as_ref()?;
        Some(RemoteParameters {
            ice: remote.ice.clone(),
            fingerprints: remote.fingerprints.clone(),
            dtls_role: self.dtls_role?,
            max_message_size: remote.max_message_size,
        })
    }

    pub fn incoming(&self) -> Vec<Incoming> {
        self.sections.iter().filter_map(|section| section.incoming(self.wanted_of(section))).collect()
    }

    /// All outgoing tracks that stand on a section and were accepted.
    pub fn placed(&self) -> Vec<Placed> {
        let on_section = |section: &Section| section.placed(self.outgoing_of(section)?);
        self.sections.iter().filter_map(on_section).collect()
    }

    pub fn has_data_channel(&self) -> bool {
        let accepted = |s: &Section| s.remote.as_ref().is_some_and(description::RemoteSection::is_data);
        self.sections.iter().any(accepted)
    }

    /// The track of each section that we send on, for the answers and offers of the client protocol.
    pub fn mid_to_track_id(&self) -> HashMap<String, String> {
        let sending = self.sections.iter().filter(|s| s.accepts_media() || self.role == Role::Offerer);
        let entry = |s: &Section| Some((s.mid.as_str().to_owned(), self.outgoing_of(s)?.track_sid.clone()));
        sending.filter_map(entry).collect()
    }

    fn outgoing_of(&self, section: &Section) -> Option<&Outgoing> {
        let subscription = section.slot.subscription()?;
        self.outgoing.iter().find(|outgoing| outgoing.subscription == subscription)
    }

    /// Outgoing tracks that stand on no section yet.
    fn unplaced(&self) -> impl Iterator<Item = &Outgoing> {
        let has_place = |id| self.sections.iter().any(|section| section.slot.subscription() == Some(id));
        self.outgoing.iter().filter(move |o| !self.refused.contains(&o.subscription) && !has_place(o.subscription))
    }

    fn wanted_of(&self, section: &Section) -> Wanted {
        self.preferences.of(section.remote.as_ref().and_then(|remote| remote.track_id.as_deref()))
    }

    /// Takes over what a checked description says of the transport. The certificate and the DTLS role belong to the live
    /// association and cannot change (RFC 8842 section 5.5 would need a new one).
    fn check_transport(&self, new: &RemoteTransport, role: DtlsRole) -> Result<(), NegotiationError> {
        let Some(known) = &self.remote else { return Ok(()) };
        if known.fingerprints != new.fingerprints {
            return Err(NegotiationError::FingerprintChanged);
        }
        if self.dtls_role.is_some_and(|known| known != role) {
            return Err(NegotiationError::RoleChanged);
        }
        Ok(())
    }
}

/// An identifier for the `o=` line that differs between connections: FNV-1a over our ICE credentials, which are random.
fn session_id(local: &LocalTransport) -> u64 {
    let bytes = local.ice.ufrag.bytes().chain(local.ice.pwd.bytes());
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    // RFC 8829 section 5.2.1: the high bit is zero. One more is dropped, for parsers with signed or 62-bit numbers.
    hash >> 2
}
