//! What a model client sends: audio each 20 ms, video in simulcast and temporal layers, sender reports, retransmissions.

use crate::media::{self, Mark, Picture};
use crate::scenario::{AudioPlan, VideoPlan};
use consilium_benches::random::Random;
use consilium_media_core::ids::{ExtSeqNo, Mid, PayloadType, Rid, RtpTime, SeqNo, Ssrc, TrackId};
use consilium_media_core::params::{
    Codec, CodecParameters, Content, Encoding, ExtensionId, HeaderExtension, MediaKind, ReceiveSection,
};
use consilium_media_core::transport::srtp::SrtpOutbound;
use consilium_media_core::wire::ext::{AudioLevel, TransportCc, Voice};
use consilium_media_core::wire::ntp::NtpTime;
use consilium_media_core::wire::rtcp::{ReportBlock, RtcpWriter};
use consilium_media_core::wire::rtp::{HeaderFields, header_size, write_header};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub(crate) const OPUS: u8 = 111;
pub(crate) const RED: u8 = 63;
pub(crate) const VP8: u8 = 96;
pub(crate) const VP8_RTX: u8 = 97;
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
/// Between packets of a silence with DTX (RFC 7587 section 3.1.3).
const DTX_INTERVAL: Duration = Duration::from_millis(400);
/// A talk spurt and the pause after it.
const SPURT: Duration = Duration::from_millis(1_200);
/// Packets kept for retransmission.
const HISTORY_MAX: usize = 400;
const RIDS: [&[u8]; 3] = [b"q", b"h", b"f"];

pub(crate) fn extensions() -> Vec<ExtensionId> {
    [
        (1, HeaderExtension::AudioLevel),
        (3, HeaderExtension::TransportCc),
        (4, HeaderExtension::Mid),
        (5, HeaderExtension::PlayoutDelay),
        (10, HeaderExtension::RtpStreamId),
        (11, HeaderExtension::RepairedRtpStreamId),
    ]
    .map(|(id, extension)| ExtensionId { id, extension })
    .into()
}

pub(crate) fn payload_type(number: u8) -> PayloadType {
    PayloadType::new(number).unwrap()
}

struct Kept {
    seq: u64,
    time: u32,
    marker: bool,
    payload: Vec<u8>,
    resent: Option<Instant>,
}

/// One SSRC and its retransmissions.
struct OutStream {
    mid: &'static [u8],
    rid: Option<&'static [u8]>,
    payload_type: u8,
    ssrc: u32,
    rtx: Option<u32>,
    next_seq: u64,
    next_rtx_seq: u64,
    kept: VecDeque<Kept>,
    packets: u32,
    octets: u32,
    /// Time and timestamp of the newest frame.
    newest: Option<(Instant, u32)>,
    clock_rate: u32,
}

/// Writes packets of all streams: they share the transport-wide numbers.
#[derive(Default)]
struct Wire {
    transport_seq: u16,
    out: Vec<Vec<u8>>,
}

impl Wire {
    fn packet(
        &mut self,
        srtp: &SrtpOutbound,
        (ssrc, index): (u32, u64),
        fields: HeaderFields,
        own: &[(u8, &[u8])],
        payload: &[u8],
    ) {
        let transport = TransportCc(SeqNo::new(self.transport_seq)).to_bytes();
        self.transport_seq = self.transport_seq.wrapping_add(1);
        let mut elements: Vec<(u8, &[u8])> = own.to_vec();
        elements.push((3, &transport));
        let header_len = header_size(&elements);
        let mut out = vec![0; header_len + payload.len() + srtp.rtp_overhead()];
        write_header(&mut out, &fields, &elements);
        srtp.seal_rtp_from(Ssrc::new(ssrc), ExtSeqNo::new(index), &mut out, header_len, payload).unwrap();
        self.out.push(out);
    }
}

impl OutStream {
    fn new(mid: &'static [u8], payload_type: u8, ssrc: u32, clock_rate: u32, random: &mut Random) -> Self {
        // Some streams begin shortly before their numbers wrap.
        let next_seq = if random.below(4) == 0 { 65_400 } else { random.below(32_768) as u64 };
        Self {
            mid,
            rid: None,
            payload_type,
            ssrc,
            rtx: None,
            next_seq,
            next_rtx_seq: random.below(32_768) as u64,
            kept: VecDeque::new(),
            packets: 0,
            octets: 0,
            newest: None,
            clock_rate,
        }
    }

    fn send(
        &mut self,
        wire: &mut Wire,
        srtp: &SrtpOutbound,
        at: (Instant, u32),
        marker: bool,
        own: &[(u8, &[u8])],
        payload: Vec<u8>,
    ) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.newest = Some(at);
        self.packets += 1;
        self.octets += payload.len() as u32;
        let fields = self.fields(self.payload_type, seq, at.1, marker, self.ssrc);
        let mut elements: Vec<(u8, &[u8])> = vec![(4, self.mid)];
        elements.extend(self.rid.map(|rid| (10, rid)));
        elements.extend_from_slice(own);
        wire.packet(srtp, (self.ssrc, seq), fields, &elements, &payload);
        if self.kept.len() == HISTORY_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(Kept { seq, time: at.1, marker, payload, resent: None });
    }

    fn fields(&self, payload_type_number: u8, seq: u64, time: u32, marker: bool, ssrc: u32) -> HeaderFields {
        HeaderFields {
            marker,
            payload_type: payload_type(payload_type_number),
            seq: SeqNo::new(seq as u16),
            timestamp: RtpTime::new(time),
            ssrc: Ssrc::new(ssrc),
        }
    }

    /// Answers a NACK, where there is a stream for it. As browsers do, a packet that was sent again less than a round trip ago
    /// is taken for one that is still on its way.
    fn resend(&mut self, wire: &mut Wire, srtp: &SrtpOutbound, (now, rtt): (Instant, Duration), seq: SeqNo) {
        let Some(rtx) = self.rtx else { return };
        let Some(index) = self.kept.iter().position(|kept| kept.seq as u16 == seq.get()) else { return };
        if self.kept[index].resent.is_some_and(|at| now.saturating_duration_since(at) < rtt) {
            return;
        }
        self.kept[index].resent = Some(now);
        let kept = &self.kept[index];
        let mut payload = seq.get().to_be_bytes().to_vec();
        payload.extend_from_slice(&kept.payload);
        let fields = self.fields(VP8_RTX, self.next_rtx_seq, kept.time, kept.marker, rtx);
        let mut elements: Vec<(u8, &[u8])> = vec![(4, self.mid)];
        elements.extend(self.rid.map(|rid| (11, rid)));
        wire.packet(srtp, (rtx, self.next_rtx_seq), fields, &elements, &payload);
        self.next_rtx_seq += 1;
    }

    /// The timestamp of `now`.
    fn time_at(&self, now: Instant) -> Option<u32> {
        let (at, time) = self.newest?;
        let elapsed = now.saturating_duration_since(at).as_nanos() * u128::from(self.clock_rate) / 1_000_000_000;
        Some(time.wrapping_add(elapsed as u32))
    }
}

struct Audio {
    stream: OutStream,
    track: TrackId,
    plan: AudioPlan,
    began: Instant,
    next: Instant,
    time_base: u32,
    /// What the last packet carried, to be repeated.
    last: Vec<u8>,
    /// When each packet was sent, by its number.
    sent: Vec<Instant>,
}

struct Layer {
    stream: OutStream,
    picture: u16,
    tl0: u8,
    frame: u32,
    /// Position in the pattern of temporal layers.
    position: usize,
    /// The newest frame of each temporal layer.
    newest: [u32; 2],
    wants_keyframe: bool,
    time_base: u32,
    keyframes: Vec<Instant>,
}

struct Video {
    track: TrackId,
    plan: VideoPlan,
    began: Instant,
    next: Instant,
    frames: u32,
    layers: Vec<Layer>,
}

/// What one client publishes, from when it is connected on.
pub(crate) struct Publisher {
    audio: Option<Audio>,
    video: Option<Video>,
    by_ssrc: bool,
    wire: Wire,
    random: Random,
    /// The client's own clock, which knows nothing of the server's.
    clock: (Instant, Duration),
    next_report: Instant,
    /// From the server's reports.
    rtt: Option<Duration>,
}

impl Publisher {
    pub(crate) fn new(seed: u64, now: Instant) -> Self {
        let mut random = Random::new(seed);
        let wire = Wire { transport_seq: random.next_u64() as u16, out: Vec::new() };
        let clock = (now, Duration::from_millis(1_700_000_000_000 + random.below(100_000) as u64));
        Self { audio: None, video: None, by_ssrc: false, wire, random, clock, next_report: now, rtt: None }
    }

    /// Takes its place in a room; returns what the server learns of it.
    pub(crate) fn publish(
        &mut self,
        client: usize,
        audio: Option<AudioPlan>,
        video: Option<VideoPlan>,
        by_ssrc: bool,
        now: Instant,
    ) -> Vec<ReceiveSection> {
        self.by_ssrc = by_ssrc;
        let base = 0x1000_0000 + client as u32 * 0x100;
        self.audio = audio.map(|plan| Audio {
            stream: OutStream::new(b"0", if plan.redundant { RED } else { OPUS }, base, 48_000, &mut self.random),
            track: audio_track(client),
            plan,
            began: now,
            next: now,
            time_base: self.random.next_u64() as u32,
            last: Vec::new(),
            sent: Vec::new(),
        });
        self.video = video.map(|plan| Video {
            track: video_track(client),
            plan,
            began: now,
            next: now,
            frames: 0,
            layers: (0..plan.layers).map(|layer| self.layer(base, layer, plan)).collect(),
        });
        let mut sections = Vec::new();
        sections.extend(self.audio.as_ref().map(audio_section));
        sections.extend(self.video.as_ref().map(|video| video_section(video, by_ssrc)));
        sections
    }

    /// Connected: the media begin.
    pub(crate) fn begin(&mut self, now: Instant) {
        let mut soon = |milliseconds| now + Duration::from_millis(self.random.below(milliseconds) as u64);
        self.next_report = soon(300);
        if let Some(audio) = &mut self.audio {
            (audio.began, audio.next) = (now, soon(20));
        }
        if let Some(video) = &mut self.video {
            (video.began, video.next) = (now, soon(40));
        }
    }

    fn layer(&mut self, base: u32, layer: u8, plan: VideoPlan) -> Layer {
        let ssrc = base + 0x10 + u32::from(layer);
        let random = &mut self.random;
        let mut stream = OutStream::new(b"1", VP8, ssrc, 90_000, random);
        stream.rid = (plan.layers > 1 && !self.by_ssrc).then(|| RIDS[usize::from(layer)]);
        stream.rtx = plan.rtx.then_some(ssrc + 0x10);
        Layer {
            stream,
            picture: random.below(0x8000) as u16,
            tl0: random.below(256) as u8,
            frame: 0,
            position: 0,
            newest: [0; 2],
            wants_keyframe: true,
            time_base: random.next_u64() as u32,
            keyframes: Vec::new(),
        }
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        let audio = self.audio.as_ref().map(|audio| audio.next);
        let video = self.video.as_ref().map(|video| video.next);
        let media = [audio, video].into_iter().flatten().min()?;
        Some(media.min(self.next_report))
    }

    /// Sends what is due; the packets are taken by [`Self::take_packets`]. RTCP goes to `rtcp`.
    pub(crate) fn run(&mut self, now: Instant, srtp: &SrtpOutbound, rtcp: &mut Vec<Vec<u8>>) {
        let Self { audio, video, wire, random, .. } = self;
        if let Some(audio) = audio {
            while audio.next <= now {
                audio.send(wire, srtp, random);
            }
        }
        if let Some(video) = video {
            while video.next <= now {
                video.send(wire, srtp, random);
            }
        }
        if self.next_report <= now {
            self.next_report = now + Duration::from_secs(1);
            self.report(now, rtcp);
        }
    }

    pub(crate) fn take_packets(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.wire.out)
    }

    fn ntp(&self, now: Instant) -> NtpTime {
        NtpTime::from_unix(self.clock.1 + now.saturating_duration_since(self.clock.0))
    }

    /// RFC 3550 section 6.4.1; the mean is a browser's.
    pub(crate) fn handle_report(&mut self, now: Instant, block: &ReportBlock) {
        if block.lsr == 0 {
            return;
        }
        let units = self.ntp(now).middle32().wrapping_sub(block.lsr).wrapping_sub(block.dlsr);
        let rtt = Duration::from_secs_f64(f64::from(units) / 65_536.0);
        self.rtt = Some(self.rtt.map_or(rtt, |mean| mean.mul_f64(0.7) + rtt.mul_f64(0.3)));
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// When frame `number` of the video was filmed.
    pub(crate) fn filmed(&self, number: u32) -> Option<Instant> {
        let video = self.video.as_ref()?;
        Some(video.began + Duration::from_secs(1) * number / video.plan.fps)
    }

    fn report(&self, now: Instant, rtcp: &mut Vec<Vec<u8>>) {
        let ntp = self.ntp(now);
        for stream in self.streams() {
            let Some(time) = stream.time_at(now) else { continue };
            let mut packet = Vec::new();
            let mut writer = RtcpWriter::new(&mut packet);
            writer.sender_report(Ssrc::new(stream.ssrc), ntp, RtpTime::new(time), stream.packets, stream.octets, &[]);
            rtcp.push(packet);
        }
    }

    fn streams(&self) -> impl Iterator<Item = &OutStream> {
        let audio = self.audio.iter().map(|audio| &audio.stream);
        audio.chain(self.video.iter().flat_map(|video| video.layers.iter().map(|layer| &layer.stream)))
    }

    pub(crate) fn handle_nack(
        &mut self,
        now: Instant,
        srtp: &SrtpOutbound,
        media: Ssrc,
        lost: impl Iterator<Item = SeqNo>,
    ) {
        let at = (now, self.rtt.unwrap_or_default());
        let Self { video, wire, .. } = self;
        let mut layers = video.iter_mut().flat_map(|video| &mut video.layers);
        let Some(layer) = layers.find(|layer| layer.stream.ssrc == media.get()) else { return };
        lost.for_each(|seq| layer.stream.resend(wire, srtp, at, seq));
    }

    /// `true` when it is ours.
    pub(crate) fn handle_keyframe_request(&mut self, media: Ssrc) -> bool {
        let Some(video) = &mut self.video else { return false };
        let Some(asked) = video.layers.iter().position(|layer| layer.stream.ssrc == media.get()) else { return false };
        for (index, layer) in video.layers.iter_mut().enumerate() {
            layer.wants_keyframe |= index == asked || video.plan.keyframes_together;
        }
        true
    }

    /// When the keyframes of the largest picture were made.
    pub(crate) fn keyframes(&self) -> &[Instant] {
        self.video.as_ref().and_then(|video| video.layers.last()).map_or(&[], |layer| &layer.keyframes)
    }

    /// When each packet of audio was sent.
    pub(crate) fn audio_sent(&self) -> &[Instant] {
        self.audio.as_ref().map_or(&[], |audio| &audio.sent)
    }
}

pub(crate) fn audio_track(client: usize) -> TrackId {
    TrackId::new(client as u64 * 2 + 1)
}

pub(crate) fn video_track(client: usize) -> TrackId {
    TrackId::new(client as u64 * 2 + 2)
}

impl Audio {
    fn send(&mut self, wire: &mut Wire, srtp: &SrtpOutbound, random: &mut Random) {
        let at = self.next;
        let since = at.saturating_duration_since(self.began);
        let silent = self.plan.dtx && since.as_millis() / SPURT.as_millis() % 2 == 1;
        let time = self.time_base.wrapping_add((since.as_micros() * 48 / 1_000) as u32);
        let number = self.sent.len() as u32;
        let mark =
            Mark { track: self.track.get() as u32, layer: 0, frame: number, reference: number, index: 0, count: 1 };
        let (least, more) = self.plan.payload_bytes;
        let len = if silent { 20 } else { least + random.below(more) };
        let voice = if silent { Voice::Inactive } else { Voice::Active };
        let level = AudioLevel { voice, level: if silent { 100 } else { 20 + random.below(20) as u8 } }.to_bytes();
        let mut payload = media::audio_payload(&mark, len);
        if self.plan.redundant {
            let last = std::mem::replace(&mut self.last, payload);
            payload = media::redundant_payload(OPUS, &last, &self.last);
        }
        self.stream.send(wire, srtp, (at, time), false, &[(1, &level)], payload);
        self.sent.push(at);
        self.next = at + if silent { DTX_INTERVAL } else { AUDIO_INTERVAL };
    }
}

impl Video {
    fn send(&mut self, wire: &mut Wire, srtp: &SrtpOutbound, random: &mut Random) {
        let at = self.next;
        let since = at.saturating_duration_since(self.began);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let bytes = self.plan.rates_bps[index] as usize / 8 / self.plan.fps as usize;
            let bytes = bytes * (70 + random.below(60)) / 100;
            layer.send(wire, srtp, (at, since), (self.track, index as u8), &self.plan, bytes);
        }
        self.frames += 1;
        self.next = self.began + Duration::from_secs(1) * self.frames / self.plan.fps;
        self.next = self.next.max(at + Duration::from_millis(1));
    }
}

impl Layer {
    fn send(
        &mut self,
        wire: &mut Wire,
        srtp: &SrtpOutbound,
        (at, since): (Instant, Duration),
        (track, layer): (TrackId, u8),
        plan: &VideoPlan,
        bytes: usize,
    ) {
        let key = std::mem::take(&mut self.wants_keyframe);
        if key {
            self.keyframes.push(at);
            self.position = 0;
        }
        let frame = self.frame;
        // Of two and three temporal layers, as libvpx has them.
        let (tid, reference) = match (plan.temporal, self.position % 4) {
            (1, _) | (2, 0 | 2) | (_, 0) => (0, self.newest[0]),
            (2, _) => (1, self.newest[0]),
            (_, 2) => (1, self.newest[0]),
            (_, 1) => (2, self.newest[0]),
            (_, _) => (2, self.newest[1]),
        };
        let sync = !key && tid > 0 && reference == self.newest[0];
        let reference = if key { frame } else { reference };
        if tid == 0 {
            self.tl0 = self.tl0.wrapping_add(1);
            self.newest = [frame; 2];
        } else if tid == 1 {
            self.newest[1] = frame;
        }
        let picture = Picture { id: self.picture, tl0: self.tl0, tid, sync, key };
        self.picture = (self.picture + 1) & 0x7fff;
        self.frame += 1;
        self.position += 1;
        let bytes = if key { bytes * plan.keyframe_factor } else { bytes };
        let count = bytes.div_ceil(plan.payload_bytes_max).max(1);
        let time = self.time_base.wrapping_add((since.as_micros() * 90 / 1_000) as u32);
        for index in 0..count {
            let mark =
                Mark { track: track.get() as u32, layer, frame, reference, index: index as u16, count: count as u16 };
            let payload = media::video_payload(picture, &mark, bytes / count);
            self.stream.send(wire, srtp, (at, time), index + 1 == count, &[], payload);
        }
    }
}

fn audio_section(audio: &Audio) -> ReceiveSection {
    let of = |number: u8, codec: Codec| CodecParameters {
        payload_type: payload_type(number),
        codec,
        clock_rate: 48_000,
        rtx: None,
        nack: false,
        fir_only: false,
        remb: false,
    };
    let redundant = audio.plan.redundant.then(|| of(RED, Codec::Red));
    ReceiveSection {
        mid: Mid::new(b"0").unwrap(),
        kind: MediaKind::Audio,
        content: Content::Motion,
        track: Some(audio.track),
        codecs: redundant.into_iter().chain([of(OPUS, Codec::Opus)]).collect(),
        extensions: extensions(),
        encodings: vec![Encoding { rid: None, ssrc: Some(Ssrc::new(audio.stream.ssrc)), rtx_ssrc: None, layer: 0 }],
    }
}

fn video_section(video: &Video, by_ssrc: bool) -> ReceiveSection {
    let rtx = video.plan.rtx.then(|| payload_type(VP8_RTX));
    let codec = CodecParameters {
        payload_type: payload_type(VP8),
        codec: Codec::Vp8,
        clock_rate: 90_000,
        rtx,
        nack: video.plan.rtx,
        fir_only: false,
        remb: false,
    };
    let encodings = video.layers.iter().enumerate().map(|(layer, sending)| {
        let announced = by_ssrc || video.layers.len() == 1;
        Encoding {
            rid: sending.stream.rid.and_then(Rid::new),
            ssrc: announced.then_some(Ssrc::new(sending.stream.ssrc)),
            rtx_ssrc: sending.stream.rtx.filter(|_| announced).map(Ssrc::new),
            layer: layer as u8,
        }
    });
    ReceiveSection {
        mid: Mid::new(b"1").unwrap(),
        kind: MediaKind::Video,
        content: video.plan.content,
        track: Some(video.track),
        codecs: vec![codec],
        extensions: extensions(),
        encodings: encodings.collect(),
    }
}
