//! Which payload type of a subscriber carries which payload type of a publisher. It refuses to know SDP.

use super::codecs::{CodecFormat, H264Profile, Packetization, PublishedCodec, SectionCodec};
use consilium_media_core::params::{Codec, PayloadMapping};

/// The mappings, in the publisher's order, and the publisher's codecs that the subscriber cannot receive.
pub(super) fn map(publisher: &[PublishedCodec], subscriber: &[SectionCodec]) -> (Vec<PayloadMapping>, Vec<Codec>) {
    let mut mappings: Vec<PayloadMapping> = Vec::new();
    let mut unsupported: Vec<Codec> = Vec::new();
    for from in publisher {
        if mappings.iter().any(|known| known.from == from.payload_type) {
            continue;
        }
        match map_one(from, subscriber) {
            Some(mapping) => mappings.push(mapping),
            None if unsupported.contains(&from.codec) => {}
            None => unsupported.push(from.codec),
        }
    }
    // A codec of which one variant passes can be received.
    unsupported.retain(|codec| {
        let passes = |p: &PublishedCodec| p.codec == *codec && mappings.iter().any(|m| m.from == p.payload_type);
        !publisher.iter().any(passes)
    });
    (mappings, unsupported)
}

fn map_one(from: &PublishedCodec, subscriber: &[SectionCodec]) -> Option<PayloadMapping> {
    let mapping = |to: &PublishedCodec, strip_red| PayloadMapping {
        from: from.payload_type,
        to: to.payload_type,
        rtx: to.rtx,
        strip_red,
    };
    let best = subscriber
        .iter()
        .filter_map(|to| distance(from.format, to.published.format).map(|distance| (distance, &to.published)))
        .min_by_key(|(distance, _)| *distance);
    if let Some((_, to)) = best {
        return Some(mapping(to, false));
    }
    // RED blocks carry payload types of the publisher in clear, and payloads are not rewritten: where the subscriber
    // numbers Opus otherwise, or has no RED, the primary block alone is sent.
    let opus = subscriber.iter().find(|to| to.codec() == Codec::Opus)?;
    (from.codec == Codec::Red).then(|| mapping(&opus.published, true))
}

/// How far the receiver's format is from the sender's; `None` where it cannot decode it.
fn distance(from: CodecFormat, to: CodecFormat) -> Option<u8> {
    match (from, to) {
        (CodecFormat::Plain, CodecFormat::Plain) | (CodecFormat::Opus { .. }, CodecFormat::Opus { .. }) => Some(0),
        (CodecFormat::Red { primary: from }, CodecFormat::Red { primary: to }) => (from == to).then_some(0),
        (CodecFormat::Vp9 { profile: from }, CodecFormat::Vp9 { profile: to })
        | (CodecFormat::Av1 { profile: from }, CodecFormat::Av1 { profile: to }) => (from == to).then_some(0),
        (
            CodecFormat::H264 { profile: from, packetization: sent },
            CodecFormat::H264 { profile: to, packetization: received },
        ) => {
            let packetization = match (sent, received) {
                (Packetization::SingleNal, Packetization::NonInterleaved) => 4,
                (Packetization::NonInterleaved, Packetization::SingleNal) => return None,
                _ => 0,
            };
            Some(packetization + profile_distance(from, to)?)
        }
        _ => None,
    }
}

/// Constrained Baseline is a part of every profile. Browsers that say Baseline send Constrained Baseline: none of them
/// has flexible macroblock ordering (RFC 7742 section 6.2 asks for Constrained Baseline).
fn profile_distance(from: H264Profile, to: H264Profile) -> Option<u8> {
    use H264Profile::{Baseline, ConstrainedBaseline, ConstrainedHigh, High, Main};
    match (from, to) {
        (from, to) if from == to => Some(0),
        (ConstrainedBaseline, Baseline) | (Baseline, ConstrainedBaseline) => Some(1),
        (ConstrainedBaseline | Baseline, Main | ConstrainedHigh | High) => Some(2),
        (Main | ConstrainedHigh, High) => Some(1),
        _ => None,
    }
}
