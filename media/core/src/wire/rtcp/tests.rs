//! Round trips between writer and views, cross-checks with the protocol library, and bytes that lie.

use super::*;
use crate::ids::{RtpTime, SeqNo};
use crate::wire::ntp::NtpTime;
use crate::wire::transport_cc::TransportCcRecorder;
use proptest::prelude::*;
use rtc::rtcp;
use rtc::shared::marshal::Unmarshal;
use std::time::Duration;

const A: Ssrc = Ssrc::new(0x0a0b_0c0d);
const B: Ssrc = Ssrc::new(0xf1f2_f3f4);
const BLOCK: ReportBlock = ReportBlock {
    ssrc: B,
    fraction_lost: 200,
    cumulative_lost: -3,
    highest_seq: 0x0001_0002,
    jitter: 77,
    lsr: 0x1234_5678,
    dlsr: 65_536,
};

fn written(write: impl FnOnce(&mut RtcpWriter<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut RtcpWriter::new(&mut out));
    out
}

fn only(bytes: &[u8]) -> RtcpPacket<'_> {
    let mut packets = compound(bytes);
    let first = packets.next().unwrap().unwrap();
    assert!(packets.next().is_none());
    first
}

fn seqs(values: &[u16]) -> Vec<SeqNo> {
    values.iter().map(|value| SeqNo::new(*value)).collect()
}

fn theirs(bytes: &[u8]) -> Vec<Box<dyn rtcp::packet::Packet>> {
    rtcp::packet::unmarshal(&mut &bytes[..]).unwrap()
}

#[test]
fn sender_reports_round_trip() {
    let ntp = NtpTime::new(0x0123_4567_89ab_cdef);
    let bytes = written(|w| assert!(w.sender_report(A, ntp, RtpTime::new(9), 10, 11, &[BLOCK, BLOCK])));
    let RtcpPacket::SenderReport(report) = only(&bytes) else { panic!("{bytes:x?}") };
    assert_eq!((report.ssrc, report.ntp, report.rtp.get(), report.packets, report.octets), (A, ntp, 9, 10, 11));
    assert_eq!(report.reports.iter().collect::<Vec<_>>(), [BLOCK, BLOCK]);
    let parsed = rtcp::sender_report::SenderReport::unmarshal(&mut &bytes[..]).unwrap();
    assert_eq!((parsed.ssrc, parsed.ntp_time, parsed.rtp_time), (A.get(), ntp.get(), 9));
    assert_eq!((parsed.packet_count, parsed.octet_count, parsed.reports.len()), (10, 11, 2));
    assert_eq!((parsed.reports[0].fraction_lost, parsed.reports[0].total_lost), (200, 0xff_fffd));
    assert_eq!((parsed.reports[0].jitter, parsed.reports[0].delay), (77, 65_536));
}

#[test]
fn receiver_reports_round_trip_and_stop_at_thirty_one_blocks() {
    let bytes = written(|w| assert!(w.receiver_report(A, &[BLOCK; 40])));
    let RtcpPacket::ReceiverReport(report) = only(&bytes) else { panic!() };
    assert_eq!((report.ssrc, report.reports.iter().count()), (A, 31));
    assert!(report.reports.iter().all(|block| block == BLOCK));
    let parsed = rtcp::receiver_report::ReceiverReport::unmarshal(&mut &bytes[..]).unwrap();
    assert_eq!((parsed.ssrc, parsed.reports.len()), (A.get(), 31));
}

#[test]
fn cumulative_loss_saturates_at_twenty_four_bits() {
    let check = |lost: i32, want: i32| {
        let bytes = written(|w| assert!(w.receiver_report(A, &[ReportBlock { cumulative_lost: lost, ..BLOCK }])));
        let RtcpPacket::ReceiverReport(report) = only(&bytes) else { panic!() };
        assert_eq!(report.reports.iter().next().map(|block| block.cumulative_lost), Some(want));
    };
    check(5, 5);
    check(i32::MAX, 0x7f_ffff);
    check(i32::MIN, -0x80_0000);
}

#[test]
fn cnames_round_trip_for_every_alignment() {
    for len in 0..=255 {
        let cname = vec![b'x'; len];
        let bytes = written(|w| assert!(w.sdes_cname(A, &cname) && w.bye(&[A])));
        let packets: Vec<_> = compound(&bytes).map(Result::unwrap).collect();
        let [RtcpPacket::Sdes(sdes), RtcpPacket::Bye { .. }] = packets[..] else { panic!("{packets:?}") };
        assert_eq!(sdes.cname(A), Some(&cname[..]));
        assert_eq!(sdes.cname(B), None);
    }
    assert!(written(|w| assert!(!w.sdes_cname(A, &[b'x'; 256]))).is_empty());
}

#[test]
fn the_cname_is_found_among_other_items_and_chunks() {
    // A: NOTE (7) "hi"; B: TOOL (6) "t", CNAME "name".
    let mut bytes = vec![0x82, 202, 0, 6];
    bytes.extend(A.get().to_be_bytes());
    bytes.extend([7, 2, b'h', b'i', 0, 0, 0, 0]);
    bytes.extend(B.get().to_be_bytes());
    bytes.extend([6, 1, b't', 1, 4, b'n', b'a', b'm', b'e', 0, 0, 0]);
    bytes[3] = (bytes.len() / 4 - 1) as u8;
    let RtcpPacket::Sdes(sdes) = only(&bytes) else { panic!() };
    assert_eq!(sdes.cnames().collect::<Vec<_>>(), [(B, &b"name"[..])]);
    assert_eq!(sdes.cname(A), None);
}

#[test]
fn nacks_pack_runs_into_masks() {
    let lost = seqs(&[65_530, 65_531, 10, 11, 26, 27, 28]);
    let bytes = written(|w| assert_eq!(w.nack(A, B, &lost), lost.len()));
    // 65,530 reaches up to 10; 11 up to 27; 28 is alone.
    assert_eq!(bytes.len(), 12 + 3 * 4);
    let RtcpPacket::Nack(nack) = only(&bytes) else { panic!() };
    assert_eq!((nack.sender, nack.media), (A, B));
    assert_eq!(nack.lost().collect::<Vec<_>>(), lost);
    let parsed = rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack::unmarshal(&mut &bytes[..]);
    let pairs = parsed.unwrap().nacks;
    assert_eq!(
        pairs.iter().flat_map(|pair| pair.packet_list()).collect::<Vec<_>>(),
        lost.iter().map(|s| s.get()).collect::<Vec<_>>()
    );
}

#[test]
fn one_nack_item_reaches_sixteen_numbers_further() {
    let len = |lost: &[u16]| written(|w| assert_eq!(w.nack(A, B, &seqs(lost)), lost.len())).len();
    assert_eq!(len(&[1, 17]), 12 + 4);
    assert_eq!(len(&[1, 18]), 12 + 8);
    assert_eq!(len(&[5, 5, 5]), 12 + 4);
    assert_eq!(len(&[5, 4]), 12 + 8);
}

#[test]
fn a_nack_takes_what_fits_and_says_how_much() {
    let lost: Vec<SeqNo> = (0..1_000).map(|i| SeqNo::new(i * 20)).collect();
    let bytes = written(|w| {
        assert_eq!(w.nack(A, B, &lost), NACK_ITEMS_MAX);
        assert_eq!(w.nack(A, B, &lost[NACK_ITEMS_MAX..]), (RTCP_LEN_MAX - 12 - NACK_ITEMS_MAX * 4 - 12) / 4);
        assert_eq!(w.nack(A, B, &lost), 0);
    });
    assert!(bytes.len() <= RTCP_LEN_MAX);
    assert!(written(|w| assert_eq!(w.nack(A, B, &[]), 0)).is_empty());
}

#[test]
fn keyframe_requests_round_trip() {
    let entries = [FirEntry { ssrc: A, seq_nr: 255 }, FirEntry { ssrc: B, seq_nr: 0 }];
    let bytes = written(|w| assert!(w.pli(A, B) && w.fir(A, &entries)));
    let packets: Vec<_> = compound(&bytes).map(Result::unwrap).collect();
    let [RtcpPacket::Pli(pli), RtcpPacket::Fir(fir)] = packets[..] else { panic!("{packets:?}") };
    assert_eq!(pli, Pli { sender: A, media: B });
    assert_eq!(fir.sender, A);
    assert_eq!(fir.entries().collect::<Vec<_>>(), entries);
    let parsed = theirs(&bytes);
    assert_eq!(parsed.len(), 2);
    let pli =
        parsed[0].as_any().downcast_ref::<rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication>();
    assert_eq!(pli.map(|pli| pli.media_ssrc), Some(B.get()));
    let fir = parsed[1].as_any().downcast_ref::<rtcp::payload_feedbacks::full_intra_request::FullIntraRequest>();
    assert_eq!(
        fir.unwrap().fir.iter().map(|e| (e.ssrc, e.sequence_number)).collect::<Vec<_>>(),
        [(A.get(), 255), (B.get(), 0)]
    );
    assert!(written(|w| assert!(!w.fir(A, &[]))).is_empty());
}

#[test]
fn a_goodbye_names_its_sources_and_may_give_a_reason() {
    let bytes = written(|w| assert!(w.bye(&[A, B])));
    let RtcpPacket::Bye { ssrcs } = only(&bytes) else { panic!() };
    assert_eq!(ssrcs.iter().collect::<Vec<_>>(), [A, B]);
    let mut reasoned = bytes;
    reasoned.extend([3, b'e', b'n', b'd']);
    reasoned[3] += 1;
    let RtcpPacket::Bye { ssrcs } = only(&reasoned) else { panic!() };
    assert_eq!(ssrcs.iter().count(), 2);
    assert!(written(|w| assert!(!w.bye(&[A; 32]))).is_empty());
}

#[test]
fn transport_feedback_is_written_and_passed_on_whole() {
    let mut recorder = TransportCcRecorder::new();
    recorder.record(Duration::from_millis(64), SeqNo::new(500));
    let bytes = written(|w| {
        assert!(w.transport_cc(&mut recorder, A, B) && w.pli(A, B));
        assert!(!w.transport_cc(&mut recorder, A, B));
    });
    let packets: Vec<_> = compound(&bytes).map(Result::unwrap).collect();
    let [RtcpPacket::TransportCc(feedback), RtcpPacket::Pli(_)] = packets[..] else { panic!("{packets:?}") };
    assert_eq!((feedback.sender, feedback.media), (A, B));
    assert_eq!(feedback.body, [500u16.to_be_bytes(), [0, 1], [0, 0], [1, 0], [0x20, 1], [0, 0]].concat());
}

#[test]
fn remb_is_read_as_the_library_writes_it() {
    use rtc::shared::marshal::Marshal;
    let message = rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate {
        sender_ssrc: A.get(),
        bitrate: 8_927_168.0,
        ssrcs: vec![B.get(), 7],
    };
    let bytes = message.marshal().unwrap();
    let RtcpPacket::Remb(remb) = only(&bytes) else { panic!() };
    assert_eq!((remb.sender, remb.bitrate_bps), (A, 8_927_168));
    assert_eq!(remb.ssrcs.iter().map(Ssrc::get).collect::<Vec<_>>(), [B.get(), 7]);
}

#[test]
fn a_bit_rate_is_written_as_the_library_reads_it() {
    use rtc::shared::marshal::Unmarshal;
    type Theirs = rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
    for (bps, read) in
        [(1, 1), (30_000, 30_000), (0x3_ffff, 0x3_ffff), (1_000_001, 1_000_000), (100_000_511, 100_000_256)]
    {
        let mut bytes = Vec::new();
        assert!(RtcpWriter::new(&mut bytes).remb(A, bps, &[B, Ssrc::new(7)]));
        let RtcpPacket::Remb(remb) = only(&bytes) else { panic!() };
        assert_eq!((remb.sender, remb.bitrate_bps), (A, read));
        let theirs = Theirs::unmarshal(&mut bytes.as_slice()).unwrap();
        assert_eq!((theirs.bitrate as u64, theirs.ssrcs), (read, vec![B.get(), 7]));
    }
}

#[test]
fn a_bit_rate_that_overflows_is_refused() {
    let mut bytes = vec![0x8f, 206, 0, 4];
    bytes.extend([0; 8]);
    bytes.extend(b"REMB");
    bytes.extend([0, 63 << 2 | 3, 255, 255]);
    assert_eq!(compound(&bytes).next().unwrap().unwrap_err(), WireError::Value);
    bytes[12] = b'X';
    assert!(matches!(only(&bytes), RtcpPacket::Unknown { packet_type: 206, fmt: 15 }));
}

#[test]
fn a_full_compound_refuses_without_writing_a_part() {
    let bytes = written(|w| {
        assert!(w.receiver_report(A, &[BLOCK; 31]));
        assert!(!w.receiver_report(A, &[BLOCK; 31]));
        assert_eq!(w.len(), 8 + 31 * 24);
        while w.pli(A, B) {}
        assert!(!w.bye(&[A; 3]) && !w.sdes_cname(A, b"0123456789"));
    });
    assert!(bytes.len() <= RTCP_LEN_MAX && bytes.len() > RTCP_LEN_MAX - 12);
    assert!(compound(&bytes).all(|packet| packet.is_ok()));
}

#[test]
fn the_writer_appends_to_what_is_there() {
    let mut out = vec![1, 2, 3];
    let mut writer = RtcpWriter::new(&mut out);
    assert!(writer.is_empty());
    assert!(writer.pli(A, B));
    assert_eq!(writer.len(), 12);
    assert_eq!(out.len(), 15);
    assert!(matches!(only(&out[3..]), RtcpPacket::Pli(_)));
}

#[test]
fn padding_is_taken_off_the_last_packet_and_refused_before_it() {
    let mut padded = written(|w| assert_eq!(w.nack(A, B, &seqs(&[1])), 1));
    padded[0] |= 0x20;
    padded[3] += 1;
    padded.extend([0, 0, 0, 4]);
    let RtcpPacket::Nack(nack) = only(&padded) else { panic!() };
    assert_eq!(nack.lost().count(), 1);
    for wrong in [0, 3, 20, 255] {
        *padded.last_mut().unwrap() = wrong;
        assert_eq!(compound(&padded).next().unwrap().unwrap_err(), WireError::Padding);
    }
    *padded.last_mut().unwrap() = 4;
    padded.extend(written(|w| assert!(w.pli(A, B))));
    assert_eq!(compound(&padded).map(|p| p.unwrap_err()).collect::<Vec<_>>(), [WireError::Padding]);
}

/// As Chromium 156 writes it: the last word is filled with padding that is announced, and another packet may follow.
#[test]
fn transport_feedback_may_be_padded_by_less_than_a_word_and_anywhere() {
    for (deltas, padding) in [(1u8, 1u8), (4, 2), (3, 3)] {
        let mut body = vec![0, 9, 0, deltas, 0, 0, 1, 7, 0x20, deltas];
        body.extend((0..deltas).map(|delta| delta + 4));
        body.resize(body.len() + usize::from(padding - 1), 0);
        body.push(padding);
        let mut bytes = vec![0xaf, 205, 0, 2 + (body.len() / 4) as u8, 0, 0, 0, 1, 0, 0, 0, 2];
        bytes.extend(&body);
        bytes.extend(written(|w| assert!(w.pli(A, B))));
        let packets: Vec<_> = compound(&bytes).collect();
        let [Ok(RtcpPacket::TransportCc(feedback)), Ok(RtcpPacket::Pli(_))] = packets[..] else {
            panic!("{packets:?}")
        };
        assert_eq!(feedback.body.len(), 10 + usize::from(deltas));
    }
}

#[test]
fn a_broken_body_is_skipped_and_broken_framing_ends_the_datagram() {
    // A receiver report that claims a block that is not there, then a PLI.
    let mut bytes = vec![0x81, 201, 0, 1, 0, 0, 0, 1];
    bytes.extend(written(|w| assert!(w.pli(A, B))));
    let results: Vec<_> = compound(&bytes).collect();
    assert!(matches!(results[..], [Err(WireError::Truncated), Ok(RtcpPacket::Pli(_))]));
    bytes[3] = 200;
    assert_eq!(compound(&bytes).map(|p| p.unwrap_err()).collect::<Vec<_>>(), [WireError::Truncated]);
    assert_eq!(compound(&[0x40, 201, 0, 0]).next().unwrap().unwrap_err(), WireError::Version);
    assert_eq!(compound(&[0x80, 201, 0]).next().unwrap().unwrap_err(), WireError::Truncated);
    assert!(compound(&[]).next().is_none());
}

#[test]
fn the_number_of_packets_in_a_datagram_is_bounded() {
    let bytes = [0x80, 203, 0, 0].repeat(COMPOUND_PACKETS_MAX + 5);
    let results: Vec<_> = compound(&bytes).collect();
    assert_eq!(results.len(), COMPOUND_PACKETS_MAX + 1);
    assert!(matches!(results.last(), Some(Err(WireError::TooMany))));
}

#[test]
fn other_packets_are_named() {
    assert!(matches!(only(&[0x80, 207, 0, 1, 0, 0, 0, 1]), RtcpPacket::Xr));
    assert!(matches!(only(&[0x80, 204, 0, 1, 0, 0, 0, 1]), RtcpPacket::App));
    assert!(matches!(only(&[0x83, 192, 0, 0]), RtcpPacket::Unknown { packet_type: 192, fmt: 3 }));
    assert!(matches!(only(&[0x8b, 205, 0, 0]), RtcpPacket::Unknown { packet_type: 205, fmt: 11 }));
}

/// Reads everything that a view gives access to.
fn exhaust(packet: &RtcpPacket<'_>) -> usize {
    match packet {
        RtcpPacket::SenderReport(report) => report.reports.iter().count(),
        RtcpPacket::ReceiverReport(report) => report.reports.iter().count(),
        RtcpPacket::Sdes(sdes) => sdes.cnames().count() + usize::from(sdes.cname(A).is_some()),
        RtcpPacket::Bye { ssrcs } => ssrcs.iter().count(),
        RtcpPacket::Nack(nack) => nack.lost().count(),
        RtcpPacket::Fir(fir) => fir.entries().count(),
        RtcpPacket::TransportCc(feedback) => feedback.body.len(),
        RtcpPacket::Remb(remb) => remb.ssrcs.iter().count(),
        RtcpPacket::Pli(_) | RtcpPacket::Xr | RtcpPacket::App | RtcpPacket::Unknown { .. } => 0,
    }
}

proptest! {
    #[test]
    fn lost_packets_come_back_as_a_set(start: u16, gaps in prop::collection::vec(1..40u16, 1..150)) {
        let mut seq = start;
        let lost: Vec<SeqNo> = gaps.iter().map(|gap| { seq = seq.wrapping_add(*gap); SeqNo::new(seq) }).collect();
        let bytes = written(|w| assert_eq!(w.nack(A, B, &lost), lost.len()));
        let RtcpPacket::Nack(nack) = only(&bytes) else { panic!() };
        prop_assert_eq!(nack.lost().collect::<Vec<_>>(), lost);
    }

    #[test]
    fn no_bytes_make_the_views_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), plausible: bool) {
        if plausible {
            // A chain of well-framed packets with random bodies.
            let mut at = 0;
            while at + 4 <= bytes.len() {
                let words = usize::from(bytes[at + 3]) % 12;
                bytes[at] = 0x80 | bytes[at] & 0x1f;
                bytes[at + 1] = 200 + bytes[at + 1] % 8;
                bytes[at + 2] = 0;
                bytes[at + 3] = words as u8;
                at += 4 + words * 4;
            }
        }
        let read: usize = compound(&bytes).filter_map(Result::ok).map(|packet| exhaust(&packet)).sum();
        prop_assert!(read <= bytes.len() * 17);
    }
}
