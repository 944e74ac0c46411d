//! One published track: its encodings and who receives them. A row of the routing table.

use crate::codec::av1::TemplateLayers;
use crate::ids::{Mid, PayloadType, TrackId};
use crate::ingress::level::LevelMeter;
use crate::ingress::stream::Stream;
use crate::limits::ENCODINGS_MAX;
use crate::params::{Codec, CodecParameters, Content, ExtensionId, HeaderExtension, MediaKind, ReceiveSection};
use crate::wire::rtp::RtpPacket;
use crate::worker::keys::{PeerKey, SubscriptionKey};
use crate::worker::loudest::Gate;
use crate::worker::pending::{Queue, Queues};
use crate::worker::silence::UplinkWatch;
use smallvec::SmallVec;
use std::time::Instant;

pub struct Track {
    pub id: TrackId,
    pub publisher: PeerKey,
    pub mid: Mid,
    pub kind: MediaKind,
    pub content: Content,
    pub muted: bool,
    pub started: bool,
    /// Lowest layer first.
    pub streams: SmallVec<[Stream; ENCODINGS_MAX]>,
    pub subscriptions: Vec<SubscriptionKey>,
    pub meter: LevelMeter,
    /// Of audio: whether it is forwarded, where a room forwards its loudest few.
    pub gate: Gate,
    /// Of audio: whether it comes.
    pub watch: UplinkWatch,
    /// Its packets that were taken in and not yet sent on.
    pub(crate) waiting: Queues,
    /// Those of them, of any of several encodings, that came late: who left the encoding since may wait for them all the same.
    pub(crate) late: Option<Queue>,
    /// Where the next walk over the subscriptions starts: nobody is always last.
    walk_start: usize,
    codecs: Vec<CodecParameters>,
    /// By payload type: index into `codecs` plus one.
    codec_index: Box<[u8; 128]>,
    dependency_descriptor_id: Option<u8>,
    /// By extension id.
    extensions: Box<[Option<HeaderExtension>; 256]>,
}

impl Track {
    pub fn new(id: TrackId, publisher: PeerKey, section: &ReceiveSection) -> Self {
        let mut streams: SmallVec<[Stream; ENCODINGS_MAX]> =
            section.encodings.iter().map(|e| Stream::new(section.kind, section.content, e)).collect();
        streams.sort_by_key(|stream| stream.layer);
        let mut track = Self {
            id,
            publisher,
            mid: section.mid,
            kind: section.kind,
            content: section.content,
            muted: false,
            started: false,
            streams,
            subscriptions: Vec::new(),
            meter: LevelMeter::default(),
            waiting: Queues::default(),
            late: None,
            gate: Gate::default(),
            watch: UplinkWatch::default(),
            walk_start: 0,
            codecs: Vec::new(),
            codec_index: Box::new([0; 128]),
            dependency_descriptor_id: None,
            extensions: Box::new([None; 256]),
        };
        track.set_codecs(&section.codecs, &section.extensions);
        track
    }

    /// A later negotiation of the same track: payload types may change, and encodings join or leave; those that stay keep
    /// their state.
    pub fn update(&mut self, section: &ReceiveSection) {
        self.content = section.content;
        self.set_codecs(&section.codecs, &section.extensions);
        for encoding in &section.encodings {
            let known = self.streams.iter_mut().find(|stream| match (encoding.rid, encoding.ssrc) {
                (Some(rid), _) => stream.rid == Some(rid),
                (None, Some(ssrc)) => stream.ssrc == Some(ssrc),
                (None, None) => stream.rid.is_none() && stream.layer == encoding.layer,
            });
            match known {
                Some(stream) => stream.rtx_ssrc = encoding.rtx_ssrc.or(stream.rtx_ssrc),
                None => {
                    self.streams.retain(|stream| stream.layer != encoding.layer);
                    if self.streams.len() < ENCODINGS_MAX {
                        self.streams.push(Stream::new(self.kind, self.content, encoding));
                    }
                }
            }
        }
        self.streams.sort_by_key(|stream| stream.layer);
    }

    fn set_codecs(&mut self, codecs: &[CodecParameters], extensions: &[ExtensionId]) {
        self.codecs = codecs.to_vec();
        self.codec_index.fill(0);
        // More codecs than payload types cannot be: the index fits.
        for (index, codec) in codecs.iter().enumerate().take(128) {
            self.codec_index[usize::from(codec.payload_type.get())] = index as u8 + 1;
        }
        self.extensions.fill(None);
        let dependency_descriptor = extensions.iter().find(|e| e.extension == HeaderExtension::DependencyDescriptor);
        let is_described = codecs.iter().any(|c| matches!(c.codec, Codec::Av1 | Codec::Vp8));
        self.dependency_descriptor_id = dependency_descriptor.filter(|_| is_described).map(|e| e.id);
        for extension in extensions {
            self.extensions[usize::from(extension.id)] = Some(extension.extension);
        }
    }

    pub fn codec(&self, payload_type: PayloadType) -> Option<&CodecParameters> {
        let index = self.codec_index[usize::from(payload_type.get())];
        self.codecs.get(usize::from(index).checked_sub(1)?)
    }

    /// The codec whose retransmissions carry `payload_type` (RFC 4588).
    pub fn codec_of_rtx(&self, payload_type: PayloadType) -> Option<&CodecParameters> {
        self.codecs.iter().find(|codec| codec.rtx == Some(payload_type))
    }

    /// Of redundant audio: its payload type, and that of what it repeats.
    pub fn redundant_audio(&self) -> Option<(PayloadType, PayloadType)> {
        let of = |codec: Codec| self.codecs.iter().find(|known| known.codec == codec).map(|known| known.payload_type);
        of(Codec::Red).zip(of(Codec::Opus))
    }

    pub fn extension(&self, id: u8) -> Option<HeaderExtension> {
        self.extensions[usize::from(id)]
    }

    pub fn has_extension(&self, wanted: HeaderExtension) -> bool {
        self.extensions.contains(&Some(wanted))
    }

    /// Hz. All codecs of a kind share it in WebRTC: 48,000 for Opus and RED, 90,000 for video.
    pub fn clock_rate(&self) -> u32 {
        self.codecs.first().map_or(90_000, |codec| codec.clock_rate)
    }

    /// Keyframes are asked for with FIR instead of PLI.
    pub fn asks_with_fir(&self) -> bool {
        !self.codecs.is_empty() && self.codecs.iter().all(|codec| codec.fir_only)
    }

    pub fn has_nack(&self) -> bool {
        self.codecs.iter().any(|codec| codec.nack)
    }

    /// The encoding to forward under `limit`: the highest live one that does not exceed it; if all live ones do, the lowest
    /// of them; with none alive, the highest that does not exceed it.
    pub fn select_layer(&self, now: Instant, limit: u8) -> Option<usize> {
        let within = |&index: &usize| self.streams[index].layer <= limit;
        let live = || (0..self.streams.len()).filter(|&index| self.streams[index].is_active(now));
        live()
            .rfind(within)
            .or_else(|| live().next())
            .or_else(|| (0..self.streams.len()).rfind(within))
            .or_else(|| (!self.streams.is_empty()).then_some(0))
    }

    /// Keeps the layer structure that a packet of AV1 or VP8 brings.
    pub fn note_structure(&mut self, stream: usize, rtp: &RtpPacket<'_>) {
        let Some(value) = self.dependency_descriptor_id.and_then(|id| rtp.extension(id)) else { return };
        let Some(stream) = self.streams.get_mut(stream) else { return };
        if let Some(templates) = TemplateLayers::parse(value) {
            match &mut stream.templates {
                Some(known) => **known = templates,
                None => stream.templates = Some(Box::new(templates)),
            }
        }
    }

    /// What waits of one encoding.
    pub(crate) fn waiting_of(&self, stream: usize) -> Option<Queue> {
        self.waiting.get(stream).copied().flatten()
    }

    /// Where this packet's walk over `subscriptions` starts.
    pub fn next_walk_start(&mut self) -> usize {
        self.walk_start = (self.walk_start + 1) % self.subscriptions.len().max(1);
        self.walk_start
    }
}
