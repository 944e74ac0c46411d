//! One incoming RTP stream: an encoding of a track, from its SSRC on.

use crate::codec::av1::TemplateLayers;
use crate::ids::{ExtSeqNo, Rid, RtpTime, SeqNo, Ssrc};
use crate::ingress::cache::{CacheLimits, PacketCache};
use crate::ingress::clock::SenderReportMark;
use crate::ingress::keyframes::KeyframeRequests;
use crate::ingress::loss::{Gap, LossTracker, RepairLimits, Source};
use crate::ingress::rate::LayerRates;
use crate::ingress::reception::Reception;
use crate::params::{Content, Encoding, MediaKind};
use crate::transport::srtp::{ReplayWindow, SrtpError};
use std::time::{Duration, Instant};

/// An encoding that has sent nothing for so long counts as stopped by its publisher. Screen shares may send one frame per
/// second and less.
pub const INACTIVE_AFTER: Duration = Duration::from_secs(2);

/// Words of the window of numbers that were taken: it reaches further back than any cache.
const TAKEN_WORDS: usize = 32;

/// What became of a packet on arrival.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// New. `is_newest` when no higher one came before.
    New {
        ext_seq: ExtSeqNo,
        is_newest: bool,
        gap: Gap,
    },
    Duplicate,
    /// Older than the cache reaches back.
    TooLate,
}

pub struct Stream {
    pub rid: Option<Rid>,
    pub layer: u8,
    pub ssrc: Option<Ssrc>,
    pub rtx_ssrc: Option<Ssrc>,
    pub cache: PacketCache,
    pub loss: LossTracker,
    pub reception: Reception,
    pub rates: LayerRates,
    /// Which layer each frame of an AV1 stream belongs to, since its last keyframe.
    pub templates: Option<Box<TemplateLayers>>,
    pub sender_report: Option<SenderReportMark>,
    highest: Option<ExtSeqNo>,
    /// Each number is taken once, whether the cache still has it or not: SRTP must not encrypt two packets under one index,
    /// and a publisher may send anything under a number again as a retransmission.
    taken: Option<ReplayWindow<TAKEN_WORDS>>,
    last_packet: Option<Instant>,
    pub keyframes: KeyframeRequests,
    limits: CacheLimits,
}

impl Stream {
    pub fn new(kind: MediaKind, content: Content, encoding: &Encoding) -> Self {
        let limits = match (kind, content) {
            (MediaKind::Audio, _) => CacheLimits::AUDIO,
            (MediaKind::Video, Content::Motion) => CacheLimits::VIDEO,
            (MediaKind::Video, Content::Detail) => CacheLimits::SCREEN,
        };
        Self {
            rid: encoding.rid,
            layer: encoding.layer,
            ssrc: encoding.ssrc,
            rtx_ssrc: encoding.rtx_ssrc,
            cache: PacketCache::new(limits),
            loss: LossTracker::new(RepairLimits::of(kind)),
            reception: Reception::default(),
            rates: LayerRates::default(),
            templates: None,
            sender_report: None,
            highest: None,
            taken: None,
            last_packet: None,
            keyframes: KeyframeRequests::default(),
            limits,
        }
    }

    /// Begins anew under another SSRC: sequence numbers and timestamps have nothing to do with those before.
    pub fn restart(&mut self, ssrc: Ssrc) {
        self.ssrc = Some(ssrc);
        self.rtx_ssrc = None;
        self.cache.clear();
        self.loss.reset();
        self.reception.reset();
        self.templates = None;
        self.sender_report = None;
        self.highest = None;
        self.taken = None;
    }

    /// Takes note of a packet of the stream itself (not a retransmission).
    pub fn arrived(&mut self, now: Instant, ext_seq: ExtSeqNo, timestamp: RtpTime, clock_rate: u32) -> Arrival {
        self.reception.received(now, ext_seq, timestamp, clock_rate);
        self.note(now, ext_seq, Source::Stream)
    }

    /// Takes note of a packet that came otherwise: `seq` is its original number.
    pub fn recovered(&mut self, now: Instant, seq: SeqNo, source: Source) -> Arrival {
        match self.highest {
            Some(highest) => self.note(now, highest.nearest(seq), source),
            None => Arrival::TooLate,
        }
    }

    fn note(&mut self, now: Instant, ext_seq: ExtSeqNo, source: Source) -> Arrival {
        self.last_packet = Some(now);
        let highest = self.highest.unwrap_or(ext_seq);
        if highest.get().saturating_sub(ext_seq.get()) >= self.limits.packets_max as u64 {
            return Arrival::TooLate;
        }
        let taken = self.taken.get_or_insert_with(|| ReplayWindow::starting_at(ext_seq.get()));
        if self.highest.is_some() {
            match taken.check(ext_seq.get()) {
                Ok(()) => taken.accept(ext_seq.get()),
                Err(SrtpError::Replay) => return Arrival::Duplicate,
                Err(_) => return Arrival::TooLate,
            }
        }
        let is_newest = self.highest.is_none() || ext_seq > highest;
        self.highest = Some(highest.max(ext_seq));
        let gap = self.loss.received(now, ext_seq, source);
        Arrival::New { ext_seq, is_newest, gap }
    }

    pub fn last_packet(&self) -> Option<Instant> {
        self.last_packet
    }

    pub fn has_started(&self) -> bool {
        self.last_packet.is_some()
    }

    pub fn is_active(&self, now: Instant) -> bool {
        self.last_packet.is_some_and(|at| now.saturating_duration_since(at) < INACTIVE_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time::start;

    fn stream() -> Stream {
        Stream::new(MediaKind::Video, Content::Motion, &Encoding { rid: None, ssrc: None, rtx_ssrc: None, layer: 0 })
    }

    #[test]
    fn a_retransmission_of_what_arrived_is_a_duplicate() {
        let (mut stream, t0) = (stream(), start());
        for seq in [10, 12] {
            let ext_seq = ExtSeqNo::new(seq);
            assert!(matches!(stream.arrived(t0, ext_seq, RtpTime::new(0), 90_000), Arrival::New { .. }));
            stream.cache.insert(t0, ext_seq, &[1, 2, 3]);
        }
        let recovered = stream.recovered(t0, SeqNo::new(11), Source::Retransmission);
        assert_eq!(recovered, Arrival::New { ext_seq: ExtSeqNo::new(11), is_newest: false, gap: Gap::None });
        assert_eq!(stream.recovered(t0, SeqNo::new(12), Source::Retransmission), Arrival::Duplicate);
        assert_eq!(stream.loss.missing_len(), 0);
    }

    #[test]
    fn a_number_is_taken_once_even_when_the_cache_has_lost_it_or_never_had_it() {
        let (mut stream, t0) = (stream(), start());
        // Neither is kept: the first as if overwritten, the second carries padding alone.
        for seq in [10, 11] {
            let arrival = stream.arrived(t0, ExtSeqNo::new(seq), RtpTime::new(0), 90_000);
            assert!(matches!(arrival, Arrival::New { .. }));
        }
        assert_eq!(stream.recovered(t0, SeqNo::new(10), Source::Retransmission), Arrival::Duplicate);
        assert_eq!(stream.recovered(t0, SeqNo::new(11), Source::Retransmission), Arrival::Duplicate);
    }

    #[test]
    fn an_encoding_is_inactive_before_its_first_packet_and_after_a_silence() {
        let (mut stream, t0) = (stream(), start());
        assert!(!stream.is_active(t0));
        stream.arrived(t0, ExtSeqNo::new(1), RtpTime::new(0), 90_000);
        assert!(stream.is_active(t0));
        assert!(!stream.is_active(t0 + INACTIVE_AFTER));
    }
}
