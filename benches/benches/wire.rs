//! RTP headers: reading one with its extensions, and composing one for a subscriber, beside a copy of the same bytes.

use consilium_media_core::ids::{PayloadType, RtpTime, SeqNo, Ssrc};
use consilium_media_core::wire::rtp::{HeaderFields, RtpPacket, header_size, write_header};
use race::Race;
use std::hint::black_box;
use std::time::Instant;

mod race;

const PAYLOAD_LEN: usize = 1_160;
const PACKETS: usize = 64;

fn fields(number: usize) -> HeaderFields {
    HeaderFields {
        marker: number.is_multiple_of(6),
        payload_type: PayloadType::new(96).expect("it is one"),
        seq: SeqNo::new(number as u16),
        timestamp: RtpTime::new(number as u32 * 3_000),
        ssrc: Ssrc::new(7),
    }
}

/// MID, transport-wide number and absolute send time, as browsers send with video.
fn compose(number: usize, out: &mut [u8]) -> usize {
    let transport = (number as u16).to_be_bytes();
    write_header(out, &fields(number), &[(4, b"1"), (3, &transport), (2, &[1, 2, 3])])
}

fn packets() -> Vec<Vec<u8>> {
    let header_len = header_size(&[(4, b"1"), (3, &[0; 2]), (2, &[0; 3])]);
    let packet = |number| {
        let mut packet = vec![5; header_len + PAYLOAD_LEN];
        compose(number, &mut packet);
        packet
    };
    (0..PACKETS).map(packet).collect()
}

fn parse() -> race::Timed {
    let packets = packets();
    Box::new(move |times| {
        let start = Instant::now();
        for _ in 0..times {
            for packet in &packets {
                let packet = RtpPacket::parse(black_box(packet)).expect("it was composed above");
                black_box((packet.fields(), packet.extensions().last(), packet.payload().len()));
            }
        }
        start.elapsed()
    })
}

fn write() -> race::Timed {
    let mut packets = packets();
    Box::new(move |times| {
        let start = Instant::now();
        for _ in 0..times {
            for (number, packet) in packets.iter_mut().enumerate() {
                black_box(compose(black_box(number), packet));
            }
        }
        start.elapsed()
    })
}

fn copy() -> race::Timed {
    let from = packets();
    let header_len = from[0].len() - PAYLOAD_LEN;
    let mut to = from.clone();
    Box::new(move |times| {
        let start = Instant::now();
        for _ in 0..times {
            for (from, to) in from.iter().zip(&mut to) {
                to[..header_len].copy_from_slice(black_box(&from[..header_len]));
                black_box(&mut *to);
            }
        }
        start.elapsed()
    })
}

fn main() {
    let race = |name: &str, subject| Race { name: name.to_owned(), units: PACKETS as u64, subject, floor: copy() };
    race::run("packet", vec![race("parse header and extensions", parse()), race("compose header", write())]);
}
