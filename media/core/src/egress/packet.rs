//! What a forwarder knows of one incoming packet: read once, used for every subscriber.
//!
//! [`PacketInfo`] is what was read, and waits for its turn while the bytes lie in the ingress cache; [`Packet`] is both.

use crate::codec::av1::{DependencyDescriptor, TemplateLayers};
use crate::codec::{self, vp8, vp9};
use crate::egress::rewrite::Picture;
use crate::ids::{ExtSeqNo, PayloadType, RtpTime};
use crate::ingress::rate::Part;
use crate::ingress::track::Track;
use crate::params::{Codec, HeaderExtension};
use crate::wire::rtp::RtpPacket;

/// Extension elements that are passed on. Those that belong to one hop (transport-wide numbers, send times, MID and RID)
/// end here.
pub const PASSED_ON: [HeaderExtension; 5] = [
    HeaderExtension::AudioLevel,
    HeaderExtension::VideoOrientation,
    HeaderExtension::PlayoutDelay,
    HeaderExtension::AbsCaptureTime,
    HeaderExtension::DependencyDescriptor,
];

/// A payload descriptor whose numbers are rewritten where sources were joined or pictures left out.
#[derive(Clone, Copy)]
pub enum Descriptor {
    None,
    Vp8(vp8::Vp8Descriptor),
    Vp9(vp9::Vp9Descriptor),
    /// The frame number stands in the dependency descriptor extension.
    Av1,
}

/// What was read of a packet, without its bytes.
#[derive(Clone, Copy)]
pub struct PacketInfo {
    /// Index of its encoding in the track.
    pub stream: usize,
    pub ext_seq: ExtSeqNo,
    /// None after it came before it.
    pub is_newest: bool,
    pub marker: bool,
    pub payload_type: PayloadType,
    pub codec: Codec,
    pub timestamp: RtpTime,
    pub descriptor: Descriptor,
    pub picture: Picture,
    /// A decoder can start here.
    pub keyframe: bool,
    pub start_of_picture: bool,
    pub temporal_id: Option<u8>,
    /// Where the stream carries several sizes of the picture in one (SVC).
    pub spatial_id: Option<u8>,
    /// Last packet of its picture, or of its size of the picture.
    pub end_of_frame: bool,
    /// A subscriber may step up to this temporal layer here.
    pub switching_up: bool,
    payload: Span,
    /// By position in [`PASSED_ON`].
    values: [Span; PASSED_ON.len()],
}

/// A part of a packet. Nothing of interest starts at 0, which stands for absence.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Span {
    start: u16,
    len: u16,
}

impl Span {
    /// `part` lies in `whole`, which is no longer than a datagram.
    fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
        Self { start: start as u16, len: part.len() as u16 }
    }

    fn read(self, whole: &[u8]) -> Option<&[u8]> {
        let start = usize::from(self.start);
        (start != 0).then(|| whole.get(start..start + usize::from(self.len)))?
    }
}

/// A packet on its way out.
#[derive(Clone, Copy)]
pub struct Packet<'a> {
    pub info: &'a PacketInfo,
    /// Header and payload in plaintext, as they arrived.
    bytes: &'a [u8],
}

impl<'a> Packet<'a> {
    /// `bytes` are those that `info` was read from, or a copy.
    pub fn new(info: &'a PacketInfo, bytes: &'a [u8]) -> Self {
        Self { info, bytes }
    }

    /// Without padding; empty for a packet of padding alone.
    pub fn payload(&self) -> &'a [u8] {
        self.info.payload.read(self.bytes).unwrap_or_default()
    }

    /// The extension elements that are passed on.
    pub fn extensions(&self) -> impl Iterator<Item = (HeaderExtension, &'a [u8])> {
        let bytes = self.bytes;
        PASSED_ON
            .into_iter()
            .zip(self.info.values)
            .filter_map(move |(extension, value)| Some((extension, value.read(bytes)?)))
    }

    pub fn extension(&self, wanted: HeaderExtension) -> Option<&'a [u8]> {
        self.extensions().find(|(extension, _)| *extension == wanted).map(|(_, value)| value)
    }
}

impl PacketInfo {
    /// `None` when the payload type is not one of the track's.
    pub fn read(track: &Track, stream: usize, ext_seq: ExtSeqNo, is_newest: bool, rtp: &RtpPacket<'_>) -> Option<Self> {
        let codec = track.codec(rtp.payload_type())?.codec;
        let bytes = rtp.as_bytes();
        let mut values = [Span::default(); PASSED_ON.len()];
        for (id, value) in rtp.extensions() {
            let Some(extension) = track.extension(id) else { continue };
            if let Some(position) = PASSED_ON.iter().position(|e| *e == extension) {
                values[position] = Span::of(value, bytes);
            }
        }
        let mut info = Self {
            stream,
            ext_seq,
            is_newest,
            marker: rtp.marker(),
            payload_type: rtp.payload_type(),
            codec,
            timestamp: rtp.timestamp(),
            descriptor: Descriptor::None,
            picture: Picture::default(),
            keyframe: false,
            start_of_picture: false,
            temporal_id: None,
            spatial_id: None,
            end_of_frame: false,
            switching_up: false,
            payload: Span::of(rtp.payload(), bytes),
            values,
        };
        info.describe(bytes, track.streams.get(stream).and_then(|stream| stream.templates.as_deref()));
        Some(info)
    }

    /// Without padding.
    pub fn payload_len(&self) -> usize {
        usize::from(self.payload.len)
    }

    /// What it adds to its layer's rate.
    pub fn part(&self) -> Part {
        Part {
            time: self.timestamp,
            spatial: self.spatial_id.unwrap_or(0),
            temporal: self.temporal_id.unwrap_or(0),
            keyframe: self.keyframe,
            is_newest: self.is_newest,
            len: self.payload_len(),
        }
    }

    /// Sent to probe the path, with nothing in it.
    pub fn is_padding(&self) -> bool {
        self.payload.len == 0
    }

    fn describe(&mut self, bytes: &[u8], templates: Option<&TemplateLayers>) {
        let payload = self.payload.read(bytes).unwrap_or_default();
        match self.codec {
            Codec::Opus | Codec::Red => {}
            Codec::Vp8 => self.describe_vp8(bytes, payload, templates),
            Codec::Vp9 => self.describe_vp9(payload),
            Codec::H264 => self.keyframe = codec::is_keyframe_start(Codec::H264, payload, None),
            Codec::Av1 => self.describe_av1(bytes, payload, templates),
        }
    }

    fn describe_vp8(&mut self, bytes: &[u8], payload: &[u8], templates: Option<&TemplateLayers>) {
        let Some(descriptor) = vp8::parse(payload) else { return };
        self.descriptor = Descriptor::Vp8(descriptor);
        self.picture = Picture { id: descriptor.picture_id.map(|(id, _)| id), tl0: descriptor.tl0_pic_idx };
        self.keyframe = descriptor.is_keyframe;
        self.start_of_picture = descriptor.start_of_frame;
        self.temporal_id = descriptor.tid;
        self.switching_up = descriptor.layer_sync || descriptor.is_keyframe;
        // Chromium says in one place alone what is in both, and prefers the extension.
        if self.temporal_id.is_none()
            && let (Some(templates), Some(dependency)) = (templates, self.dependency(bytes))
            && let Some(layer) = templates.layer(dependency.template_id)
        {
            self.temporal_id = Some(layer.temporal);
            self.switching_up |= layer.is_switch && !dependency.has_own_indications;
        }
    }

    fn dependency(&self, bytes: &[u8]) -> Option<DependencyDescriptor> {
        codec::av1::parse(self.dependency_bytes(bytes)?)
    }

    fn dependency_bytes<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let position = PASSED_ON.iter().position(|extension| *extension == HeaderExtension::DependencyDescriptor);
        position.and_then(|position| self.values[position].read(bytes))
    }

    fn describe_vp9(&mut self, payload: &[u8]) {
        let Some(descriptor) = vp9::parse(payload) else { return };
        self.descriptor = Descriptor::Vp9(descriptor);
        self.picture = Picture { id: descriptor.picture_id.map(|(id, _)| id), tl0: descriptor.tl0_pic_idx };
        self.keyframe = descriptor.is_keyframe;
        self.start_of_picture = descriptor.start_of_frame && descriptor.sid.unwrap_or(0) == 0;
        self.temporal_id = descriptor.tid;
        self.spatial_id = descriptor.sid;
        self.end_of_frame = descriptor.end_of_frame;
        self.switching_up = descriptor.switching_up || descriptor.is_keyframe;
    }

    fn describe_av1(&mut self, bytes: &[u8], payload: &[u8], templates: Option<&TemplateLayers>) {
        let dependency = self.dependency_bytes(bytes);
        self.keyframe = codec::is_keyframe_start(Codec::Av1, payload, dependency);
        if let Some(descriptor) = dependency.and_then(codec::av1::parse) {
            self.descriptor = Descriptor::Av1;
            self.picture = Picture { id: Some(descriptor.frame_number), tl0: None };
            self.start_of_picture = descriptor.start_of_frame;
            self.end_of_frame = descriptor.end_of_frame;
            if let Some(layer) = templates.and_then(|templates| templates.layer(descriptor.template_id)) {
                self.temporal_id = Some(layer.temporal);
                self.spatial_id = Some(layer.spatial);
                self.switching_up = layer.switching_up || self.keyframe;
                self.start_of_picture &= layer.spatial == 0;
            }
        }
    }
}
