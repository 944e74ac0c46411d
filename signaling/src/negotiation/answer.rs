//! The answering role: the client's offers, and our answers to them (RFC 8829 section 5.3).

use super::codecs::Feedback;
use super::description::{self, Description, Direction, Media, MixedExtensions, RemoteSection};
use super::encodings::Style;
use super::extensions::{self, Restriction};
use super::section::{Section, Slot};
use super::text::{self, LocalSetup, Text};
use super::transport::Setup;
use super::{Answer, Negotiation, NegotiationError, OfferOutcome, Role};
use consilium_media_core::params::{Codec, DtlsRole, MediaKind};

impl Negotiation {
    /// Takes over an offer; one that is refused changes nothing. Follow it with [`Self::create_answer`].
    pub fn handle_offer(&mut self, sdp: &str) -> Result<OfferOutcome, NegotiationError> {
        if self.role != Role::Answerer {
            return Err(NegotiationError::WrongState);
        }
        let Description { transport, sections, mixed_extensions } = description::parse(sdp)?;
        let role = self.answering_role(transport.setup)?;
        self.check_transport(&transport, role)?;
        self.check_order(&sections)?;

        let ice_restarted = self.remote.as_ref().is_some_and(|known| known.ice != transport.ice);
        self.dtls_role = Some(role);
        self.remote = Some(transport);
        self.mixed_extensions = mixed_extensions;
        for (index, remote) in sections.into_iter().enumerate() {
            match self.sections.get_mut(index) {
                Some(section) if section.mid == remote.mid => update(section, remote),
                Some(section) => *section = Section::from_remote(remote),
                None => self.sections.push(Section::from_remote(remote)),
            }
        }
        Ok(OfferOutcome { ice_restarted })
    }

    /// RFC 8842 section 5.3: an offerer that can be either makes us passive, since the one who waits needs no path yet.
    fn answering_role(&self, setup: Setup) -> Result<DtlsRole, NegotiationError> {
        match (setup, self.dtls_role) {
            (Setup::Either, Some(known)) => Ok(known),
            (Setup::Either | Setup::Active, None) | (Setup::Active, Some(DtlsRole::Server)) => Ok(DtlsRole::Server),
            (Setup::Passive, None | Some(DtlsRole::Client)) => Ok(DtlsRole::Client),
            (Setup::Active, Some(DtlsRole::Client)) | (Setup::Passive, Some(DtlsRole::Server)) => {
                Err(NegotiationError::RoleChanged)
            }
        }
    }

    /// Sections keep their places (RFC 3264 section 8). Only one that was rejected may come back under a new name
    /// (RFC 8829 section 5.2.2).
    fn check_order(&self, offered: &[RemoteSection]) -> Result<(), NegotiationError> {
        if offered.len() < self.sections.len() {
            return Err(NegotiationError::SectionsReordered);
        }
        let keeps_place = |(section, remote): (&Section, &RemoteSection)| {
            section.is_rejected() || (section.mid == remote.mid && section.is_for(remote))
        };
        if !self.sections.iter().zip(offered).all(keeps_place) {
            return Err(NegotiationError::SectionsReordered);
        }
        Ok(())
    }

    /// Places what waits on sections that the client can spare, and answers the last offer. Without an offer before it,
    /// the answer has no sections.
    pub fn create_answer(&mut self) -> Answer {
        self.place_on_spare_sections();
        self.version += 1;
        let mut text = Text::new(self.session_id, self.version);
        if self.mixed_extensions == MixedExtensions::Allowed {
            text.attribute(format_args!("extmap-allow-mixed"));
        }
        let live: Vec<&str> = self.sections.iter().filter(|s| !s.is_rejected()).map(|s| s.mid.as_str()).collect();
        if !live.is_empty() {
            text.attribute(format_args!("group:BUNDLE {}", live.join(" ")));
        }
        let mut first = true;
        for section in &self.sections {
            self.write_section(&mut text, section, first);
            first = first && section.is_rejected();
        }
        for section in self.sections.iter_mut().filter(|section| section.slot == Slot::Draining) {
            section.slot = Slot::Free;
        }
        Answer { sdp: text.finish(), mid_to_track_id: self.mid_to_track_id() }
    }

    fn place_on_spare_sections(&mut self) {
        let waiting: Vec<_> = self.unplaced().map(|outgoing| (outgoing.subscription, outgoing.kind)).collect();
        for (subscription, kind) in waiting {
            let spare = self.sections.iter_mut().filter(|section| section.is_spare(kind));
            // Sections that the client publishes on are the last choice: it may stop them with its own track.
            if let Some(section) = spare.min_by_key(|section| section.brings_media()) {
                section.slot = Slot::Taken(subscription);
            }
        }
    }

    fn write_section(&self, text: &mut Text, section: &Section, first: bool) {
        let mid = section.mid.as_str();
        match &section.media {
            Media::Rejected { media, protocol, format } => {
                text.section(media, 0, protocol, format_args!("{format}"));
                text.attribute(format_args!("inactive"));
                text.attribute(format_args!("mid:{mid}"));
            }
            Media::Data { protocol } => {
                text.section("application", text::PORT, protocol, format_args!("webrtc-datachannel"));
                self.write_transport(text, first);
                text.attribute(format_args!("mid:{mid}"));
                text.data_channel();
            }
            Media::Rtp { kind, protocol } => {
                let codecs = section.codecs(self.wanted_of(section));
                let name = match kind {
                    MediaKind::Audio => "audio",
                    MediaKind::Video => "video",
                };
                text.section(name, text::PORT, protocol, format_args!("{}", text::formats(&codecs)));
                self.write_transport(text, first);
                text.attribute(format_args!("mid:{mid}"));
                self.write_media(text, section);
            }
        }
    }

    fn write_transport(&self, text: &mut Text, first: bool) {
        let setup = LocalSetup::Decided(self.dtls_role.unwrap_or(DtlsRole::Server));
        text.transport(&self.local, setup);
        if first {
            text.candidates(&self.local.candidates);
        }
    }

    fn write_media(&self, text: &mut Text, section: &Section) {
        let wanted = self.wanted_of(section);
        let receives = section.brings_media();
        let outgoing = self.outgoing_of(section).filter(|_| section.accepts_media());
        if section.remote.as_ref().is_some_and(|r| r.mixed_extensions == MixedExtensions::Allowed) {
            text.attribute(format_args!("extmap-allow-mixed"));
        }
        for offered in section.extensions() {
            // What they only send, we only receive, and the other way round (RFC 8285 section 7).
            let restriction = match offered.restriction {
                Restriction::None => "",
                Restriction::SendOnly => "/recvonly",
                Restriction::RecvOnly => "/sendonly",
            };
            text.attribute(format_args!(
                "extmap:{}{restriction} {}",
                offered.id.id,
                extensions::uri(offered.id.extension)
            ));
        }
        text.attribute(format_args!("{}", Direction::new(outgoing.is_some(), receives).name()));
        text.attribute(format_args!("rtcp-mux"));
        text.attribute(format_args!("rtcp-rsize"));
        // Feedback for bandwidth estimation goes either way; where no media does, none is asked for.
        let carries = receives || outgoing.is_some();
        let without: &[Feedback] = if carries { &[] } else { &[Feedback::TransportCc, Feedback::Remb] };
        for codec in section.codecs(wanted) {
            let mut more: Vec<(&str, &str)> = Vec::new();
            if codec.codec() == Codec::Opus {
                // On every section, sending or not: one payload type has one meaning in a bundle (RFC 8843 section 9.1).
                more.extend(wanted.audio.dtx.then_some(("usedtx", "1")));
                more.extend(wanted.audio.stereo.then_some(("stereo", "1")));
            }
            text.codec(codec, without, &more);
        }
        if receives {
            write_simulcast(text, section);
        }
        if let Some(outgoing) = outgoing {
            let rtx_ssrc = section.sends_rtx().then_some(outgoing.rtx_ssrc);
            text.stream(&outgoing.stream_id, &outgoing.track_sid, &outgoing.cname, outgoing.ssrc, rtx_ssrc);
        }
    }
}

/// Mirrors the stream ids (RFC 8853 section 5.3.2).
fn write_simulcast(text: &mut Text, section: &Section) {
    let Some(announced) = section.remote.as_ref().map(|remote| &remote.announced) else { return };
    for rid in &announced.rids {
        text.attribute(format_args!("rid:{} recv", rid.as_str()));
    }
    if announced.style == Style::Simulcast && !announced.rids.is_empty() {
        let list: Vec<&str> = announced.rids.iter().map(|rid| rid.as_str()).collect();
        text.attribute(format_args!("simulcast:recv {}", list.join(";")));
    }
}

fn update(section: &mut Section, remote: RemoteSection) {
    section.media = remote.media.clone();
    if remote.is_rejected() {
        // Nothing can be sent here any more; a track that stood here waits for another section.
        section.slot = Slot::Free;
    }
    section.remote = Some(remote);
}
