//! What a model client receives and says about it: receiver reports, NACKs, requests for keyframes, transport-wide feedback.

use super::decoder::{Decoder, Got};
use super::publish::{OPUS, RED, VP8, VP8_RTX};
use crate::media::{self, Mark};
use consilium_media_core::codec::red;
use consilium_media_core::ids::{ExtSeqNo, SeqNo, Ssrc};
use consilium_media_core::params::MediaKind;
use consilium_media_core::wire::ext::TransportCc;
use consilium_media_core::wire::rtcp::{ReportBlock, RtcpPacket, RtcpWriter, compound};
use consilium_media_core::wire::rtp::RtpPacket;
use consilium_media_core::wire::transport_cc::TransportCcRecorder;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Between two looks at what is missing.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Between two requests for one packet, or a round trip if that is longer; a browser takes its round trip.
const NACK_INTERVAL_MIN: Duration = Duration::from_millis(80);
const NACKS_MAX: u8 = 10;
/// A longer gap is left to a keyframe.
const GAP_MAX: u64 = 300;
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(50);
/// Of who reports.
const OWN_SSRC: Ssrc = Ssrc::new(1);

/// One subscription as the description announced it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Announced {
    pub(crate) kind: MediaKind,
    pub(crate) publisher: usize,
    pub(crate) ssrc: Ssrc,
    pub(crate) rtx: Option<Ssrc>,
}

struct Missing {
    due: Instant,
    requests: u8,
}

/// One subscribed track.
pub(crate) struct InStream {
    pub(crate) announced: Announced,
    pub(crate) since: Instant,
    pub(crate) until: Option<Instant>,
    highest: Option<u64>,
    first: u64,
    received: u64,
    /// What was due and what had come when it was last reported.
    reported: (u64, u64),
    seen: BTreeSet<u64>,
    missing: BTreeMap<u64, Missing>,
    pub(crate) decoder: Decoder,
    /// Packets of audio: when, and which.
    pub(crate) heard: Vec<(Instant, u32)>,
    sender_report: Option<(u32, Instant)>,
    /// The least delay of playout that the sender asks for, and from when on.
    pub(crate) playout: Vec<(Instant, Duration)>,
}

/// What was received: for comparison with another run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Arrived {
    pub(crate) at: Instant,
    pub(crate) repaired: bool,
    pub(crate) mark: Mark,
    /// Of the packet, header included.
    pub(crate) len: usize,
}

#[derive(Default)]
pub(crate) struct Receiver {
    patience: Duration,
    pub(crate) streams: Vec<InStream>,
    transport: Option<TransportCcRecorder>,
    feedback_due: Option<Instant>,
    report_due: Option<Instant>,
    began: Option<Instant>,
    pub(crate) arrived: Vec<Arrived>,
    pub(crate) broken: Vec<String>,
}

impl Receiver {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, ..Self::default() }
    }

    pub(crate) fn announce(&mut self, now: Instant, announced: Announced) {
        self.began.get_or_insert(now);
        self.streams.push(InStream {
            announced,
            since: now,
            until: None,
            highest: None,
            first: 0,
            received: 0,
            reported: (0, 0),
            seen: BTreeSet::new(),
            missing: BTreeMap::new(),
            decoder: Decoder::new(self.patience),
            heard: Vec::new(),
            sender_report: None,
            playout: Vec::new(),
        });
    }

    /// The tracks of `publisher` are gone.
    pub(crate) fn withdraw(&mut self, now: Instant, publisher: usize) {
        for stream in self.streams.iter_mut().filter(|stream| stream.announced.publisher == publisher) {
            stream.until.get_or_insert(now);
        }
    }

    pub(crate) fn handle_rtp(&mut self, now: Instant, packet: &[u8]) {
        let rtp = RtpPacket::parse(packet).unwrap();
        self.note_transport(now, &rtp);
        let ssrc = rtp.ssrc();
        let found = self.streams.iter_mut().find(|s| s.announced.ssrc == ssrc || s.announced.rtx == Some(ssrc));
        let Some(stream) = found else {
            self.broken.push(format!("a packet of {ssrc:?}, which was not announced"));
            return;
        };
        let repaired = stream.announced.rtx == Some(ssrc);
        let wanted = match (stream.announced.kind, repaired) {
            (MediaKind::Audio, _) if rtp.payload_type().get() == RED => RED,
            (MediaKind::Audio, _) => OPUS,
            (MediaKind::Video, false) => VP8,
            (MediaKind::Video, true) => VP8_RTX,
        };
        if rtp.payload_type().get() != wanted {
            self.broken.push(format!("payload type {} of {ssrc:?}", rtp.payload_type().get()));
            return;
        }
        let (seq, payload) = match (repaired, rtp.payload()) {
            (false, payload) => (rtp.seq(), payload),
            (true, [high, low, payload @ ..]) => (SeqNo::new(u16::from_be_bytes([*high, *low])), payload),
            // A probe.
            (true, _) => return,
        };
        if let Some(value) = rtp.extension(5) {
            stream.note_playout(now, value);
        }
        if let Some(mark) = stream.receive(now, seq, repaired, payload, &rtp) {
            self.arrived.push(Arrived { at: now, repaired, mark, len: packet.len() });
        }
    }

    fn note_transport(&mut self, now: Instant, rtp: &RtpPacket<'_>) {
        let Some(TransportCc(seq)) = rtp.extension(3).and_then(TransportCc::parse) else { return };
        let since = now.saturating_duration_since(self.began.unwrap_or(now));
        self.transport.get_or_insert_default().record(since, seq);
        self.feedback_due.get_or_insert(now + FEEDBACK_INTERVAL);
    }

    pub(crate) fn handle_rtcp(&mut self, now: Instant, packet: &[u8]) {
        for report in compound(packet) {
            let Ok(RtcpPacket::SenderReport(report)) = report else { continue };
            let stream = self.streams.iter_mut().find(|stream| stream.announced.ssrc == report.ssrc);
            if let Some(stream) = stream {
                stream.sender_report = Some((report.ntp.middle32(), now));
            }
        }
    }

    /// Appends what is to be said now, one compound each.
    pub(crate) fn run(&mut self, now: Instant, rtt: Option<Duration>, out: &mut Vec<Vec<u8>>) {
        let mut say = |compose: &mut dyn FnMut(&mut RtcpWriter<'_>)| {
            let mut packet = Vec::new();
            compose(&mut RtcpWriter::new(&mut packet));
            if !packet.is_empty() {
                out.push(packet);
            }
        };
        for stream in self.streams.iter_mut().filter(|stream| stream.until.is_none()) {
            let media = stream.announced.ssrc;
            let lost = stream.poll_nacks(now, rtt);
            if !lost.is_empty() {
                say(&mut |rtcp| {
                    rtcp.nack(OWN_SSRC, media, &lost);
                });
            }
            if stream.announced.kind == MediaKind::Video && stream.decoder.poll_keyframe_request(now) {
                say(&mut |rtcp| {
                    rtcp.pli(OWN_SSRC, media);
                });
            }
        }
        if let (Some(recorder), true) = (&mut self.transport, self.feedback_due.is_some_and(|due| due <= now)) {
            self.feedback_due = None;
            while recorder.has_pending() {
                say(&mut |rtcp| {
                    rtcp.transport_cc(recorder, OWN_SSRC, Ssrc::new(0));
                });
            }
        }
        if self.report_due.is_none_or(|due| due <= now) {
            self.report_due = Some(now + REPORT_INTERVAL);
            let blocks: Vec<ReportBlock> = self.streams.iter_mut().filter_map(|stream| stream.report(now)).collect();
            say(&mut |rtcp| {
                rtcp.receiver_report(OWN_SSRC, &blocks);
            });
        }
    }
}

impl InStream {
    fn receive(
        &mut self,
        now: Instant,
        seq: SeqNo,
        repaired: bool,
        payload: &[u8],
        rtp: &RtpPacket<'_>,
    ) -> Option<Mark> {
        let Some(highest) = self.highest else {
            if repaired {
                return None;
            }
            // One cycle up, so that what was sent before may still come.
            let first = 1 << 16 | u64::from(seq.get());
            (self.highest, self.first) = (Some(first), first);
            return self.take(now, first, payload, rtp);
        };
        let number = ExtSeqNo::new(highest).nearest(seq).get();
        if number > highest {
            self.note_gap(now, highest, number);
            self.highest = Some(number);
        }
        self.take(now, number, payload, rtp)
    }

    /// Two numbers of 12 bits, in 10 ms: the least and the most.
    fn note_playout(&mut self, now: Instant, value: &[u8]) {
        let &[high, middle, _] = value else { return };
        let least = Duration::from_millis(10) * (u32::from(high) << 4 | u32::from(middle) >> 4);
        if self.playout.last().map_or(Duration::ZERO, |(_, before)| *before) != least {
            self.playout.push((now, least));
        }
    }

    fn note_gap(&mut self, now: Instant, highest: u64, number: u64) {
        if number - highest > GAP_MAX {
            self.missing.clear();
            return;
        }
        if self.announced.rtx.is_some() {
            let due = now + TICK;
            self.missing.extend((highest + 1..number).map(|seq| (seq, Missing { due, requests: 0 })));
        }
    }

    fn take(&mut self, now: Instant, number: u64, payload: &[u8], rtp: &RtpPacket<'_>) -> Option<Mark> {
        self.missing.remove(&number);
        if !self.seen.insert(number) {
            return None;
        }
        self.received += 1;
        match self.announced.kind {
            MediaKind::Audio => {
                let is_redundant = rtp.payload_type().get() == RED;
                let payload = if is_redundant { red::primary(payload).unwrap().0 } else { payload };
                let mark = media::read_audio(payload)?;
                self.heard.push((now, mark.frame));
                Some(mark)
            }
            MediaKind::Video => {
                let part = media::read_video(payload);
                let got = Got { time: rtp.timestamp().get(), marker: rtp.marker(), part };
                self.decoder.receive(now, number, got);
                Some(part?.mark)
            }
        }
    }

    fn poll_nacks(&mut self, now: Instant, rtt: Option<Duration>) -> Vec<SeqNo> {
        let interval = rtt.unwrap_or_default().max(NACK_INTERVAL_MIN);
        let mut lost = Vec::new();
        self.missing.retain(|&seq, missing| {
            if missing.due <= now {
                missing.due = now + interval;
                missing.requests += 1;
                lost.push(SeqNo::new(seq as u16));
            }
            missing.requests < NACKS_MAX
        });
        lost
    }

    fn report(&mut self, now: Instant) -> Option<ReportBlock> {
        let highest = self.highest?;
        let due = highest - self.first + 1;
        let before = std::mem::replace(&mut self.reported, (due, self.received));
        let lost_since = (due - before.0).saturating_sub(self.received - before.1);
        let fraction_lost = (lost_since * 256).checked_div(due - before.0).unwrap_or(0).min(255) as u8;
        let lost = due.saturating_sub(self.received);
        let (lsr, dlsr) = self.sender_report.map_or((0, 0), |(lsr, at)| {
            (lsr, (now.saturating_duration_since(at).as_micros() * 65_536 / 1_000_000) as u32)
        });
        Some(ReportBlock {
            ssrc: self.announced.ssrc,
            fraction_lost,
            cumulative_lost: lost as i32,
            highest_seq: (highest - (1 << 16)) as u32,
            jitter: 0,
            lsr,
            dlsr,
        })
    }
}
