//! One published track: what its publisher announced, and what the description said of it.

use super::backup::Backup;
use super::dynacast::Demand;
use super::limits;
use super::participant::Asked;
use crate::negotiation::{Incoming, PublishedCodecs};
use consilium_media_core::ids::{Mid, TrackId};
use consilium_media_core::params::{Codec, Content, LayerLimit, MediaKind};
use livekit_protocol::{
    AddTrackRequest, AudioTrackFeature, SimulcastCodecInfo, TimedVersion, TrackInfo, TrackSource, TrackType,
    VideoLayer, VideoQuality,
};

/// RIDs of the SDKs, by quality.
const RIDS: [&str; 3] = ["q", "h", "f"];

pub(super) struct Track {
    pub(super) id: TrackId,
    /// The client's name for it; equal to the track id in its description for most SDKs.
    pub(super) cid: String,
    pub(super) kind: MediaKind,
    pub(super) info: TrackInfo,
    /// `None` while it is announced only: no description has carried it yet.
    pub(super) section: Option<Section>,
    pub(super) demand: Demand,
    /// Further codecs.
    pub(super) backups: Vec<Backup>,
    /// The backup that everybody receives who can.
    pub(super) regressed: Option<TrackId>,
    /// The publisher was told that somebody receives it.
    pub(super) subscribed: bool,
}

/// Where and how the media core receives the track.
pub(super) struct Section {
    pub(super) mid: Mid,
    pub(super) published: PublishedCodecs,
}

impl Track {
    /// `None` when the announcement breaks a limit or is neither audio nor video.
    #[allow(deprecated, reason = "older SDKs read the deprecated fields, so they are filled")]
    pub(super) fn announced(
        id: TrackId,
        sid: String,
        request: AddTrackRequest,
        backups: Vec<Backup>,
        unix_ms: i64,
    ) -> Option<Self> {
        let kind = match request.r#type() {
            TrackType::Audio => MediaKind::Audio,
            TrackType::Video => MediaKind::Video,
            TrackType::Data => return None,
        };
        if !within_limits(&request) {
            return None;
        }
        let source = request.source();
        let features = audio_features(&request);
        let has = |feature: AudioTrackFeature| features.contains(&feature.into());
        let layers = ranked(request.layers.clone());
        let info = TrackInfo {
            sid,
            r#type: request.r#type,
            muted: request.muted,
            width: request.width,
            height: request.height,
            simulcast: layers.len() > 1,
            disable_dtx: has(AudioTrackFeature::TfNoDtx),
            source: request.source,
            codecs: codecs(&request, &layers),
            mime_type: String::new(),
            mid: String::new(),
            stereo: has(AudioTrackFeature::TfStereo),
            disable_red: request.disable_red,
            encryption: request.encryption,
            stream: if request.stream.is_empty() { stream_of(source).to_owned() } else { request.stream },
            version: Some(TimedVersion { unix_micro: unix_ms.saturating_mul(1_000), ticks: 0 }),
            audio_features: features,
            backup_codec_policy: request.backup_codec_policy,
            packet_trailer_features: request.packet_trailer_features,
            name: request.name,
            layers,
        };
        Some(Self {
            id,
            cid: request.cid,
            kind,
            info,
            section: None,
            demand: Demand::default(),
            backups,
            regressed: None,
            subscribed: false,
        })
    }

    /// How it yields to a narrow path.
    pub(super) fn content(&self) -> Content {
        match self.info.source() {
            TrackSource::ScreenShare => Content::Detail,
            _ => Content::Motion,
        }
    }

    /// Whether a section with this track id in its description is meant to carry the track.
    pub(super) fn answers_to(&self, track_id: &str) -> bool {
        self.cid == track_id || self.info.codecs.first().is_some_and(|codec| codec.cid == track_id)
    }

    /// The description carries the track now.
    #[allow(deprecated, reason = "older SDKs read the deprecated fields, so they are filled")]
    pub(super) fn bind(&mut self, incoming: &Incoming) {
        let mime_type = incoming.codecs.first().map(|parameters| mime_type(parameters.codec)).unwrap_or_default();
        self.info.mid = incoming.mid.as_str().to_owned();
        self.info.mime_type = mime_type.to_owned();
        self.info.simulcast = incoming.encodings.len() > 1;
        if let Some(codec) = self.info.codecs.first_mut() {
            codec.mime_type = mime_type.to_owned();
            codec.mid = incoming.mid.as_str().to_owned();
            codec.sdp_cid = incoming.track_id.clone().filter(|id| *id != codec.cid).unwrap_or_default();
        }
        self.section = Some(Section { mid: incoming.mid, published: incoming.published.clone() });
        self.touch();
    }

    /// Tells receivers apart which of two descriptions of the track is newer.
    pub(super) fn touch(&mut self) {
        if let Some(version) = &mut self.info.version {
            version.ticks = version.ticks.wrapping_add(1);
        }
    }

    /// The highest layer of a source that a receiver wants who asked for a quality, or for a picture of a size.
    pub(super) fn limit_for(&self, source: TrackId, asked: Asked) -> LayerLimit {
        let Asked { quality, width, height } = asked;
        if self.kind == MediaKind::Audio {
            return LayerLimit::ALL;
        }
        if width == 0 || height == 0 {
            return match quality {
                VideoQuality::Low | VideoQuality::Off => LayerLimit::LEAST,
                VideoQuality::Medium => LayerLimit { spatial: 1, ..LayerLimit::ALL },
                VideoQuality::High => LayerLimit::ALL,
            };
        }
        // The shorter sides are compared, so that a telephone held upright counts like a camera.
        let wanted = width.min(height);
        let layers = self.layers_of(source);
        match layers.iter().position(|layer| layer.width.min(layer.height) >= wanted) {
            Some(rank) if rank + 1 < layers.len() => LayerLimit { spatial: rank as u8, ..LayerLimit::ALL },
            _ => LayerLimit::ALL,
        }
    }
}

pub(super) fn within_limits(request: &AddTrackRequest) -> bool {
    let text = [&request.cid, &request.name, &request.stream];
    !request.cid.is_empty()
        && text.into_iter().all(|text| text.len() <= limits::TRACK_TEXT_LEN_MAX)
        && request.layers.len() <= limits::LAYERS_PER_CODEC_MAX
        && request.audio_features.len() <= limits::FEATURES_PER_TRACK_MAX
        && request.packet_trailer_features.len() <= limits::FEATURES_PER_TRACK_MAX
        && request.simulcast_codecs.len() <= limits::CODECS_PER_TRACK_MAX
        && request.simulcast_codecs.iter().all(|codec| {
            codec.cid.len() <= limits::TRACK_TEXT_LEN_MAX
                && codec.codec.len() <= limits::TRACK_TEXT_LEN_MAX
                && codec.layers.len() <= limits::LAYERS_PER_CODEC_MAX
        })
}

/// The features, with what older SDKs say in flags of their own.
#[allow(deprecated, reason = "older SDKs set the flags")]
fn audio_features(request: &AddTrackRequest) -> Vec<i32> {
    let mut features = request.audio_features.clone();
    let flags = [(request.disable_dtx, AudioTrackFeature::TfNoDtx), (request.stereo, AudioTrackFeature::TfStereo)];
    for (_, feature) in flags.into_iter().filter(|(set, _)| *set) {
        if request.r#type() == TrackType::Audio && !features.contains(&feature.into()) {
            features.push(feature.into());
        }
    }
    features
}

/// Lowest quality first, each with its rank and RID.
pub(super) fn ranked(mut layers: Vec<VideoLayer>) -> Vec<VideoLayer> {
    layers.sort_by_key(|layer| layer.quality);
    let count = layers.len();
    for (rank, layer) in layers.iter_mut().enumerate() {
        layer.spatial_layer = rank as i32;
        if layer.rid.is_empty() && count > 1 {
            layer.rid = RIDS.get(rank).copied().unwrap_or_default().to_owned();
        }
    }
    layers
}

fn codecs(request: &AddTrackRequest, layers: &[VideoLayer]) -> Vec<SimulcastCodecInfo> {
    // A backup codec has no cid before the client publishes it, and is announced anew then.
    let listed =
        request.simulcast_codecs.iter().filter(|codec| !codec.cid.is_empty()).map(|codec| SimulcastCodecInfo {
            mime_type: mime_type_of_name(&codec.codec),
            cid: codec.cid.clone(),
            layers: if codec.layers.is_empty() { layers.to_vec() } else { ranked(codec.layers.clone()) },
            video_layer_mode: codec.video_layer_mode,
            ..Default::default()
        });
    let mut codecs: Vec<_> = listed.collect();
    if codecs.is_empty() {
        codecs.push(SimulcastCodecInfo { cid: request.cid.clone(), layers: layers.to_vec(), ..Default::default() });
    }
    codecs
}

/// The stream that groups tracks which belong together where the client names none.
fn stream_of(source: TrackSource) -> &'static str {
    match source {
        TrackSource::ScreenShare | TrackSource::ScreenShareAudio => "screen_share",
        TrackSource::Camera | TrackSource::Microphone | TrackSource::Unknown => "camera",
    }
}

pub(super) fn mime_type(codec: Codec) -> &'static str {
    match codec {
        Codec::Opus => "audio/opus",
        Codec::Red => "audio/red",
        Codec::Vp8 => "video/VP8",
        Codec::Vp9 => "video/VP9",
        Codec::H264 => "video/H264",
        Codec::Av1 => "video/AV1",
    }
}

/// The codec that the client will send first, where it names one.
pub(super) fn announced_codec(request: &AddTrackRequest) -> Option<Codec> {
    request.simulcast_codecs.first().and_then(|codec| codec_of_name(&codec.codec))
}

fn mime_type_of_name(name: &str) -> String {
    codec_of_name(name).map(mime_type).unwrap_or_default().to_owned()
}

pub(super) fn codec_of_name(name: &str) -> Option<Codec> {
    let known = [Codec::Opus, Codec::Red, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];
    let name = name.rsplit('/').next().unwrap_or_default();
    known.into_iter().find(|&codec| mime_type(codec).rsplit('/').next().is_some_and(|s| s.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simulcast() -> Track {
        let layer = |quality: VideoQuality, width, height| VideoLayer {
            quality: quality.into(),
            width,
            height,
            ..Default::default()
        };
        let request = AddTrackRequest {
            cid: "camera-1".into(),
            r#type: TrackType::Video.into(),
            source: TrackSource::Camera.into(),
            layers: vec![
                layer(VideoQuality::High, 1280, 720),
                layer(VideoQuality::Low, 320, 180),
                layer(VideoQuality::Medium, 640, 360),
            ],
            ..Default::default()
        };
        Track::announced(TrackId::new(1), "TR_x".into(), request, Vec::new(), 0).unwrap()
    }

    fn asked(track: &Track, quality: VideoQuality, width: u32, height: u32) -> LayerLimit {
        track.limit_for(track.id, Asked { quality, width, height })
    }

    #[test]
    fn a_size_asks_for_the_lowest_layer_that_fills_it() {
        let track = simulcast();
        let spatial = |width, height| asked(&track, VideoQuality::Low, width, height).spatial;
        assert_eq!(spatial(300, 160), 0);
        assert_eq!(spatial(320, 180), 0);
        assert_eq!(spatial(640, 300), 1);
        assert_eq!(spatial(360, 640), 1);
        assert_eq!(spatial(1280, 720), u8::MAX);
        assert_eq!(spatial(4000, 3000), u8::MAX);
    }

    #[test]
    fn a_quality_asks_for_its_layer() {
        let track = simulcast();
        assert_eq!(asked(&track, VideoQuality::Low, 0, 0).spatial, 0);
        assert_eq!(asked(&track, VideoQuality::Medium, 0, 0).spatial, 1);
        assert_eq!(asked(&track, VideoQuality::High, 0, 0).spatial, u8::MAX);
    }

    #[test]
    fn layers_are_told_lowest_first_with_their_rids() {
        let track = simulcast();
        let codec = &track.info.codecs[0];
        assert_eq!(codec.layers.iter().map(|layer| layer.rid.as_str()).collect::<Vec<_>>(), ["q", "h", "f"]);
        assert_eq!(codec.layers.iter().map(|layer| layer.height).collect::<Vec<_>>(), [180, 360, 720]);
    }

    #[test]
    fn an_announcement_over_a_limit_is_no_track() {
        let request = |cid: &str| AddTrackRequest { cid: cid.into(), ..Default::default() };
        let announced = |request| Track::announced(TrackId::new(1), "TR_x".into(), request, Vec::new(), 0);
        assert!(announced(request("a")).is_some());
        assert!(announced(request("")).is_none());
        assert!(announced(request(&"x".repeat(limits::TRACK_TEXT_LEN_MAX + 1))).is_none());
        assert!(announced(AddTrackRequest { layers: vec![VideoLayer::default(); 9], ..request("a") }).is_none());
        assert!(announced(AddTrackRequest { r#type: TrackType::Data.into(), ..request("a") }).is_none());
    }
}
