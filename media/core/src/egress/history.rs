//! What was sent under which number, so that a NACK can be answered from the ingress cache.

use crate::egress::rewrite::Shift;
use crate::ids::{ExtSeqNo, SeqNo};
use crate::params::MediaKind;
use std::time::{Duration, Instant};

/// Packets remembered: a second of 1080p video, two and a half of audio. Powers of two.
const VIDEO_LEN: usize = 1_024;
const AUDIO_LEN: usize = 128;
/// A packet is not sent again within this time: the request was probably on its way when the last one left.
const RESEND_INTERVAL_MIN: Duration = Duration::from_millis(20);
/// Times that one packet is sent again.
const RESENDS_MAX: u8 = 10;

#[derive(Clone, Copy)]
struct Entry {
    out: u64,
    shift: Shift,
    stream: u8,
    resends: u8,
    /// Milliseconds since the epoch of the history; wraps after 49 days, which costs at most one resend.
    resent_ms: u32,
}

/// A packet that may be sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    pub out: ExtSeqNo,
    /// Its number in the ingress stream.
    pub ext_seq: ExtSeqNo,
    pub shift: Shift,
    pub stream: usize,
}

pub struct History {
    epoch: Instant,
    entries: Box<[Entry]>,
    highest: Option<ExtSeqNo>,
}

impl History {
    pub fn new(kind: MediaKind, epoch: Instant) -> Self {
        let len = match kind {
            MediaKind::Audio => AUDIO_LEN,
            MediaKind::Video => VIDEO_LEN,
        };
        let empty = Entry { out: u64::MAX, shift: Shift::default(), stream: 0, resends: 0, resent_ms: 0 };
        Self { epoch, entries: vec![empty; len].into_boxed_slice(), highest: None }
    }

    pub fn record(&mut self, sent: &Sent) {
        let index = self.index(sent.out);
        self.highest = self.highest.max(Some(sent.out));
        self.entries[index] =
            Entry { out: sent.out.get(), shift: sent.shift, stream: sent.stream as u8, resends: 0, resent_ms: 0 };
    }

    /// The packet that went out as `seq`, if it may be sent again now; that is then noted.
    pub fn resend(&mut self, now: Instant, seq: SeqNo) -> Option<Sent> {
        let out = self.highest?.nearest(seq);
        let now_ms = now.saturating_duration_since(self.epoch).as_millis() as u32;
        let index = self.index(out);
        let entry = &mut self.entries[index];
        let too_soon =
            entry.resends > 0 && now_ms.wrapping_sub(entry.resent_ms) < RESEND_INTERVAL_MIN.as_millis() as u32;
        if entry.out != out.get() || entry.resends >= RESENDS_MAX || too_soon {
            return None;
        }
        entry.resends += 1;
        entry.resent_ms = now_ms;
        let ext_seq = ExtSeqNo::new(entry.out.wrapping_sub(entry.shift.seq));
        Some(Sent { out, ext_seq, shift: entry.shift, stream: usize::from(entry.stream) })
    }

    fn index(&self, out: ExtSeqNo) -> usize {
        out.get() as usize & (self.entries.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time::start;

    fn sent(out: u64) -> Sent {
        let shift = Shift { seq: 7_u64.wrapping_neg(), ..Shift::default() };
        Sent { out: ExtSeqNo::new(out), ext_seq: ExtSeqNo::new(out + 7), shift, stream: 2 }
    }

    #[test]
    fn a_number_finds_the_packet_that_it_stood_for_across_the_wrap() {
        let (t0, mut history) = (start(), History::new(MediaKind::Audio, start()));
        (65_500..65_600).for_each(|out| history.record(&sent(out)));
        assert_eq!(history.resend(t0, SeqNo::new(65_520)), Some(sent(65_520)));
        assert_eq!(history.resend(t0, SeqNo::new(10)), Some(sent(65_546)));
        assert_eq!(history.resend(t0, SeqNo::new(100)), None);
    }

    #[test]
    fn what_is_overwritten_is_forgotten() {
        let (t0, mut history) = (start(), History::new(MediaKind::Audio, start()));
        (0..AUDIO_LEN as u64 + 1).for_each(|out| history.record(&sent(out)));
        assert_eq!(history.resend(t0, SeqNo::new(0)), None);
        assert!(history.resend(t0, SeqNo::new(1)).is_some());
    }

    #[test]
    fn one_packet_is_not_sent_again_at_once_nor_for_ever() {
        let (mut now, mut history) = (start(), History::new(MediaKind::Video, start()));
        history.record(&sent(5));
        assert!(history.resend(now, SeqNo::new(5)).is_some());
        assert!(history.resend(now, SeqNo::new(5)).is_none());
        let mut resends = 1;
        for _ in 0..100 {
            now += RESEND_INTERVAL_MIN;
            resends += u8::from(history.resend(now, SeqNo::new(5)).is_some());
        }
        assert_eq!(resends, RESENDS_MAX);
    }
}
