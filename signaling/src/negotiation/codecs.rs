//! Codecs of one section: which of the offered ones are kept, and which ones we offer. It refuses to know tracks,
//! directions and transports.

use super::bounds::FORMATS_MAX;
use super::error::NegotiationError;
use consilium_media_core::ids::PayloadType;
use consilium_media_core::params::{Codec, CodecParameters, MediaKind};
use rtc::sdp::description::common::Attribute;

/// What tells two payload types of one codec apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CodecFormat {
    /// VP8 has no variants.
    Plain,
    Opus {
        channels: Channels,
    },
    /// RED carries blocks of this payload type.
    Red {
        primary: PayloadType,
    },
    Vp9 {
        profile: u8,
    },
    H264 {
        profile: H264Profile,
        packetization: Packetization,
    },
    Av1 {
        profile: u8,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channels {
    Mono,
    Stereo,
}

/// RFC 6184 section 8.1, table 5.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum H264Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    Other { idc: u8, constraints: u8 },
}

/// RFC 6184 section 6.2: the packetization mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packetization {
    SingleNal,
    NonInterleaved,
}

/// One payload type that a publisher negotiated; the first of a list is what browsers send by default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublishedCodec {
    pub codec: Codec,
    pub format: CodecFormat,
    pub payload_type: PayloadType,
    /// Payload type of its retransmissions.
    pub rtx: Option<PayloadType>,
}

pub type PublishedCodecs = Vec<PublishedCodec>;

/// RTCP feedback that we take part in (RFC 4585, RFC 5104).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Feedback {
    TransportCc,
    Remb,
    Fir,
    Nack,
    Pli,
}

impl Feedback {
    const ALL: [Self; 5] = [Self::TransportCc, Self::Remb, Self::Fir, Self::Nack, Self::Pli];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TransportCc => "transport-cc",
            Self::Remb => "goog-remb",
            Self::Fir => "ccm fir",
            Self::Nack => "nack",
            Self::Pli => "nack pli",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// A codec of a section, with what is needed to write it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SectionCodec {
    pub(super) published: PublishedCodec,
    pub(super) feedback: Vec<Feedback>,
    /// Format parameters to be written, keys and values.
    pub(super) fmtp: Vec<(String, String)>,
}

impl SectionCodec {
    pub(super) fn codec(&self) -> Codec {
        self.published.codec
    }

    pub(super) fn payload_type(&self) -> PayloadType {
        self.published.payload_type
    }

    pub(super) fn parameters(&self) -> CodecParameters {
        CodecParameters {
            payload_type: self.published.payload_type,
            codec: self.published.codec,
            clock_rate: clock_rate(self.published.codec),
            rtx: self.published.rtx,
            nack: self.feedback.contains(&Feedback::Nack),
            fir_only: self.feedback.contains(&Feedback::Fir) && !self.feedback.contains(&Feedback::Pli),
            remb: self.feedback.contains(&Feedback::Remb),
        }
    }
}

pub(super) fn clock_rate(codec: Codec) -> u32 {
    match codec.kind() {
        MediaKind::Audio => 48_000,
        MediaKind::Video => 90_000,
    }
}

/// The encoding name, clock rate and channels of `a=rtpmap`.
pub(super) fn rtpmap(codec: Codec) -> &'static str {
    match codec {
        Codec::Opus => "opus/48000/2",
        Codec::Red => "red/48000/2",
        Codec::Vp8 => "VP8/90000",
        Codec::Vp9 => "VP9/90000",
        Codec::H264 => "H264/90000",
        Codec::Av1 => "AV1/90000",
    }
}

/// The codecs of a section that we speak, in the order of the m-line; everything else is left out. Formats are the words
/// of the m-line.
pub(super) fn parse(
    kind: MediaKind,
    formats: &[String],
    attributes: &[Attribute],
) -> Result<Vec<SectionCodec>, NegotiationError> {
    if formats.len() > FORMATS_MAX {
        return Err(NegotiationError::TooManyCodecs);
    }
    let lines = FormatLines { attributes };
    let mut codecs: Vec<SectionCodec> = Vec::new();
    for format in formats {
        let payload_type = format.parse().ok().and_then(PayloadType::new).ok_or(NegotiationError::Malformed)?;
        if codecs.iter().any(|known| known.payload_type() == payload_type) {
            continue;
        }
        let Some(codec) = lines.of(payload_type, "rtpmap").and_then(|line| recognise(kind, line)) else { continue };
        let given = parse_fmtp(lines.of(payload_type, "fmtp").unwrap_or_default());
        let Some(format) = parse_format(codec, &given) else { continue };
        let mut feedback = lines.feedback(payload_type);
        // RFC 4585 section 4.2 has an answer keep what was offered and add nothing. Browsers do not offer to repair sound
        // and do so where the answer asks for it; a stack that does not know this passes over it.
        if codec == Codec::Opus && !feedback.contains(&Feedback::Nack) {
            feedback.push(Feedback::Nack);
        }
        let fmtp = kept_fmtp(codec, given);
        codecs.push(SectionCodec {
            published: PublishedCodec { codec, format, payload_type, rtx: None },
            feedback,
            fmtp,
        });
    }
    attach_rtx(&mut codecs, formats, &lines, clock_rate_name(kind));
    // RED that does not wrap Opus of this section is not ours to forward.
    let opus: Vec<PayloadType> =
        codecs.iter().filter(|c| c.codec() == Codec::Opus).map(SectionCodec::payload_type).collect();
    codecs.retain(|c| match c.published.format {
        CodecFormat::Red { primary } => opus.contains(&primary),
        _ => true,
    });
    Ok(codecs)
}

fn clock_rate_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "rtx/48000",
        MediaKind::Video => "rtx/90000",
    }
}

/// RFC 4588 section 8.6: `apt` names the payload type that is repaired.
fn attach_rtx(codecs: &mut [SectionCodec], formats: &[String], lines: &FormatLines<'_>, rtpmap: &str) {
    for format in formats {
        let Some(repair) = format.parse().ok().and_then(PayloadType::new) else { continue };
        if !lines.of(repair, "rtpmap").is_some_and(|line| line.eq_ignore_ascii_case(rtpmap)) {
            continue;
        }
        let given = parse_fmtp(lines.of(repair, "fmtp").unwrap_or_default());
        let apt = value_of(&given, "apt").and_then(|v| v.parse().ok()).and_then(PayloadType::new);
        if let Some(codec) = codecs.iter_mut().find(|c| Some(c.payload_type()) == apt && c.published.rtx.is_none()) {
            codec.published.rtx = Some(repair);
        }
    }
}

/// Finds the attributes that begin with a payload type.
struct FormatLines<'a> {
    attributes: &'a [Attribute],
}

impl<'a> FormatLines<'a> {
    fn of(&self, payload_type: PayloadType, key: &str) -> Option<&'a str> {
        self.all(key).find(|(format, _)| format.parse() == Ok(payload_type.get())).map(|(_, rest)| rest)
    }

    fn all(&self, key: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let values = self.attributes.iter().filter(move |a| a.key == key).filter_map(|a| a.value.as_deref());
        values.filter_map(|value| value.split_once(' ')).map(|(format, rest)| (format, rest.trim()))
    }

    fn feedback(&self, payload_type: PayloadType) -> Vec<Feedback> {
        let own = |format: &str| format == "*" || format.parse() == Ok(payload_type.get());
        let given: Vec<Feedback> = self
            .all("rtcp-fb")
            .filter(|(format, _)| own(format))
            .filter_map(|(_, name)| Feedback::parse(name))
            .collect();
        let transport_cc = given.contains(&Feedback::TransportCc);
        // The two bandwidth estimations exclude each other; ours is transport-wide.
        let keep = |known: &Feedback| given.contains(known) && !(*known == Feedback::Remb && transport_cc);
        Feedback::ALL.into_iter().filter(keep).collect()
    }
}

fn recognise(kind: MediaKind, line: &str) -> Option<Codec> {
    const ALL: [Codec; 6] = [Codec::Opus, Codec::Red, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];
    // Encoding names are case-insensitive (RFC 4855 section 3).
    ALL.into_iter().filter(|codec| codec.kind() == kind).find(|codec| rtpmap(*codec).eq_ignore_ascii_case(line))
}

/// Parameters `a=1;b=2`; a value without a key (RED's) has an empty key.
fn parse_fmtp(line: &str) -> Vec<(String, String)> {
    let parts = line.split(';').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| match part.split_once('=') {
            Some((key, value)) => (key.trim().to_ascii_lowercase(), value.trim().to_owned()),
            None => (String::new(), part.to_owned()),
        })
        .collect()
}

fn value_of<'a>(fmtp: &'a [(String, String)], key: &str) -> Option<&'a str> {
    fmtp.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

/// `None` where the variant is one that we do not forward.
fn parse_format(codec: Codec, fmtp: &[(String, String)]) -> Option<CodecFormat> {
    match codec {
        Codec::Vp8 => Some(CodecFormat::Plain),
        Codec::Opus => {
            let stereo = value_of(fmtp, "sprop-stereo") == Some("1");
            Some(CodecFormat::Opus { channels: if stereo { Channels::Stereo } else { Channels::Mono } })
        }
        Codec::Red => {
            // RFC 2198 section 5: `111/111` lists the block types; all must be the same.
            let mut blocks = value_of(fmtp, "")?.split('/').map(|block| block.parse().ok().and_then(PayloadType::new));
            let primary = blocks.next()??;
            blocks.all(|block| block == Some(primary)).then_some(CodecFormat::Red { primary })
        }
        Codec::Vp9 => match value_of(fmtp, "profile-id").unwrap_or("0").parse() {
            Ok(profile @ (0 | 2)) => Some(CodecFormat::Vp9 { profile }),
            _ => None,
        },
        Codec::Av1 => value_of(fmtp, "profile").unwrap_or("0").parse().ok().map(|profile| CodecFormat::Av1 { profile }),
        Codec::H264 => {
            let packetization = match value_of(fmtp, "packetization-mode").unwrap_or("0") {
                "0" => Packetization::SingleNal,
                "1" => Packetization::NonInterleaved,
                _ => return None,
            };
            // RFC 6184 section 8.1: absent means Baseline, level 1.
            let profile = parse_profile(value_of(fmtp, "profile-level-id").unwrap_or("42000a"))?;
            Some(CodecFormat::H264 { profile, packetization })
        }
    }
}

fn parse_profile(level_id: &str) -> Option<H264Profile> {
    if level_id.len() != 6 {
        return None;
    }
    let bits = u32::from_str_radix(level_id, 16).ok()?;
    let [_, idc, constraints, _] = bits.to_be_bytes();
    Some(match (idc, constraints) {
        (0x42, c) if c & 0x40 != 0 => H264Profile::ConstrainedBaseline,
        (0x4d, c) if c & 0x80 != 0 => H264Profile::ConstrainedBaseline,
        (0x58, c) if c & 0xc0 == 0xc0 => H264Profile::ConstrainedBaseline,
        (0x42, _) => H264Profile::Baseline,
        (0x4d, _) => H264Profile::Main,
        (0x64, 0x0c) => H264Profile::ConstrainedHigh,
        (0x64, 0x00) => H264Profile::High,
        (idc, constraints) => H264Profile::Other { idc, constraints },
    })
}

/// The parameters that an answer repeats: those that both sides must share. Preferences of the far side as a receiver
/// (`stereo`, `usedtx`, `maxaveragebitrate`, `max-fs`) would become instructions to it as a sender, so they are chosen elsewhere.
fn kept_fmtp(codec: Codec, given: Vec<(String, String)>) -> Vec<(String, String)> {
    let keys: &[&str] = match codec {
        Codec::Opus => &["minptime", "useinbandfec", "maxplaybackrate", "cbr"],
        Codec::Red => &[""],
        Codec::Vp8 => &[],
        Codec::Vp9 => &["profile-id"],
        Codec::H264 => &["level-asymmetry-allowed", "packetization-mode", "profile-level-id"],
        Codec::Av1 => &["level-idx", "profile", "tier"],
    };
    let mut kept: Vec<(String, String)> = Vec::new();
    for (key, value) in given {
        if keys.contains(&key.as_str()) && !kept.iter().any(|(known, _)| *known == key) {
            kept.push((key, value));
        }
    }
    // RFC 7587 section 7: a receiver's wish, and ours whatever the far side wishes of us.
    if codec == Codec::Opus && value_of(&kept, "useinbandfec").is_none() {
        kept.push(("useinbandfec".to_owned(), "1".to_owned()));
    }
    kept
}

/// Payload types of the connections that we begin: codec, payload type, retransmission's, parameters.
type OwnCodec = (Codec, u8, Option<u8>, &'static str);

const OWN_AUDIO: &[OwnCodec] =
    &[(Codec::Opus, 111, None, "minptime=10;useinbandfec=1"), (Codec::Red, 63, None, "111/111")];

const OWN_VIDEO: &[OwnCodec] = &[
    (Codec::Vp8, 96, Some(97), ""),
    (Codec::Vp9, 98, Some(99), "profile-id=0"),
    (Codec::Vp9, 100, Some(101), "profile-id=2"),
    (Codec::H264, 102, Some(103), "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
    (Codec::H264, 104, Some(105), "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f"),
    (Codec::H264, 106, Some(107), "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"),
    (Codec::H264, 108, Some(109), "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f"),
    (Codec::H264, 112, Some(113), "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f"),
    (Codec::Av1, 45, Some(46), "level-idx=5;profile=0;tier=0"),
];

/// What we offer to a subscriber.
pub(super) fn own(kind: MediaKind) -> Vec<SectionCodec> {
    let (table, feedback): (_, &[Feedback]) = match kind {
        MediaKind::Audio => (OWN_AUDIO, &[Feedback::TransportCc, Feedback::Nack]),
        MediaKind::Video => {
            (OWN_VIDEO, &[Feedback::TransportCc, Feedback::Remb, Feedback::Fir, Feedback::Nack, Feedback::Pli])
        }
    };
    let build = |&(codec, payload_type, rtx, fmtp): &OwnCodec| {
        let fmtp = parse_fmtp(fmtp);
        let published = PublishedCodec {
            codec,
            format: parse_format(codec, &fmtp)?,
            payload_type: PayloadType::new(payload_type)?,
            rtx: rtx.and_then(PayloadType::new),
        };
        // Retransmitting inside RED would repeat what RED repeats already.
        let feedback = if codec == Codec::Red { vec![Feedback::TransportCc] } else { feedback.to_vec() };
        Some(SectionCodec { published, feedback, fmtp })
    };
    table.iter().filter_map(build).collect()
}
