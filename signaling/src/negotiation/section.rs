//! One m-section of a connection and what stands on it. It refuses to know how sections are written.

use super::Outgoing;
use super::codecs::{Channels, CodecFormat, Feedback, PublishedCodecs, SectionCodec};
use super::description::{Media, RemoteSection};
use super::extensions::{self, OfferedExtension, Restriction};
use super::preferences::{AudioPreferences, Wanted};
use super::{Incoming, Placed, payloads};
use consilium_media_core::ids::{Mid, SubscriptionId};
use consilium_media_core::params::{Codec, HeaderExtension, MediaKind, SendParameters};

#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) mid: Mid,
    pub(super) media: Media,
    pub(super) slot: Slot,
    /// What the far side last said of it; `None` while our first offer of it is unanswered.
    pub(super) remote: Option<RemoteSection>,
}

/// What we send on a section. A section that changes hands must first be seen inactive by the far side, else it would
/// take the new track's packets for the old one's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    Free,
    /// Offered, not yet answered.
    Reserved(SubscriptionId),
    Taken(SubscriptionId),
    /// Its track was removed; the far side does not know yet.
    Draining,
    /// Offered as stopped, not yet answered.
    Drained,
    /// Stopped on both sides: its m-line is free for a new section (RFC 8829 section 5.2.2).
    Stopped,
}

impl Slot {
    pub(super) fn subscription(self) -> Option<SubscriptionId> {
        match self {
            Self::Reserved(subscription) | Self::Taken(subscription) => Some(subscription),
            Self::Free | Self::Draining | Self::Drained | Self::Stopped => None,
        }
    }
}

impl Section {
    pub(super) fn from_remote(remote: RemoteSection) -> Self {
        Self { mid: remote.mid, media: remote.media.clone(), slot: Slot::Free, remote: Some(remote) }
    }

    pub(super) fn kind(&self) -> Option<MediaKind> {
        match self.media {
            Media::Rtp { kind, .. } => Some(kind),
            Media::Data { .. } | Media::Rejected { .. } => None,
        }
    }

    /// Of the same media as before, or stopped.
    pub(super) fn is_for(&self, remote: &RemoteSection) -> bool {
        let data = matches!(self.media, Media::Data { .. });
        remote.is_rejected() || (self.kind() == remote.kind() && data == remote.is_data())
    }

    /// The far side stopped it, or either side cannot use it.
    pub(super) fn is_rejected(&self) -> bool {
        matches!(self.media, Media::Rejected { .. }) || self.remote.as_ref().is_some_and(RemoteSection::is_rejected)
    }

    /// It stands in our descriptions with port zero.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_rejected() || matches!(self.slot, Slot::Drained | Slot::Stopped)
    }

    /// The far side is ready to receive on it.
    pub(super) fn accepts_media(&self) -> bool {
        !self.is_rejected() && self.remote.as_ref().is_some_and(|remote| remote.direction.receives())
    }

    /// The far side sends on it.
    pub(super) fn brings_media(&self) -> bool {
        !self.is_rejected() && self.remote.as_ref().is_some_and(|remote| remote.direction.sends())
    }

    pub(super) fn is_spare(&self, kind: MediaKind) -> bool {
        self.slot == Slot::Free && self.kind() == Some(kind) && self.accepts_media()
    }

    /// The codecs in the order of preference that we answer with.
    pub(super) fn codecs(&self, wanted: Wanted) -> Vec<&SectionCodec> {
        let Some(remote) = &self.remote else { return Vec::new() };
        let mut codecs: Vec<&SectionCodec> = remote.codecs.iter().collect();
        // The sender takes the first.
        let preferred = match self.kind() {
            Some(MediaKind::Audio) if wanted.audio.red => Some(Codec::Red),
            Some(MediaKind::Audio) => Some(Codec::Opus),
            Some(MediaKind::Video) => wanted.video,
            None => None,
        };
        if let Some(preferred) = preferred {
            codecs.sort_by_key(|codec| codec.codec() != preferred);
        }
        codecs
    }

    /// The extensions that we answer with: all that we know, also where nothing is sent. Chromium 156 offers on later
    /// sections only what some earlier answer accepted; an extension left out of the first answer (transport-cc on spare
    /// sections, say) never comes back on the section that is published later.
    pub(super) fn extensions(&self) -> impl Iterator<Item = &OfferedExtension> {
        self.remote.iter().flat_map(|remote| &remote.extensions)
    }

    pub(super) fn incoming(&self, wanted: Wanted) -> Option<Incoming> {
        let remote = self.remote.as_ref().filter(|_| self.brings_media())?;
        let codecs = self.codecs(wanted);
        Some(Incoming {
            mid: self.mid,
            kind: self.kind()?,
            track_id: remote.track_id.clone(),
            codecs: codecs.iter().map(|codec| codec.parameters()).collect(),
            published: published(&codecs, wanted.audio),
            extensions: self.extensions().filter(|o| o.restriction != Restriction::RecvOnly).map(|o| o.id).collect(),
            encodings: remote.announced.encodings.clone(),
        })
    }

    /// How `outgoing` leaves on this section, once the far side agreed to receive it.
    pub(super) fn placed(&self, outgoing: &Outgoing) -> Option<Placed> {
        if self.slot != Slot::Taken(outgoing.subscription) || !self.accepts_media() {
            return None;
        }
        let remote = self.remote.as_ref()?;
        let (payloads, unsupported) = payloads::map(&outgoing.publisher, &remote.codecs);
        let primary = outgoing.publisher.iter().find(|codec| codec.codec != Codec::Red).map(|codec| codec.codec);
        // Numbers are of use to who reports about them.
        let reports = remote.codecs.iter().any(|codec| codec.feedback.contains(&Feedback::TransportCc));
        let sent = |o: &&OfferedExtension| {
            o.restriction != Restriction::SendOnly
                && extensions::sent(o.id.extension, primary)
                && (o.id.extension != HeaderExtension::TransportCc || reports)
        };
        let rtx_ssrc = self.sends_rtx().then_some(outgoing.rtx_ssrc);
        let send = SendParameters {
            mid: self.mid,
            ssrc: outgoing.ssrc,
            rtx_ssrc,
            cname: outgoing.cname.clone(),
            payloads,
            extensions: self.extensions().filter(sent).map(|o| o.id).collect(),
        };
        Some(Placed { subscription: outgoing.subscription, send, unsupported })
    }

    /// Some codec of the section can be retransmitted in a stream of its own.
    pub(super) fn sends_rtx(&self) -> bool {
        self.remote.iter().flat_map(|remote| &remote.codecs).any(|codec| codec.published.rtx.is_some())
    }
}

/// The sender follows our answer, not its own offer: it sends stereo where we asked for it.
fn published(codecs: &[&SectionCodec], audio: AudioPreferences) -> PublishedCodecs {
    let channels = if audio.stereo { Channels::Stereo } else { Channels::Mono };
    let mut published: PublishedCodecs = codecs.iter().map(|codec| codec.published.clone()).collect();
    for codec in &mut published {
        if let CodecFormat::Opus { channels: announced } = &mut codec.format {
            *announced = channels;
        }
    }
    published
}
