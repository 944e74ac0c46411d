//! One track on its way to one subscriber: which encoding is forwarded, and whether a packet of it goes out.

use crate::drops::DropReason;
use crate::egress::history::{History, Sent};
use crate::egress::layers::Layers;
use crate::egress::packet::PacketInfo;
use crate::egress::patience::Patience;
use crate::egress::playout::Playout;
use crate::egress::rewrite::{Rewriter, Shift, Takeover};
use crate::egress::stamps::Stamps;
use crate::ids::{ExtSeqNo, PayloadType, RtpTime, Ssrc, SubscriptionId};
use crate::ingress::track::Track;
use crate::params::{Codec, HeaderExtension, LayerLimit, MediaKind, PayloadMapping, SendParameters};
use crate::worker::keys::{PeerKey, TrackKey};
use crate::worker::silence::DownlinkWatch;
use std::time::Instant;

/// As many as there are kinds of [`HeaderExtension`].
const EXTENSIONS: usize = 10;

pub struct Subscription {
    pub id: SubscriptionId,
    pub peer: PeerKey,
    pub track: TrackKey,
    pub ssrc: Ssrc,
    pub rtx_ssrc: Option<Ssrc>,
    pub cname: String,
    pub mid: crate::ids::Mid,
    pub paused: bool,
    pub limit: LayerLimit,
    /// Pictures per second that the subscriber wants at most; 0 is no limit.
    pub frames_per_second: u32,
    /// What the subscriber's path has room for; `None` when not even the least.
    pub allowed: Option<LayerLimit>,
    pub patience: Patience,
    /// The subscriber's own; 1 comes first, 0 is none.
    pub priority: u8,
    /// The encoding that is forwarded now.
    pub current: Option<usize>,
    /// The encoding that is to be forwarded from its next keyframe on.
    pub target: Option<usize>,
    /// Nothing more of the current encoding leaves: it would only keep its successor waiting.
    given_up: bool,
    pub history: History,
    /// Of the newest keyframe that went its way, by its publisher.
    pub keyframe_time: Option<RtpTime>,
    /// For sender reports: what went out, retransmissions apart.
    pub packets_sent: u32,
    pub octets_sent: u32,
    pub last_sent: Option<Instant>,
    /// Transport-wide numbers of what may have to leave again as it was.
    pub stamps: Stamps,
    /// Of video: how long it is to be waited for.
    pub playout: Playout,
    /// Of audio: whether it is heard.
    pub watch: DownlinkWatch,
    kind: MediaKind,
    rewriter: Rewriter,
    rtx_next: ExtSeqNo,
    /// Those that are forwarded of a stream that has several.
    layers: Layers,
    /// The highest temporal layer within `frames_per_second`, as the stream was measured last.
    temporal_max: u8,
    /// The highest temporal layer that leaves while much waits before the path.
    pub temporal_held: u8,
    /// The picture that was left out last.
    skipped_picture: Option<u16>,
    /// The mapping used last: packets of a track rarely change their payload type.
    recent: Option<PayloadMapping>,
    payloads: Vec<PayloadMapping>,
    /// How redundant audio was to leave by what was negotiated, while its redundancy is left out.
    redundant: Option<PayloadMapping>,
    /// By payload type: index into `payloads` plus one.
    payload_index: Box<[u8; 128]>,
    extension_ids: [u8; EXTENSIONS],
}

/// How one packet leaves.
#[derive(Clone, Copy)]
pub struct Outgoing {
    pub mapping: PayloadMapping,
    pub sent: Sent,
    pub timestamp: RtpTime,
    pub marker: bool,
    /// Nothing but padding, to fill a place that was kept for a packet which then was not wanted.
    pub blank: bool,
    pub padding_len: usize,
}

/// A subscription's place: who gets what.
pub struct Binding {
    pub id: SubscriptionId,
    pub peer: PeerKey,
    pub track: TrackKey,
    pub kind: MediaKind,
}

impl Subscription {
    /// `first_seq` and `first_rtx_seq` are random (RFC 3550 section 5.1).
    pub fn new(binding: &Binding, send: &SendParameters, first_seq: u16, first_rtx_seq: u16) -> Self {
        let mut subscription = Self {
            id: binding.id,
            peer: binding.peer,
            track: binding.track,
            ssrc: send.ssrc,
            rtx_ssrc: send.rtx_ssrc,
            cname: send.cname.clone(),
            mid: send.mid,
            paused: false,
            limit: LayerLimit::ALL,
            frames_per_second: 0,
            allowed: Some(LayerLimit::ALL),
            patience: Patience::default(),
            priority: 0,
            current: None,
            target: None,
            given_up: false,
            history: History::default(),
            keyframe_time: None,
            packets_sent: 0,
            octets_sent: 0,
            last_sent: None,
            stamps: Stamps::default(),
            playout: Playout::default(),
            watch: DownlinkWatch::default(),
            kind: binding.kind,
            rewriter: Rewriter::new(ExtSeqNo::new(u64::from(first_seq))),
            rtx_next: ExtSeqNo::new(u64::from(first_rtx_seq)),
            layers: Layers::default(),
            temporal_max: u8::MAX,
            temporal_held: u8::MAX,
            skipped_picture: None,
            recent: None,
            payloads: Vec::new(),
            redundant: None,
            payload_index: Box::new([0; 128]),
            extension_ids: [0; EXTENSIONS],
        };
        subscription.set_formats(send);
        subscription
    }

    fn set_formats(&mut self, send: &SendParameters) {
        self.payloads.clone_from(&send.payloads);
        self.payload_index.fill(0);
        for (index, mapping) in send.payloads.iter().enumerate().take(128) {
            self.payload_index[usize::from(mapping.from.get())] = index as u8 + 1;
        }
        self.extension_ids = [0; EXTENSIONS];
        for extension in &send.extensions {
            self.extension_ids[extension.extension as usize] = extension.id;
        }
        (self.recent, self.redundant) = (None, None);
    }

    /// Whether redundant audio (RFC 2198) leaves as it came, or its primary block alone, as the Opus that it is. Where the
    /// subscriber cannot have both, nothing changes.
    pub fn set_redundancy(&mut self, track: &Track, is_sent: bool) {
        if is_sent == self.redundant.is_none() {
            return;
        }
        let replacement = match (self.redundant.take(), track.redundant_audio()) {
            (Some(full), _) => full,
            (None, Some((red, opus))) => {
                let (Some(full), Some(plain)) = (self.mapping(red), self.mapping(opus)) else { return };
                if full.strip_red {
                    return;
                }
                self.redundant = Some(full);
                PayloadMapping { from: red, strip_red: true, ..plain }
            }
            (None, None) => return,
        };
        if let Some(mapping) = self.payloads.iter_mut().find(|mapping| mapping.from == replacement.from) {
            *mapping = replacement;
        }
        self.recent = None;
        // Without RTX, what is sent again must be what it was, byte for byte: SRTP encrypts nothing else under its index.
        self.history.restart();
    }

    /// Redundancy of this track was negotiated, whether it is sent now or not.
    pub fn has_redundancy(&self, track: &Track) -> bool {
        let negotiated = || self.mapping(track.redundant_audio()?.0).filter(|mapping| !mapping.strip_red);
        self.redundant.is_some() || negotiated().is_some()
    }

    /// Redundancy is left out that could be sent.
    pub fn leaves_out_redundancy(&self) -> bool {
        self.redundant.is_some()
    }

    /// Goes on with another track: numbers and times continue, and nothing of the track before can be sent again.
    pub fn move_to(&mut self, track: TrackKey, send: &SendParameters) {
        self.track = track;
        self.set_formats(send);
        self.detach();
        self.target = None;
    }

    pub fn mapping(&self, from: PayloadType) -> Option<PayloadMapping> {
        let index = self.payload_index[usize::from(from.get())];
        self.payloads.get(usize::from(index).checked_sub(1)?).copied()
    }

    /// The subscriber's id of an extension, 0 when it did not negotiate it.
    pub fn extension_id(&self, extension: HeaderExtension) -> u8 {
        self.extension_ids[extension as usize]
    }

    pub fn is_waiting_for_keyframe(&self) -> bool {
        self.target.is_some() && self.target != self.current && self.kind == MediaKind::Video
    }

    /// The encodings whose packets it looks at: the one that is forwarded, and the one that is to take over.
    pub fn sources(&self) -> [Option<usize>; 2] {
        [self.current, self.target.filter(|target| self.current != Some(*target))]
    }

    /// Forgets the current source: its next packet is a fresh start.
    pub fn detach(&mut self) {
        self.current = None;
        self.given_up = false;
        self.history.forget();
        self.layers.forget();
    }

    /// The numbers and times of the stream mean something else now: nothing of it can be sent again.
    pub fn forget_stream(&mut self, stream: usize) {
        self.history.forget_stream(stream);
        self.layers.forget_stream(stream);
    }

    /// Chooses the encoding anew. `true` when a keyframe of the target is needed.
    pub fn retarget(&mut self, now: Instant, track: &Track) -> bool {
        self.target = match self.wanted() {
            Some(wanted) => track.select_layer(now, wanted.spatial),
            None => None,
        };
        self.temporal_max = self.target.map_or(u8::MAX, |stream| self.temporal_within(track, stream));
        // What was given up goes on like anything that begins: with a keyframe.
        if self.target.is_none() || self.given_up && self.target == self.current {
            self.current = None;
            self.given_up = false;
        }
        self.is_waiting_for_keyframe() || self.waits_for_larger_picture(track)
    }

    /// The path cannot carry the current encoding, and another is to take over: nothing more of this one is sent, nor sent
    /// again. `false` when there is none, or it stays.
    pub fn give_up(&mut self) -> bool {
        self.given_up |= self.is_waiting_for_keyframe() && self.current.is_some();
        if self.given_up {
            self.history.forget();
        }
        self.given_up
    }

    /// What the subscriber asked for, as far as its path carries it.
    fn wanted(&self) -> Option<LayerLimit> {
        let allowed = self.allowed.filter(|_| !self.paused)?;
        Some(LayerLimit {
            spatial: self.limit.spatial.min(allowed.spatial),
            temporal: self.limit.temporal.min(allowed.temporal).min(self.temporal_max).min(self.temporal_held),
        })
    }

    fn temporal_within(&self, track: &Track, stream: usize) -> u8 {
        match (self.frames_per_second, track.streams.get(stream)) {
            (0, _) | (_, None) => u8::MAX,
            (wanted, Some(stream)) => stream.rates.temporal_within(wanted),
        }
    }

    /// What the subscriber asked for, whatever its path carries.
    pub fn asked(&self) -> LayerLimit {
        LayerLimit { temporal: self.limit.temporal.min(self.temporal_max), ..self.limit }
    }

    /// Whether the stream carries a larger picture that is wanted: it begins with a keyframe.
    fn waits_for_larger_picture(&self, track: &Track) -> bool {
        let [stream] = track.streams.as_slice() else { return false };
        let wanted = self.wanted().map_or(0, |wanted| wanted.spatial.min(stream.rates.highest().0));
        self.current.is_some() && wanted > self.layers.now().spatial
    }

    /// As which payload type and SSRC packets are sent again. Without, they leave under their own number, and must then be
    /// what they were byte for byte: SRTP must not encrypt two packets under one index. Such packets are not padded.
    pub fn sends_again_as(&self, mapping: PayloadMapping) -> Option<(PayloadType, Ssrc)> {
        mapping.rtx.zip(self.rtx_ssrc)
    }

    /// Payload type, SSRC and timestamp under which padding can leave: as retransmissions of nothing (RFC 4588), beside what
    /// was sent last, so that the media's own numbers stay without gaps. Video that is stalled can carry it too: else nothing
    /// would find out that there is room again.
    pub fn padding_stream(&self) -> Option<(PayloadType, Ssrc, RtpTime)> {
        let (payload_type, ssrc) = self.sends_again_as(self.recent?)?;
        let is_video = self.kind == MediaKind::Video && !self.paused;
        let numbered = self.extension_id(HeaderExtension::TransportCc) != 0;
        (is_video && numbered).then_some((payload_type, ssrc, self.rewriter.last_time()?))
    }

    /// What is said in a packet about playout. A packet that may have to leave again under its own number says nothing, as it
    /// must then be what it was.
    pub fn playout_of(&self, packet: &PacketInfo) -> Option<&[u8; 3]> {
        let value = self.playout.value().filter(|_| self.extension_id(HeaderExtension::PlayoutDelay) != 0)?;
        self.sends_again_as(self.mapping(packet.payload_type)?)?;
        Some(value)
    }

    pub fn next_rtx_seq(&mut self) -> ExtSeqNo {
        let seq = self.rtx_next;
        self.rtx_next = ExtSeqNo::new(seq.get() + 1);
        seq
    }

    /// The timestamp under which the current source's `time` leaves.
    pub fn outgoing_time(&self, time: RtpTime) -> Option<RtpTime> {
        self.rewriter.newest().map(|shift| time.wrapping_add(shift.time))
    }

    /// Decides about one packet and, when it is to go out, gives it its numbers.
    pub fn select(&mut self, now: Instant, track: &Track, packet: &PacketInfo) -> Result<Outgoing, DropReason> {
        let wanted = self.wanted().ok_or(DropReason::Paused)?;
        let mapping = match self.recent {
            Some(recent) if recent.from == packet.payload_type => recent,
            _ => self.mapping(packet.payload_type).ok_or(DropReason::NoPayloadMapping)?,
        };
        self.recent = Some(mapping);
        if self.current != Some(packet.stream) {
            if !packet.is_newest && self.has_place(packet) {
                return self.select_late(now, mapping, packet);
            }
            self.start(now, track, packet, wanted)?;
        } else if self.given_up {
            return Err(DropReason::OtherLayer);
        }
        if packet.keyframe {
            self.keyframe_time = Some(packet.timestamp);
        }
        let blank = self.layers.follow(packet, wanted);
        if blank && packet.is_newest {
            self.skip(packet);
        }
        // Without RTX a number that was spent on padding could be asked for again, and be the packet itself under the same
        // SRTP index: its place stays empty.
        if blank && (packet.is_newest || self.sends_again_as(mapping).is_none()) {
            return Err(DropReason::OtherLayer);
        }
        let Some(shift) = self.rewriter.shift(packet.ext_seq) else {
            return self.select_late(now, mapping, packet);
        };
        self.rewriter.sent(now, packet.ext_seq, packet.timestamp, packet.picture, shift);
        let out = ExtSeqNo::new(packet.ext_seq.get().wrapping_add(shift.seq));
        let sent = Sent { out, ext_seq: packet.ext_seq, shift, stream: packet.stream };
        self.history.record(out);
        self.last_sent = Some(now);
        let timestamp = packet.timestamp.wrapping_add(shift.time);
        let marker = !blank && self.marker(packet);
        Ok(Outgoing { mapping, sent, timestamp, marker, blank, padding_len: 0 })
    }

    /// Whether a number was kept for a packet while it was missing. The subscriber waits for it, also when another encoding has
    /// taken over since: what it cannot have it asks a keyframe for, once its patience ends.
    pub fn has_place(&self, packet: &PacketInfo) -> bool {
        self.history.place_of(packet.stream, packet.ext_seq).is_some()
    }

    /// As [`Self::select`], for what comes after its source was left, or long after it was due: its numbers are those of then.
    fn select_late(
        &mut self,
        now: Instant,
        mapping: PayloadMapping,
        packet: &PacketInfo,
    ) -> Result<Outgoing, DropReason> {
        let place = self.history.place_of(packet.stream, packet.ext_seq).ok_or(DropReason::TooLate)?;
        if self.sends_again_as(mapping).is_none() && self.layers.left_out(packet) {
            return Err(DropReason::OtherLayer);
        }
        self.last_sent = Some(now);
        self.outgoing_again(place, packet).ok_or(DropReason::TooLate)
    }

    /// Set on the last packet of a picture: that of the largest size that is forwarded.
    fn marker(&self, packet: &PacketInfo) -> bool {
        packet.marker || packet.end_of_frame && packet.spatial_id == Some(self.layers.now().spatial)
    }

    /// Begins to forward the packet's encoding, if it is the one wanted and can be decoded from here.
    fn start(
        &mut self,
        now: Instant,
        track: &Track,
        packet: &PacketInfo,
        wanted: LayerLimit,
    ) -> Result<(), DropReason> {
        if self.target != Some(packet.stream) {
            return Err(DropReason::OtherLayer);
        }
        if self.kind == MediaKind::Video && !packet.keyframe {
            return Err(DropReason::AwaitingKeyframe);
        }
        let translated = self.current.and_then(|current| {
            let (from, to) =
                (&track.streams.get(current)?.sender_report?, &track.streams.get(packet.stream)?.sender_report?);
            Some(from.translate(to, packet.timestamp, track.clock_rate()))
        });
        let source = Takeover {
            ext_seq: packet.ext_seq,
            timestamp: packet.timestamp,
            translated,
            picture: packet.picture,
            clock_rate: track.clock_rate(),
        };
        let last = self.rewriter.last_time().zip(self.rewriter.newest());
        let last = last.map(|(time, shift)| time.wrapping_add(shift.time.wrapping_neg()));
        self.rewriter.take_over(now, &source);
        self.current = Some(packet.stream);
        self.given_up = false;
        self.begin_run(packet.stream);
        self.layers.begin(packet.stream, wanted, last);
        self.skipped_picture = None;
        Ok(())
    }

    /// Closes the gap that a packet leaves which is not forwarded. Of one that came late, the gap is behind others already.
    fn skip(&mut self, packet: &PacketInfo) {
        // VP8 counts pictures without gaps. The others refer to one another by distance, which must stay what it is.
        let is_counted = packet.codec == Codec::Vp8 && self.skipped_picture != packet.picture.id;
        self.skipped_picture = packet.picture.id;
        self.rewriter.skip(packet.ext_seq, is_counted);
        self.begin_run(packet.stream);
    }

    /// Closes the gap of a packet that carries nothing.
    pub fn skip_padding(&mut self, packet: &PacketInfo) {
        if packet.is_newest && self.current == Some(packet.stream) {
            self.rewriter.skip(packet.ext_seq, false);
            self.begin_run(packet.stream);
        }
    }

    /// Packets of the stream were left out up to this one.
    pub fn resume_at(&mut self, packet: &PacketInfo) {
        if self.current == Some(packet.stream) {
            self.rewriter.resume(packet.ext_seq);
            self.begin_run(packet.stream);
        }
    }

    fn begin_run(&mut self, stream: usize) {
        if let Some((first, shift)) = self.rewriter.newest_run() {
            self.history.begin_run(first, shift, stream);
        }
    }

    /// Counts what went out, for sender reports.
    pub fn count_sent(&mut self, payload_len: usize) {
        self.packets_sent = self.packets_sent.wrapping_add(1);
        self.octets_sent = self.octets_sent.wrapping_add(payload_len as u32);
    }

    /// How a packet sent before leaves again; `None` when the payload type is no longer negotiated.
    pub fn outgoing_again(&self, sent: Sent, packet: &PacketInfo) -> Option<Outgoing> {
        let mapping = self.mapping(packet.payload_type)?;
        let timestamp = packet.timestamp.wrapping_add(sent.shift.time);
        let has_rtx = self.sends_again_as(mapping).is_some();
        // What only filled a place does so again: a part of a picture that was left out is none to wait for the rest of.
        let blank = has_rtx && self.layers.left_out(packet);
        let marker = !blank && self.marker(packet);
        // Under its own number it must be what it was to the bit, and the marker depends on the layers of that moment.
        let certain = packet.spatial_id.is_none() || !packet.end_of_frame || packet.marker;
        let again = has_rtx || certain;
        again.then_some(Outgoing { mapping, sent, timestamp, marker, blank, padding_len: 0 })
    }
}

/// Whether a shift changes the numbers in a payload descriptor.
pub fn touches_picture(shift: Shift) -> bool {
    shift.picture != 0 || shift.tl0 != 0
}
