//! A description of the far side, read and checked. It refuses to know what was negotiated before, or what we send.

use super::bounds;
use super::codecs::{self, SectionCodec};
use super::encodings::{self, Announced};
use super::error::NegotiationError;
use super::extensions::{self, OfferedExtension};
use super::transport::{self, RemoteTransport};
use consilium_media_core::ids::Mid;
use consilium_media_core::limits;
use consilium_media_core::params::MediaKind;
use rtc::sdp::SessionDescription;
use rtc::sdp::description::common::Attribute;
use rtc::sdp::description::media::MediaDescription;
use std::io::Cursor;

#[derive(Clone, Debug)]
pub(super) struct Description {
    pub(super) transport: RemoteTransport,
    pub(super) sections: Vec<RemoteSection>,
    /// `a=extmap-allow-mixed` stood at the session level (RFC 8285 section 6).
    pub(super) mixed_extensions: MixedExtensions,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MixedExtensions {
    Allowed,
    Refused,
}

#[derive(Clone, Debug)]
pub(super) struct RemoteSection {
    pub(super) mid: Mid,
    pub(super) media: Media,
    /// As the far side sees it.
    pub(super) direction: Direction,
    pub(super) codecs: Vec<SectionCodec>,
    pub(super) extensions: Vec<OfferedExtension>,
    pub(super) announced: Announced,
    pub(super) track_id: Option<String>,
    pub(super) mixed_extensions: MixedExtensions,
}

/// What a section is for, and what its m-line said, so that it can be repeated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Media {
    Rtp {
        kind: MediaKind,
        protocol: String,
    },
    Data {
        protocol: String,
    },
    /// Stopped by the far side (port 0), or nothing that we speak. Kept, since sections are matched by position.
    Rejected {
        media: String,
        protocol: String,
        format: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub(super) fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    pub(super) fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    pub(super) fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    fn of(attributes: &[Attribute]) -> Option<Self> {
        attributes.iter().find_map(|a| match a.key.as_str() {
            "sendrecv" => Some(Self::SendRecv),
            "sendonly" => Some(Self::SendOnly),
            "recvonly" => Some(Self::RecvOnly),
            "inactive" => Some(Self::Inactive),
            _ => None,
        })
    }
}

impl RemoteSection {
    pub(super) fn kind(&self) -> Option<MediaKind> {
        match self.media {
            Media::Rtp { kind, .. } => Some(kind),
            Media::Data { .. } | Media::Rejected { .. } => None,
        }
    }

    pub(super) fn is_rejected(&self) -> bool {
        matches!(self.media, Media::Rejected { .. })
    }

    pub(super) fn is_data(&self) -> bool {
        matches!(self.media, Media::Data { .. })
    }
}

/// First value of an attribute, without surrounding space.
pub(super) fn value<'a>(attributes: &'a [Attribute], key: &str) -> Option<&'a str> {
    attributes.iter().find(|a| a.key == key).and_then(|a| a.value.as_deref()).map(str::trim)
}

fn has(attributes: &[Attribute], key: &str) -> bool {
    attributes.iter().any(|a| a.key == key)
}

fn mixed(attributes: &[Attribute]) -> MixedExtensions {
    if has(attributes, "extmap-allow-mixed") { MixedExtensions::Allowed } else { MixedExtensions::Refused }
}

pub(super) fn parse(sdp: &str) -> Result<Description, NegotiationError> {
    if sdp.len() > bounds::SDP_LEN_MAX {
        return Err(NegotiationError::TooLong);
    }
    // A lone carriage return or another control character could smuggle a line into what we write back.
    let stray = |line: &str| line.chars().any(|c| c.is_control() && c != '\t');
    if sdp.split('\n').any(|line| stray(line.strip_suffix('\r').unwrap_or(line))) {
        return Err(NegotiationError::Malformed);
    }
    // Counted before the parse, which stores every section.
    if sdp.lines().filter(|line| line.starts_with("m=")).count() > bounds::SECTIONS_MAX {
        return Err(NegotiationError::TooManySections);
    }
    let session =
        SessionDescription::unmarshal(&mut Cursor::new(sdp.as_bytes())).map_err(|_| NegotiationError::Malformed)?;
    if session.media_descriptions.is_empty() {
        return Err(NegotiationError::NoSections);
    }
    let bundle = bundle_group(&session.attributes);
    let session_direction = Direction::of(&session.attributes).unwrap_or(Direction::SendRecv);
    let mut sections: Vec<RemoteSection> = Vec::with_capacity(session.media_descriptions.len());
    let mut data_sections = 0;
    for media in &session.media_descriptions {
        let section = parse_section(media, session_direction, &mut data_sections)?;
        if sections.iter().any(|other| other.mid == section.mid) {
            return Err(NegotiationError::DuplicateMid);
        }
        if !section.is_rejected() && !bundle.contains(&section.mid.as_str()) {
            return Err(NegotiationError::NotBundled);
        }
        sections.push(section);
    }
    let receiving = sections.iter().filter(|s| s.kind().is_some() && s.direction.sends()).count();
    if receiving > limits::RECEIVE_SECTIONS_MAX {
        return Err(NegotiationError::TooManySections);
    }
    extensions::check_bundled(sections.iter().flat_map(|s| &s.extensions))?;
    let transport = transport::parse(&session, bundled_first(&session, &bundle)?)?;
    Ok(Description { transport, sections, mixed_extensions: mixed(&session.attributes) })
}

/// The members of the first BUNDLE group (RFC 8843 section 7.2).
fn bundle_group(attributes: &[Attribute]) -> Vec<&str> {
    let groups = attributes.iter().filter(|a| a.key == "group").filter_map(|a| a.value.as_deref());
    let mut bundles = groups.filter_map(|value| value.trim().strip_prefix("BUNDLE"));
    bundles.next().map(|members| members.split_whitespace().collect()).unwrap_or_default()
}

/// The section whose transport all others share: the one that the group names first.
fn bundled_first<'a>(
    session: &'a SessionDescription,
    bundle: &[&str],
) -> Result<&'a MediaDescription, NegotiationError> {
    let first = bundle.first().ok_or(NegotiationError::NotBundled)?;
    session
        .media_descriptions
        .iter()
        .find(|media| value(&media.attributes, "mid") == Some(first))
        .ok_or(NegotiationError::NotBundled)
}

fn parse_section(
    media: &MediaDescription,
    session_direction: Direction,
    data_sections: &mut usize,
) -> Result<RemoteSection, NegotiationError> {
    let attributes = media.attributes.as_slice();
    if attributes.len() > bounds::ATTRIBUTES_MAX {
        return Err(NegotiationError::TooManyAttributes);
    }
    let mid = value(attributes, "mid").ok_or(NegotiationError::MissingMid)?;
    let mid = Mid::new(mid.as_bytes()).ok_or(NegotiationError::InvalidMid)?;
    let direction = Direction::of(attributes).unwrap_or(session_direction);
    let mut section = RemoteSection {
        mid,
        media: parse_media(media)?,
        direction,
        codecs: Vec::new(),
        extensions: Vec::new(),
        announced: encodings::parse(&[])?,
        track_id: None,
        mixed_extensions: mixed(attributes),
    };
    match &section.media {
        Media::Rtp { kind, .. } => {
            if !has(attributes, "rtcp-mux") {
                return Err(NegotiationError::NoRtcpMux);
            }
            section.codecs = codecs::parse(*kind, &media.media_name.formats, attributes)?;
            section.extensions = extensions::parse(attributes)?;
            section.announced = encodings::parse(attributes)?;
            section.track_id = parse_track_id(attributes)?;
            if section.codecs.is_empty() {
                section.media = rejected(media)?;
            }
        }
        Media::Data { .. } if *data_sections > 0 => section.media = rejected(media)?,
        Media::Data { .. } => *data_sections += 1,
        Media::Rejected { .. } => {}
    }
    if section.is_rejected() {
        section.direction = Direction::Inactive;
        section.extensions.clear();
    }
    Ok(section)
}

fn parse_media(media: &MediaDescription) -> Result<Media, NegotiationError> {
    let name = &media.media_name;
    let protocol = name.protos.join("/");
    // Port 0 stops a section, unless it only waits for its bundle (RFC 8843 section 6).
    if name.port.value == 0 && !has(&media.attributes, "bundle-only") {
        return rejected(media);
    }
    let kind = match name.media.as_str() {
        "audio" => MediaKind::Audio,
        "video" => MediaKind::Video,
        "application" if protocol.ends_with("DTLS/SCTP") && is_data_channel(media) => {
            return Ok(Media::Data { protocol: token(&protocol)? });
        }
        _ => return rejected(media),
    };
    if protocol.ends_with("RTP/SAVPF") { Ok(Media::Rtp { kind, protocol: token(&protocol)? }) } else { rejected(media) }
}

/// RFC 8841; the older `a=sctpmap` form has no `sctp-port`.
fn is_data_channel(media: &MediaDescription) -> bool {
    media.media_name.formats.first().is_some_and(|format| format == "webrtc-datachannel")
        && value(&media.attributes, "sctp-port").is_some()
}

fn rejected(media: &MediaDescription) -> Result<Media, NegotiationError> {
    let name = &media.media_name;
    let format = name.formats.first().ok_or(NegotiationError::Malformed)?;
    Ok(Media::Rejected { media: token(&name.media)?, protocol: token(&name.protos.join("/"))?, format: token(format)? })
}

/// A word of an m-line that goes back to its sender. Real ones have at most some twenty characters.
fn token(word: &str) -> Result<String, NegotiationError> {
    let legal = word.len() <= bounds::STREAM_ID_LEN_MAX && word.chars().all(|c| c.is_ascii_graphic());
    if legal { Ok(word.to_owned()) } else { Err(NegotiationError::Malformed) }
}

/// The second word of `a=msid` (RFC 8830), or of the older `a=ssrc:… msid:`.
fn parse_track_id(attributes: &[Attribute]) -> Result<Option<String>, NegotiationError> {
    let older = || {
        let lines = attributes.iter().filter(|a| a.key == "ssrc").filter_map(|a| a.value.as_deref());
        lines.filter_map(|line| line.split_once(' ')).find_map(|(_, rest)| rest.trim().strip_prefix("msid:"))
    };
    let Some(msid) = value(attributes, "msid").or_else(older) else { return Ok(None) };
    let Some(track) = msid.split_whitespace().nth(1) else { return Ok(None) };
    if track.len() > bounds::TRACK_ID_LEN_MAX {
        return Err(NegotiationError::InvalidTrackId);
    }
    Ok(Some(track.to_owned()))
}
