//! What a forwarder knows of one incoming packet: read once, used for every subscriber.

use crate::codec::{self, vp8, vp9};
use crate::egress::rewrite::Picture;
use crate::ids::{ExtSeqNo, PayloadType, RtpTime};
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

pub struct Packet<'a> {
    /// Index of its encoding in the track.
    pub stream: usize,
    pub ext_seq: ExtSeqNo,
    pub in_order: bool,
    pub marker: bool,
    pub payload_type: PayloadType,
    pub codec: Codec,
    pub timestamp: RtpTime,
    pub payload: &'a [u8],
    /// By position in [`PASSED_ON`].
    values: [Option<&'a [u8]>; PASSED_ON.len()],
    pub descriptor: Descriptor,
    pub picture: Picture,
    /// A decoder can start here.
    pub keyframe: bool,
    pub start_of_picture: bool,
    pub temporal_id: Option<u8>,
    /// A subscriber may step up to this temporal layer here.
    pub switching_up: bool,
}

impl<'a> Packet<'a> {
    /// `None` when the payload type is not one of the track's.
    pub fn new(track: &Track, stream: usize, ext_seq: ExtSeqNo, in_order: bool, rtp: &RtpPacket<'a>) -> Option<Self> {
        let codec = track.codec(rtp.payload_type())?.codec;
        let mut values = [None; PASSED_ON.len()];
        for (id, value) in rtp.extensions() {
            let Some(extension) = track.extension(id) else { continue };
            if let Some(position) = PASSED_ON.iter().position(|e| *e == extension) {
                values[position] = Some(value);
            }
        }
        let mut packet = Self {
            stream,
            ext_seq,
            in_order,
            marker: rtp.marker(),
            payload_type: rtp.payload_type(),
            codec,
            timestamp: rtp.timestamp(),
            payload: rtp.payload(),
            values,
            descriptor: Descriptor::None,
            picture: Picture::default(),
            keyframe: false,
            start_of_picture: false,
            temporal_id: None,
            switching_up: false,
        };
        packet.describe();
        Some(packet)
    }

    /// The extension elements that are passed on.
    pub fn extensions(&self) -> impl Iterator<Item = (HeaderExtension, &'a [u8])> {
        PASSED_ON.into_iter().zip(self.values).filter_map(|(extension, value)| Some((extension, value?)))
    }

    pub fn extension(&self, wanted: HeaderExtension) -> Option<&'a [u8]> {
        self.extensions().find(|(extension, _)| *extension == wanted).map(|(_, value)| value)
    }

    fn describe(&mut self) {
        match self.codec {
            Codec::Opus | Codec::Red => {}
            Codec::Vp8 => self.describe_vp8(),
            Codec::Vp9 => self.describe_vp9(),
            Codec::H264 => self.keyframe = codec::is_keyframe_start(Codec::H264, self.payload, None),
            Codec::Av1 => self.describe_av1(),
        }
    }

    fn describe_vp8(&mut self) {
        let Some(descriptor) = vp8::parse(self.payload) else { return };
        self.descriptor = Descriptor::Vp8(descriptor);
        self.picture = Picture { id: descriptor.picture_id.map(|(id, _)| id), tl0: descriptor.tl0_pic_idx };
        self.keyframe = descriptor.is_keyframe;
        self.start_of_picture = descriptor.start_of_frame;
        self.temporal_id = descriptor.tid;
        self.switching_up = descriptor.layer_sync || descriptor.is_keyframe;
    }

    fn describe_vp9(&mut self) {
        let Some(descriptor) = vp9::parse(self.payload) else { return };
        self.descriptor = Descriptor::Vp9(descriptor);
        self.picture = Picture { id: descriptor.picture_id.map(|(id, _)| id), tl0: descriptor.tl0_pic_idx };
        self.keyframe = descriptor.is_keyframe;
        self.start_of_picture = descriptor.start_of_frame && descriptor.sid.unwrap_or(0) == 0;
        self.temporal_id = descriptor.tid;
        self.switching_up = descriptor.switching_up || descriptor.is_keyframe;
    }

    fn describe_av1(&mut self) {
        let dependency = self.extension(HeaderExtension::DependencyDescriptor);
        self.keyframe = codec::is_keyframe_start(Codec::Av1, self.payload, dependency);
        if let Some(descriptor) = dependency.and_then(codec::av1::parse) {
            self.descriptor = Descriptor::Av1;
            self.picture = Picture { id: Some(descriptor.frame_number), tl0: None };
            self.start_of_picture = descriptor.start_of_frame;
        }
    }
}
