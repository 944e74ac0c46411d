//! What a publisher sends, in the numbers of a subscriber.

use super::*;
use consilium_media_core::params::{HeaderExtension, PayloadMapping};

/// A track of `publisher` on a spare section of `subscriber`.
fn subscribe(publisher: &str, subscriber: &str, kind: MediaKind) -> Placed {
    subscribe_to(&published(publisher, kind), subscriber, kind)
}

fn subscribe_to(codecs: &[PublishedCodec], subscriber: &str, kind: MediaKind) -> Placed {
    let mut negotiation = negotiation(Role::Answerer);
    negotiation.add_outgoing(outgoing(1, kind, codecs));
    exchange(&mut negotiation, subscriber);
    negotiation.placed().remove(0)
}

fn mapping_of(placed: &Placed, codecs: &[PublishedCodec], codec: Codec) -> Option<PayloadMapping> {
    let from = codecs.iter().find(|published| published.codec == codec)?.payload_type;
    placed.send.payloads.iter().copied().find(|mapping| mapping.from == from)
}

fn numbers(mapping: PayloadMapping) -> (u8, u8, Option<u8>) {
    (mapping.from.get(), mapping.to.get(), mapping.rtx.map(|rtx| rtx.get()))
}

#[test]
fn firefox_gets_chromiums_video_in_its_own_numbers() {
    let codecs = published(CHROMIUM_PUBLISH_SINGLE, MediaKind::Video);
    let placed = subscribe_to(&codecs, FIREFOX_INITIAL, MediaKind::Video);
    let number = |codec| mapping_of(&placed, &codecs, codec).map(numbers);
    assert_eq!(number(Codec::Vp8), Some((96, 120, Some(124))));
    assert_eq!(number(Codec::Vp9), Some((98, 121, Some(125))));
    assert_eq!(number(Codec::Av1), Some((45, 99, Some(100))));
    // This Firefox was built without H.264.
    assert_eq!(number(Codec::H264), None);
    assert_eq!(placed.unsupported, [Codec::H264]);
}

#[test]
fn red_is_stripped_for_a_subscriber_without_it() {
    let codecs = published(CHROMIUM_PUBLISH_SINGLE, MediaKind::Audio);
    let placed = subscribe_to(&codecs, FIREFOX_INITIAL, MediaKind::Audio);
    let red = mapping_of(&placed, &codecs, Codec::Red).unwrap();
    assert_eq!((numbers(red), red.strip_red), ((63, 109, None), true));
    let opus = mapping_of(&placed, &codecs, Codec::Opus).unwrap();
    assert_eq!((numbers(opus), opus.strip_red), ((111, 109, None), false));
    assert!(placed.unsupported.is_empty());
}

#[test]
fn red_passes_whole_where_both_number_opus_alike() {
    let codecs = published(CHROMIUM_PUBLISH_SINGLE, MediaKind::Audio);
    let placed = subscribe_to(&codecs, CHROMIUM_INITIAL, MediaKind::Audio);
    assert!(!mapping_of(&placed, &codecs, Codec::Red).unwrap().strip_red);
}

/// The blocks inside RED carry the publisher's payload types.
#[test]
fn red_is_stripped_where_opus_is_numbered_otherwise() {
    let renumbered =
        CHROMIUM_INITIAL.replace(":111 ", ":112 ").replace(" 111 63", " 112 63").replace("111/111", "112/112");
    let codecs = published(CHROMIUM_PUBLISH_SINGLE, MediaKind::Audio);
    let placed = subscribe_to(&codecs, &renumbered, MediaKind::Audio);
    let red = mapping_of(&placed, &codecs, Codec::Red).unwrap();
    assert_eq!((numbers(red), red.strip_red), ((63, 112, None), true));
}

#[test]
fn a_firefox_publisher_reaches_chromium() {
    let video = subscribe(FIREFOX_PUBLISH_SINGLE, CHROMIUM_INITIAL, MediaKind::Video);
    assert_eq!(video.send.payloads[0].to.get(), 96);
    assert!(video.unsupported.is_empty());
    let audio = subscribe(FIREFOX_PUBLISH_SINGLE, CHROMIUM_INITIAL, MediaKind::Audio);
    assert_eq!(audio.send.payloads.len(), 1);
    assert_eq!(numbers(audio.send.payloads[0]), (109, 111, None));
}

/// Its frame numbers run within one simulcast encoding.
#[test]
fn the_dependency_descriptor_is_sent_for_svc_codecs_only() {
    let sent = |publisher| {
        let placed = subscribe(publisher, CHROMIUM_INITIAL, MediaKind::Video);
        placed.send.extensions.iter().any(|e| e.extension == HeaderExtension::DependencyDescriptor)
    };
    let offered = CHROMIUM_INITIAL.contains("dependency-descriptor");
    assert_eq!([sent(CHROMIUM_VP9), sent(CHROMIUM_AV1), sent(CHROMIUM_PUBLISH_SINGLE)], [offered, offered, false]);
}

#[test]
fn h264_goes_to_a_format_that_can_decode_it() {
    let codec = |profile, packetization, payload_type: u8| PublishedCodec {
        codec: Codec::H264,
        format: CodecFormat::H264 { profile, packetization },
        payload_type: consilium_media_core::ids::PayloadType::new(payload_type).unwrap(),
        rtx: None,
    };
    let to = |profile, packetization| {
        let published = [codec(profile, packetization, 50)];
        let (mappings, unsupported) = payloads::map(&published, &codecs::own(MediaKind::Video));
        assert_eq!(mappings.is_empty(), unsupported == [Codec::H264]);
        mappings.first().map(|mapping| mapping.to.get())
    };
    use H264Profile::{Baseline, ConstrainedBaseline, High, Main, Other};
    assert_eq!(to(ConstrainedBaseline, Packetization::NonInterleaved), Some(102));
    assert_eq!(to(ConstrainedBaseline, Packetization::SingleNal), Some(104));
    assert_eq!(to(Baseline, Packetization::NonInterleaved), Some(106));
    assert_eq!(to(Main, Packetization::NonInterleaved), Some(108));
    assert_eq!(to(Main, Packetization::SingleNal), Some(108));
    assert_eq!(to(High, Packetization::NonInterleaved), Some(112));
    assert_eq!(to(Other { idc: 0x6e, constraints: 0 }, Packetization::NonInterleaved), None);
}
