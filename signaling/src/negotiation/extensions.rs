//! Header extensions (RFC 8285): their names in SDP, and which of them are negotiated where. It refuses to know their
//! contents.

use super::bounds::EXTENSIONS_MAX;
use super::error::NegotiationError;
use consilium_media_core::params::{Codec, ExtensionId, HeaderExtension, MediaKind};
use rtc::sdp::description::common::Attribute;

const URIS: [(HeaderExtension, &str); 10] = [
    (HeaderExtension::Mid, "urn:ietf:params:rtp-hdrext:sdes:mid"),
    (HeaderExtension::RtpStreamId, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"),
    (HeaderExtension::RepairedRtpStreamId, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"),
    (HeaderExtension::AudioLevel, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
    (HeaderExtension::AbsSendTime, "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"),
    (HeaderExtension::TransportCc, "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"),
    (HeaderExtension::VideoOrientation, "urn:3gpp:video-orientation"),
    (HeaderExtension::PlayoutDelay, "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"),
    (HeaderExtension::AbsCaptureTime, "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"),
    (
        HeaderExtension::DependencyDescriptor,
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
    ),
];

/// The id that a one-byte header cannot use (RFC 8285 section 4.2).
const RESERVED_ID: u8 = 15;

/// Restriction that the offer put on an extension (RFC 8285 section 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Restriction {
    None,
    SendOnly,
    RecvOnly,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OfferedExtension {
    pub(super) id: ExtensionId,
    pub(super) restriction: Restriction,
}

pub(super) fn uri(extension: HeaderExtension) -> &'static str {
    URIS.iter().find(|(known, _)| *known == extension).map_or("", |(_, uri)| uri)
}

/// The extensions of one section that the core knows, in the order and with the ids of the description.
pub(super) fn parse(attributes: &[Attribute]) -> Result<Vec<OfferedExtension>, NegotiationError> {
    let lines = attributes.iter().filter(|a| a.key == "extmap").filter_map(|a| a.value.as_deref());
    let mut found: Vec<OfferedExtension> = Vec::new();
    for (index, line) in lines.enumerate() {
        if index >= EXTENSIONS_MAX {
            return Err(NegotiationError::TooManyExtensions);
        }
        let mut words = line.split_whitespace();
        let (Some(entry), Some(name)) = (words.next(), words.next()) else {
            return Err(NegotiationError::Malformed);
        };
        let (id, direction) = entry.split_once('/').unwrap_or((entry, "sendrecv"));
        let restriction = match direction {
            "sendrecv" => Restriction::None,
            "sendonly" => Restriction::SendOnly,
            "recvonly" => Restriction::RecvOnly,
            _ => continue,
        };
        // Ids above 255 are proposals that need an id of our own (RFC 8285 section 5); no browser makes them.
        let Ok(id) = id.parse::<u8>() else { continue };
        let Some((extension, _)) = URIS.iter().find(|(_, uri)| *uri == name) else { continue };
        if id == 0 || id == RESERVED_ID {
            continue;
        }
        if found.iter().any(|other| other.id.id == id && other.id.extension != *extension) {
            return Err(NegotiationError::ExtensionConflict);
        }
        if !found.iter().any(|other| other.id.extension == *extension) {
            found.push(OfferedExtension { id: ExtensionId { id, extension: *extension }, restriction });
        }
    }
    Ok(found)
}

/// Bundled sections share their ids (RFC 8843 section 9.2): packets are routed by MID before the section is known.
pub(super) fn check_bundled<'a>(all: impl Iterator<Item = &'a OfferedExtension>) -> Result<(), NegotiationError> {
    let mut by_id: [Option<HeaderExtension>; 256] = [None; 256];
    for offered in all {
        if let Some(slot) = by_id.get_mut(usize::from(offered.id.id)) {
            match slot {
                Some(known) if *known != offered.id.extension => return Err(NegotiationError::ExtensionConflict),
                _ => *slot = Some(offered.id.extension),
            }
        }
    }
    Ok(())
}

/// What goes on packets towards a subscriber. Stream ids name the publisher's encodings, and a subscriber gets one
/// stream. The dependency descriptor is passed on for SVC codecs alone: its frame numbers run within one encoding, so
/// a switch between simulcast encodings would break the chain.
pub(super) fn sent(extension: HeaderExtension, primary: Option<Codec>) -> bool {
    match extension {
        HeaderExtension::RtpStreamId | HeaderExtension::RepairedRtpStreamId => false,
        // Ours are transport-wide numbers; send times would serve receivers that estimate by themselves.
        HeaderExtension::AbsSendTime => false,
        HeaderExtension::DependencyDescriptor => matches!(primary, Some(Codec::Vp9 | Codec::Av1)),
        _ => true,
    }
}

/// What we offer on the connections that we begin; ids are ours.
pub(super) fn own(kind: MediaKind) -> Vec<OfferedExtension> {
    let list: &[(u8, HeaderExtension)] = match kind {
        MediaKind::Audio => &[
            (1, HeaderExtension::Mid),
            (2, HeaderExtension::AudioLevel),
            (5, HeaderExtension::AbsCaptureTime),
            (7, HeaderExtension::TransportCc),
        ],
        MediaKind::Video => &[
            (1, HeaderExtension::Mid),
            (3, HeaderExtension::VideoOrientation),
            (4, HeaderExtension::PlayoutDelay),
            (5, HeaderExtension::AbsCaptureTime),
            (6, HeaderExtension::DependencyDescriptor),
            (7, HeaderExtension::TransportCc),
        ],
    };
    list.iter()
        .map(|&(id, extension)| OfferedExtension { id: ExtensionId { id, extension }, restriction: Restriction::None })
        .collect()
}
