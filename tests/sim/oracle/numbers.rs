//! The numbers under which packets leave the server, read from the datagrams themselves: their headers are in the clear.

use consilium_media_core::ids::{ExtSeqNo, SeqNo, Ssrc};
use consilium_media_core::params::MediaKind;
use consilium_media_core::wire::rtp::RTP_HEADER_LEN;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Timestamps follow the clock. A publisher's frames may come late and in a heap, but not by more than what its path can hold
/// back: 62,500 bytes at 150 kbit/s, and its delay.
const CLOCK_DEVIATION_MAX_S: f64 = 3.5;

#[derive(Default)]
pub(crate) struct Numbers {
    streams: HashMap<Ssrc, Stream>,
    pub(crate) violations: Vec<(Duration, String)>,
}

#[derive(Default)]
struct Stream {
    /// In ticks per second; 0 for a stream of retransmissions, whose times are those of the originals.
    clock_rate: u32,
    highest: Option<u64>,
    /// By extended number: what was sent as it, and its timestamp.
    sent: BTreeMap<u64, (u64, u32)>,
    first: Option<(Duration, u32)>,
}

impl Numbers {
    pub(crate) fn announce(&mut self, ssrc: Ssrc, kind: MediaKind) {
        let clock_rate = match kind {
            MediaKind::Audio => 48_000,
            MediaKind::Video => 90_000,
        };
        self.streams.insert(ssrc, Stream { clock_rate, ..Stream::default() });
    }

    /// A datagram left the server, sealed.
    pub(crate) fn sent(&mut self, at: Duration, datagram: &[u8]) {
        let is_rtp = matches!(datagram, [128..=191, second, ..] if !(192..=223).contains(second));
        if !is_rtp || datagram.len() < RTP_HEADER_LEN {
            return;
        }
        let word = |at: usize| u32::from_be_bytes([datagram[at], datagram[at + 1], datagram[at + 2], datagram[at + 3]]);
        let (seq, time, ssrc) = (word(0) as u16, word(4), Ssrc::new(word(8)));
        let stream = self.streams.entry(ssrc).or_default();
        if let Err(what) = stream.sent(at, seq, time, datagram) {
            self.violations.push((at, format!("{ssrc:?} number {seq}: {what}")));
        }
    }
}

impl Stream {
    fn sent(&mut self, at: Duration, seq: u16, time: u32, datagram: &[u8]) -> Result<(), String> {
        // A cycle up, so that there are numbers below the first.
        let highest = *self.highest.get_or_insert(1 << 16 | u64::from(seq));
        let number = ExtSeqNo::new(highest).nearest(SeqNo::new(seq)).get();
        self.highest = Some(highest.max(number));
        let mut hasher = DefaultHasher::new();
        datagram.hash(&mut hasher);
        let content = hasher.finish();
        if let Some((before, _)) = self.sent.insert(number, (content, time)) {
            // The cipher is a function of key, number and plaintext: another datagram is another plaintext.
            return if before == content { Ok(()) } else { Err("it was given to two packets".to_owned()) };
        }
        if self.clock_rate == 0 {
            return Ok(());
        }
        let since = |later: u32, earlier: u32| later.wrapping_sub(earlier) as i32;
        let before = self.sent.range(..number).next_back().map(|(_, sent)| since(time, sent.1));
        let after = self.sent.range(number + 1..).next().map(|(_, sent)| since(sent.1, time));
        if let Some(back) = [before, after].into_iter().flatten().find(|ticks| *ticks < 0) {
            return Err(format!("its time goes back by {} ticks", -back));
        }
        let (began, first) = *self.first.get_or_insert((at, time));
        let by_time = f64::from(since(time, first)) / f64::from(self.clock_rate);
        let deviation = by_time - (at - began).as_secs_f64();
        if deviation.abs() > CLOCK_DEVIATION_MAX_S {
            return Err(format!("its time is {deviation:.3} s off the clock"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SSRC: Ssrc = Ssrc::new(0x8000_0001);

    fn packet(seq: u16, time: u32, content: u8) -> Vec<u8> {
        let mut packet = vec![0x80, 96];
        packet.extend(seq.to_be_bytes());
        packet.extend(time.to_be_bytes());
        packet.extend(SSRC.get().to_be_bytes());
        packet.push(content);
        packet
    }

    fn violations(packets: &[Vec<u8>]) -> usize {
        let mut numbers = Numbers::default();
        numbers.announce(SSRC, MediaKind::Video);
        packets.iter().for_each(|packet| numbers.sent(Duration::from_secs(1), packet));
        numbers.violations.len()
    }

    #[test]
    fn a_stream_in_order_passes_across_the_wrap_and_with_what_is_late_or_sent_again() {
        let times = [(65_534, 100), (65_535, 100), (1, 300), (0, 200), (2, 300)];
        let mut packets: Vec<_> = times.iter().map(|&(seq, time)| packet(seq, time, 1)).collect();
        packets.push(packet(65_535, 100, 1));
        assert_eq!(violations(&packets), 0);
    }

    #[test]
    fn a_number_given_twice_is_found() {
        assert_eq!(violations(&[packet(65_535, 5, 1), packet(0, 5, 1), packet(65_535, 5, 2)]), 1);
    }

    #[test]
    fn a_time_that_goes_back_is_found() {
        assert_eq!(violations(&[packet(10, 3_000, 1), packet(11, 2_999, 1)]), 1);
        assert_eq!(violations(&[packet(10, 3_000, 1), packet(12, 9_000, 1), packet(11, 9_001, 1)]), 1, "late");
        assert_eq!(violations(&[packet(10, u32::MAX, 1), packet(11, 5, 1)]), 0, "a wrap is no step back");
    }

    #[test]
    fn a_time_far_off_the_clock_is_found() {
        assert_eq!(violations(&[packet(10, 0, 1), packet(11, 90_000 * 4, 1)]), 1);
    }
}
