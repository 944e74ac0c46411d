//! The roll-over estimate (RFC 3711 section 3.3.1).

use super::super::{SrtpError, SrtpOutbound, SrtpProfile};
use super::{HEADER_LEN, master, pair, sealed_rtp};
use crate::ids::{ExtSeqNo, Ssrc};

/// Sends `indices` and returns what the receiver made of each.
fn received(indices: &[u64]) -> Vec<Result<u64, SrtpError>> {
    let (outbound, mut inbound) = pair(SrtpProfile::AeadAes128Gcm);
    let open = |&index: &u64| {
        let mut packet = sealed_rtp(&outbound, 9, index, b"payload");
        inbound.open_rtp(&mut packet, HEADER_LEN).map(|opened| opened.ext_seq.get())
    };
    indices.iter().map(open).collect()
}

fn all_arrive(indices: &[u64]) {
    assert_eq!(received(indices), indices.iter().map(|&index| Ok(index)).collect::<Vec<_>>());
}

#[test]
fn the_counter_survives_the_loss_of_all_packets_around_the_wrap() {
    all_arrive(&[65_000, 65_536 + 700, 65_536 + 30_000, 65_536 + 60_000, 2 * 65_536 + 20_000]);
    all_arrive(&[40_000, 40_000 + 32_767, 40_000 + 2 * 32_767]);
}

#[test]
fn packets_from_before_the_wrap_are_taken_after_it() {
    all_arrive(&[65_530, 65_536 + 2, 65_535, 65_536, 65_531, 65_536 + 1, 65_534]);
}

#[test]
fn a_stream_may_start_anywhere_before_the_first_wrap() {
    for first in [0, 1, 32_767, 32_768, 65_534, 65_535] {
        all_arrive(&[first, first + 1, first + 2, first + 1_000, first + 999, first + 30_000]);
    }
    // What was sent before the first packet that arrived is taken too.
    all_arrive(&[50, 49, 10, 0]);
}

#[test]
fn a_receiver_that_joined_after_a_wrap_cannot_guess_and_keeps_nothing() {
    assert_eq!(received(&[65_536 + 5, 65_536 + 6]), [Err(SrtpError::Authentication); 2]);
}

#[test]
fn the_last_index_of_a_key_can_be_sealed_and_none_after_it() {
    for profile in SrtpProfile::ALL {
        let outbound = SrtpOutbound::new(profile, &master(profile, 1)).unwrap();
        sealed_rtp(&outbound, 9, (1 << 48) - 1, b"payload");
        let mut packet = sealed_rtp(&outbound, 9, 0, b"payload");
        let beyond = ExtSeqNo::new(1 << 48);
        let sealed = outbound.seal_rtp_in_place(Ssrc::new(9), beyond, &mut packet, HEADER_LEN);
        assert_eq!(sealed, Err(SrtpError::KeyExhausted));
    }
}
