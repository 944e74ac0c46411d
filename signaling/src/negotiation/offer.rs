//! The offering role: our offers, and the client's answers to them (RFC 8829 sections 5.2 and 5.10).

use super::bounds::SECTIONS_MAX;
use super::codecs::{self, Channels, CodecFormat};
use super::description::{self, Description, Direction, Media, RemoteSection};
use super::extensions;
use super::section::{Section, Slot};
use super::text::{self, LocalSetup, Text};
use super::transport::Setup;
use super::{Negotiation, NegotiationError, Outgoing, Role};
use consilium_media_core::ids::Mid;
use consilium_media_core::params::{Codec, DtlsRole, MediaKind};

const MEDIA_PROTOCOL: &str = "UDP/TLS/RTP/SAVPF";
const DATA_PROTOCOL: &str = "UDP/DTLS/SCTP";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OfferState {
    /// One must be made in any case: the first, or an ICE restart.
    Due,
    /// One is out.
    Pending,
    /// One is out, and another must follow it.
    PendingThenDue,
    Idle,
}

impl OfferState {
    pub(super) fn restart(&mut self) {
        *self = match self {
            Self::Pending | Self::PendingThenDue => Self::PendingThenDue,
            Self::Due | Self::Idle => Self::Due,
        };
    }

    pub(super) fn is_due(self, changed: bool) -> bool {
        match self {
            Self::Due => true,
            Self::Pending | Self::PendingThenDue => false,
            Self::Idle => changed,
        }
    }
}

impl Negotiation {
    /// Places what waits and writes an offer. An earlier one that is unanswered is replaced by it: only the answer to
    /// the last may be handled.
    pub fn create_offer(&mut self) -> String {
        if self.sections.is_empty() {
            self.new_section(Media::Data { protocol: DATA_PROTOCOL.to_owned() });
        }
        self.place_on_offered_sections();
        for section in self.sections.iter_mut().filter(|section| section.slot == Slot::Draining) {
            section.slot = Slot::Drained;
        }
        self.offer = OfferState::Pending;
        self.version += 1;
        let mut text = Text::new(self.session_id, self.version);
        text.attribute(format_args!("extmap-allow-mixed"));
        let live: Vec<&str> = self.sections.iter().filter(|s| !s.is_stopped()).map(|s| s.mid.as_str()).collect();
        text.attribute(format_args!("group:BUNDLE {}", live.join(" ")));
        let mut first = true;
        for section in &self.sections {
            self.write_offered(&mut text, section, first);
            first = first && section.is_stopped();
        }
        text.finish()
    }

    /// Takes over the answer to the last offer; one that is refused changes nothing.
    pub fn handle_answer(&mut self, sdp: &str) -> Result<(), NegotiationError> {
        if self.role != Role::Offerer || !matches!(self.offer, OfferState::Pending | OfferState::PendingThenDue) {
            return Err(NegotiationError::WrongState);
        }
        let Description { transport, sections, .. } = description::parse(sdp)?;
        let role = match transport.setup {
            Setup::Active => DtlsRole::Server,
            Setup::Passive => DtlsRole::Client,
            // An answer decides (RFC 8842 section 5.3).
            Setup::Either => return Err(NegotiationError::InvalidSetup),
        };
        self.check_transport(&transport, role)?;
        let fits = |(section, remote): (&Section, &RemoteSection)| {
            (remote.is_rejected() || section.mid == remote.mid) && section.is_for(remote)
        };
        if sections.len() != self.sections.len() || !self.sections.iter().zip(&sections).all(fits) {
            return Err(NegotiationError::SectionsReordered);
        }
        self.dtls_role = Some(role);
        self.remote = Some(transport);
        for (section, remote) in self.sections.iter_mut().zip(sections) {
            if let Some(refused) = accept(section, remote) {
                self.refused.insert(refused);
            }
        }
        self.offer = match self.offer {
            OfferState::PendingThenDue => OfferState::Due,
            _ => OfferState::Idle,
        };
        Ok(())
    }

    /// At least one waiting track can be placed, or there is nothing to place.
    pub(super) fn has_room(&self) -> bool {
        let has_stopped = |kind| self.sections.iter().any(|s| s.slot == Slot::Stopped && s.kind() == Some(kind));
        self.sections.len() < SECTIONS_MAX
            || self.sections.iter().any(|section| section.slot == Slot::Draining)
            || self.unplaced().any(|outgoing| has_stopped(outgoing.kind))
    }

    fn place_on_offered_sections(&mut self) {
        let waiting: Vec<_> = self.unplaced().map(|outgoing| (outgoing.subscription, outgoing.kind)).collect();
        for (subscription, kind) in waiting {
            if let Some(section) = self.new_section(Media::Rtp { kind, protocol: MEDIA_PROTOCOL.to_owned() }) {
                section.slot = Slot::Reserved(subscription);
            }
        }
    }

    /// On a stopped m-line if there is one, else on a new one; `None` when the connection has as many as it may have.
    ///
    /// A section never carries a second track: its receiver keeps the id of the first for as long as it lives, so that
    /// SDKs would take the second for the first, or do not notice it.
    fn new_section(&mut self, media: Media) -> Option<&mut Section> {
        let section =
            Section { mid: Mid::new(self.mids.to_string().as_bytes())?, media, slot: Slot::Free, remote: None };
        let is_free = |known: &Section| known.slot == Slot::Stopped && known.kind() == section.kind();
        let stopped = self.sections.iter().position(is_free);
        let index = stopped.unwrap_or(self.sections.len());
        match self.sections.get_mut(index) {
            Some(known) => *known = section,
            None if index < SECTIONS_MAX => self.sections.push(section),
            None => return None,
        }
        self.mids = self.mids.wrapping_add(1);
        self.sections.get_mut(index)
    }

    fn write_offered(&self, text: &mut Text, section: &Section, first: bool) {
        let mid = section.mid.as_str();
        let port = if section.is_stopped() { 0 } else { text::PORT };
        match &section.media {
            Media::Data { protocol } => {
                text.section("application", port, protocol, format_args!("webrtc-datachannel"));
                self.write_offered_transport(text, section, first);
                text.attribute(format_args!("mid:{mid}"));
                text.data_channel();
            }
            Media::Rtp { kind, protocol } => {
                let name = match kind {
                    MediaKind::Audio => "audio",
                    MediaKind::Video => "video",
                };
                let codecs = codecs::own(*kind);
                let formats = text::formats(&codecs.iter().collect::<Vec<_>>());
                text.section(name, port, protocol, format_args!("{formats}"));
                self.write_offered_transport(text, section, first);
                text.attribute(format_args!("mid:{mid}"));
                write_offered_media(text, *kind, self.outgoing_of(section));
            }
            // Ours are never made of media that we do not speak.
            Media::Rejected { .. } => {}
        }
    }

    fn write_offered_transport(&self, text: &mut Text, section: &Section, first: bool) {
        if section.is_stopped() {
            return;
        }
        // RFC 8842 section 5.2: every offer leaves the choice; the answer keeps to the live association.
        text.transport(&self.local, LocalSetup::Either);
        if first {
            text.candidates(&self.local.candidates);
        }
    }
}

fn write_offered_media(text: &mut Text, kind: MediaKind, outgoing: Option<&Outgoing>) {
    for extension in extensions::own(kind) {
        text.attribute(format_args!("extmap:{} {}", extension.id.id, extensions::uri(extension.id.extension)));
    }
    text.attribute(format_args!("{}", Direction::new(outgoing.is_some(), false).name()));
    text.attribute(format_args!("rtcp-mux"));
    text.attribute(format_args!("rtcp-rsize"));
    let stereo = outgoing.is_some_and(|o| {
        o.publisher.iter().any(|codec| codec.format == CodecFormat::Opus { channels: Channels::Stereo })
    });
    for codec in codecs::own(kind) {
        let is_stereo = stereo && codec.codec() == Codec::Opus;
        // The SDKs switch their decoder to stereo where the offer announces it.
        let more: &[(&str, &str)] = if is_stereo { &[("sprop-stereo", "1"), ("stereo", "1")] } else { &[] };
        text.codec(&codec, &[], more);
    }
    if let Some(outgoing) = outgoing {
        let rtx_ssrc = (kind == MediaKind::Video).then_some(outgoing.rtx_ssrc);
        text.stream(&outgoing.stream_id, &outgoing.track_sid, &outgoing.cname, outgoing.ssrc, rtx_ssrc);
    }
}

/// Takes over the answer for one section; gives the subscription that was refused with it.
fn accept(section: &mut Section, mut remote: RemoteSection) -> Option<consilium_media_core::ids::SubscriptionId> {
    if let Some(kind) = section.kind() {
        // An answer chooses among what was offered (RFC 3264 section 6, RFC 8285 section 6).
        let offered = extensions::own(kind);
        remote.extensions.retain(|extension| offered.iter().any(|own| own.id == extension.id));
        let own = codecs::own(kind);
        remote.codecs.retain(|codec| own.iter().any(|offered| same_codec(offered, codec)));
    }
    let rejected = remote.is_rejected();
    section.remote = Some(remote);
    let before = section.slot;
    section.slot = match before {
        Slot::Reserved(_) | Slot::Taken(_) | Slot::Draining if rejected => Slot::Free,
        Slot::Reserved(subscription) => Slot::Taken(subscription),
        Slot::Drained => Slot::Stopped,
        Slot::Free | Slot::Taken(_) | Slot::Draining | Slot::Stopped => before,
    };
    if rejected { before.subscription() } else { None }
}

fn same_codec(offered: &codecs::SectionCodec, answered: &codecs::SectionCodec) -> bool {
    offered.payload_type() == answered.payload_type() && offered.codec() == answered.codec()
}
