//! One stream that a member sends: which packet is next, when, and how it is composed.

use crate::load::payload::{self, Mark, PAYLOAD_LEN_MIN, Picture};
use crate::load::plan::{
    AUDIO_INTERVAL, FRAME_SPREAD, KEYFRAME_FACTOR, Plan, SILENCE_INTERVAL, SPEECH_LEN, SPEECH_SPREAD, VideoRate,
};
use crate::load::seam::{MemberId, OutgoingStream, StreamKind};
use crate::random::Random;
use crate::trace::ScriptFrame;
use consilium_media_core::ids::{ExtSeqNo, RtpTime, SeqNo};
use consilium_media_core::transport::srtp::SrtpOutbound;
use consilium_media_core::wire::rtp::{HeaderFields, header_size, write_header};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Loudness of speech and of silence (RFC 6464): voice bit and level below full scale.
const SPEECH_LEVEL: u8 = 0x80 | 30;
const SILENCE_LEVEL: u8 = 127;
/// Packets of one frame at most: a keyframe of 256 KiB.
const FRAME_PACKETS_MAX: usize = 256;
/// MID and RID are told in the first packets only, as browsers do, who stop when they hear that they were received.
const INTRODUCTION_PACKETS: u64 = 100;
/// Video packets kept for a server that asks for them again: two frames of the largest layer, which lie about 70 ms back.
const SENT_MAX: usize = 32;
const VIDEO_CLOCK_HZ: u64 = 90_000;
const AUDIO_CLOCK_HZ: u64 = 48_000;

pub(super) struct Stream {
    pub(super) out: OutgoingStream,
    pub(super) packets: u64,
    pub(super) octets: u64,
    pub(super) keyframe_wanted: bool,
    pub(super) speaking: bool,
    /// Somebody receives it.
    pub(super) enabled: bool,
    /// When it goes on.
    pub(super) due: Option<Instant>,
    /// Datagrams that may be asked for again, oldest first.
    sent: VecDeque<(SeqNo, Vec<u8>)>,
    /// What is left of a frame whose packets are spread over time.
    pub(super) rest: Option<Frame>,
    member: MemberId,
    rate: Option<VideoRate>,
    packet_len_max: usize,
    frames: u64,
    /// From a trace: what it sends instead, over and over, and which of it is under way.
    script: Vec<ScriptFrame>,
    scripted: usize,
    first_seq: u64,
    random: Random,
}

/// A frame under way.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) packets: usize,
    pub(super) next: usize,
    bytes: usize,
    rtp_time: RtpTime,
    picture: Option<(u16, bool)>,
}

impl Frame {
    /// Payload of packet `index`: even shares, the larger ones last, as libwebrtc splits frames.
    fn payload_len(&self, index: usize) -> usize {
        let (share, larger) = (self.bytes / self.packets, self.bytes % self.packets);
        share + usize::from(index >= self.packets - larger)
    }

    pub(super) fn is_done(&self) -> bool {
        self.next >= self.packets
    }
}

impl Stream {
    pub(super) fn new(member: MemberId, out: OutgoingStream, plan: &Plan) -> Self {
        let rate = match out.kind {
            StreamKind::Audio => None,
            StreamKind::Video => plan.video.get(usize::from(out.layer)).copied(),
        };
        let mut random = Random::new(plan.seed ^ u64::from(out.ssrc.get()) << 16);
        let script = plan.trace.as_ref().map(|trace| trace.script(&track_name(&out, plan))).unwrap_or_default();
        // Members are not in step.
        let scripted = random.below(script.len().max(1));
        let first_seq = 0x1000 + random.below(0x4000) as u64;
        Self {
            out,
            packets: 0,
            octets: 0,
            keyframe_wanted: true,
            speaking: true,
            enabled: true,
            due: None,
            sent: VecDeque::new(),
            rest: None,
            member,
            rate,
            packet_len_max: plan.packet_len_max.max(PAYLOAD_LEN_MIN),
            frames: 0,
            script,
            scripted,
            first_seq,
            random,
        }
    }

    /// Between two frames. A factor of two sends twice as often.
    pub(super) fn interval(&self, factor: f64) -> Duration {
        let interval = match self.rate {
            _ if self.speaking && !self.script.is_empty() => self.scripted_interval(),
            Some(rate) => rate.frame_interval(),
            None if self.speaking => AUDIO_INTERVAL,
            None => SILENCE_INTERVAL,
        };
        interval.div_f64(factor)
    }

    /// A random part of the interval, so that members do not send in step.
    pub(super) fn phase(&mut self, factor: f64) -> Duration {
        let interval_us = self.interval(factor).as_micros().max(1) as usize;
        Duration::from_micros(self.random.below(interval_us) as u64)
    }

    /// Begins the next frame. `elapsed` is the time since the stream's start.
    pub(super) fn next_frame(&mut self, elapsed: Duration) -> Frame {
        let clock_hz = if self.rate.is_some() { VIDEO_CLOCK_HZ } else { AUDIO_CLOCK_HZ };
        let rtp_time = RtpTime::new((elapsed.as_micros() as u64 * clock_hz / 1_000_000) as u32);
        if let Some(frame) = self.next_scripted() {
            let picture = self.rate.is_some().then(|| self.next_picture());
            let bytes = frame.bytes.max(frame.packets * PAYLOAD_LEN_MIN);
            return Frame { packets: frame.packets, next: 0, bytes, rtp_time, picture };
        }
        let Some(rate) = self.rate else {
            let bytes = SPEECH_LEN - SPEECH_SPREAD + self.random.below(2 * SPEECH_SPREAD + 1);
            return Frame { packets: 1, next: 0, bytes: bytes.max(PAYLOAD_LEN_MIN), rtp_time, picture: None };
        };
        let keyframe = self.keyframe_wanted;
        let spread = 1.0 + FRAME_SPREAD * (self.random.below(2_001) as f64 / 1_000.0 - 1.0);
        let factor = if keyframe { KEYFRAME_FACTOR } else { spread };
        let bytes = ((rate.frame_bytes() * factor) as usize).max(PAYLOAD_LEN_MIN);
        let packets = bytes.div_ceil(self.packet_len_max).clamp(1, FRAME_PACKETS_MAX);
        let bytes = bytes.clamp(packets * PAYLOAD_LEN_MIN, packets * self.packet_len_max);
        Frame { packets, next: 0, bytes, rtp_time, picture: Some(self.next_picture()) }
    }

    /// Its id, and whether it is a keyframe.
    fn next_picture(&mut self) -> (u16, bool) {
        self.frames += 1;
        (self.frames as u16 & 0x7fff, std::mem::take(&mut self.keyframe_wanted))
    }

    fn next_scripted(&mut self) -> Option<ScriptFrame> {
        self.scripted = (self.scripted + 1) % self.script.len().max(1);
        self.script.get(self.scripted).copied()
    }

    /// Until the frame after the one under way. The end of a trace joins its beginning after a mean interval.
    fn scripted_interval(&self) -> Duration {
        let at = |index: usize| self.script.get(index).map(|frame| frame.at);
        let gap = at(self.scripted).zip(at(self.scripted + 1)).map(|(from, to)| to.saturating_sub(from));
        let mean = || self.script.last().map_or(AUDIO_INTERVAL, |last| last.at / self.script.len() as u32);
        gap.unwrap_or_else(mean)
    }

    /// Composes the frame's next packet at the end of `buffer`, sealed, and returns its length.
    pub(super) fn compose(
        &mut self,
        frame: &mut Frame,
        srtp: &SrtpOutbound,
        transport_seq: u16,
        now_ns: u64,
        buffer: &mut Vec<u8>,
    ) -> Option<usize> {
        let index = ExtSeqNo::new(self.first_seq + self.packets);
        let last = frame.next + 1 >= frame.packets;
        let fields = HeaderFields {
            marker: self.rate.is_some() && last,
            payload_type: self.out.payload_type,
            seq: index.seq(),
            timestamp: frame.rtp_time,
            ssrc: self.out.ssrc,
        };
        let transport_seq = transport_seq.to_be_bytes();
        let level = [if self.speaking { SPEECH_LEVEL } else { SILENCE_LEVEL }];
        let elements = elements(&self.out, self.packets < INTRODUCTION_PACKETS, &transport_seq, &level);
        let (header_len, payload_len) = (header_size(&elements), frame.payload_len(frame.next));
        let len = header_len + payload_len + srtp.rtp_overhead();
        let start = buffer.len();
        buffer.resize(start + len, 0);
        let packet = buffer.get_mut(start..)?;
        write_header(packet, &fields, &elements);
        let mark = Mark {
            member: self.member,
            kind: self.out.kind,
            layer: self.out.layer,
            seq: self.packets,
            sent_ns: now_ns,
        };
        let picture = frame.picture.map(|(id, keyframe)| Picture { id, first_packet: frame.next == 0, keyframe });
        payload::write(packet.get_mut(header_len..header_len + payload_len)?, &mark, picture);
        srtp.seal_rtp_in_place(self.out.ssrc, index, packet, header_len).ok()?;
        self.packets += 1;
        self.octets += payload_len as u64;
        frame.next += 1;
        drop(elements);
        self.keep(index.seq(), buffer.get(start..)?);
        Some(len)
    }

    fn keep(&mut self, seq: SeqNo, datagram: &[u8]) {
        if self.rate.is_none() {
            return;
        }
        let mut place = match self.sent.len() {
            SENT_MAX => self.sent.pop_front().map(|(_, place)| place).unwrap_or_default(),
            _ => Vec::new(),
        };
        place.clear();
        place.extend_from_slice(datagram);
        self.sent.push_back((seq, place));
    }

    /// As it was: it did not come, so its number is still free.
    pub(super) fn sent_before(&self, seq: SeqNo) -> Option<&[u8]> {
        self.sent.iter().rev().find(|(sent, _)| *sent == seq).map(|(_, datagram)| datagram.as_slice())
    }
}

fn elements<'a>(
    out: &'a OutgoingStream,
    introduce: bool,
    transport_seq: &'a [u8; 2],
    level: &'a [u8; 1],
) -> SmallVec<[(u8, &'a [u8]); 4]> {
    let mut elements = SmallVec::new();
    let introduce = |id: Option<u8>| id.filter(|_| introduce);
    if let Some(id) = introduce(out.mid_extension) {
        elements.push((id, out.mid.as_bytes()));
    }
    if let Some((id, rid)) = introduce(out.rid_extension).zip(out.rid.as_ref()) {
        elements.push((id, rid.as_bytes()));
    }
    if let Some(id) = out.transport_cc_extension {
        elements.push((id, &transport_seq[..]));
    }
    if let Some(id) = out.audio_level_extension.filter(|_| out.kind == StreamKind::Audio) {
        elements.push((id, &level[..]));
    }
    elements
}

/// What a trace calls this track.
fn track_name(out: &OutgoingStream, plan: &Plan) -> String {
    match (out.kind, out.layer) {
        (StreamKind::Audio, _) => "microphone".to_owned(),
        (StreamKind::Video, _) if plan.video.len() == 1 => "camera".to_owned(),
        (StreamKind::Video, layer) => format!("camera {}", ["q", "h", "f"][usize::from(layer.min(2))]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilium_media_core::ids::{Mid, PayloadType, Ssrc};

    fn stream(kind: StreamKind) -> Stream {
        let out = OutgoingStream {
            kind,
            layer: 0,
            ssrc: Ssrc::new(7),
            payload_type: PayloadType::new(96).unwrap(),
            mid: Mid::new(b"0").unwrap(),
            rid: None,
            mid_extension: Some(4),
            rid_extension: None,
            transport_cc_extension: Some(3),
            audio_level_extension: None,
        };
        Stream::new(MemberId(1), out, &Plan::camera())
    }

    #[test]
    fn the_packets_of_a_frame_differ_by_a_byte_at_most_and_carry_it_whole() {
        let mut stream = stream(StreamKind::Video);
        for number in 0..200 {
            let frame = stream.next_frame(Duration::from_millis(40 * number));
            let sizes: Vec<usize> = (0..frame.packets).map(|index| frame.payload_len(index)).collect();
            assert_eq!(sizes.iter().sum::<usize>(), frame.bytes);
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            assert!(sizes.iter().all(|len| (PAYLOAD_LEN_MIN..=1_000).contains(len)), "{sizes:?}");
        }
    }

    #[test]
    fn frames_have_the_bit_rate_that_was_planned() {
        let mut stream = stream(StreamKind::Video);
        stream.keyframe_wanted = false;
        let bytes: usize = (0..5_000).map(|_| stream.next_frame(Duration::ZERO).bytes).sum();
        let bitrate_bps = bytes as f64 * 8.0 * 25.0 / 5_000.0;
        assert!((bitrate_bps / 1_200_000.0 - 1.0).abs() < 0.02, "{bitrate_bps}");
    }

    #[test]
    fn a_trace_is_sent_over_and_over_in_its_own_time() {
        let text = "stream 0 camera\n0 0 0 0 900\n90 0 1 0 901\n33000 0 1 1 500\n60000 0 1 2 400\n";
        let trace = Some(std::sync::Arc::new(crate::trace::Trace::read(text).unwrap()));
        let out = stream(StreamKind::Video).out;
        let mut stream = Stream::new(MemberId(1), out, &Plan { trace, ..Plan::camera() });
        stream.scripted = 2;
        let mut sent = Vec::new();
        for _ in 0..4 {
            let frame = stream.next_frame(Duration::ZERO);
            sent.push((frame.packets, frame.bytes, stream.interval(1.0).as_millis()));
        }
        assert_eq!(sent, [(2, 1_801, 33), (1, 500, 27), (1, 400, 20), (2, 1_801, 33)]);
    }

    #[test]
    fn silence_is_sent_rarely() {
        let mut stream = stream(StreamKind::Audio);
        assert_eq!(stream.interval(1.0), AUDIO_INTERVAL);
        stream.speaking = false;
        assert_eq!(stream.interval(2.0), SILENCE_INTERVAL / 2);
    }
}
