//! What a member publishes: sections of its offer, requests to the server, and streams for the engine.

use super::description::{self, Kind, RemoteSection, Section, Sending};
use super::{PublishPlan, Ticket};
use crate::load::seam::{OutgoingStream, StreamKind};
use crate::random::Random;
use consilium_media_core::ids::Ssrc;
use livekit_protocol::{AddTrackRequest, TrackSource, TrackType, VideoLayer, VideoQuality};

/// What the member sends: a section and a request for each track.
pub(super) fn own_sections(ticket: &Ticket, random: &mut Random) -> (Vec<Section>, Vec<AddTrackRequest>) {
    let mut sections = Vec::new();
    let mut add_tracks = Vec::new();
    for (index, plan) in ticket.publish.iter().enumerate() {
        let cid = format!("track-{index}-{}", random.letters(8));
        let mut add_track = AddTrackRequest { cid: cid.clone(), name: format!("track-{index}"), ..Default::default() };
        let (kind, layers) = match *plan {
            PublishPlan::Audio => {
                add_track.r#type = TrackType::Audio as i32;
                add_track.source = TrackSource::Microphone as i32;
                add_track.disable_red = true;
                (Kind::Audio, 1)
            }
            PublishPlan::Video { layers, width, height } => {
                add_track.r#type = TrackType::Video as i32;
                add_track.source = TrackSource::Camera as i32;
                (add_track.width, add_track.height) = (width, height);
                add_track.layers = video_layers(layers, width, height);
                (Kind::Video, usize::from(layers.clamp(1, 3)))
            }
        };
        let ssrcs = std::iter::repeat_with(|| Ssrc::new(random.next_u64() as u32)).take(layers).collect();
        sections.push(Section { kind, send: Some(Sending { cid, ssrcs }) });
        add_tracks.push(add_track);
    }
    (sections, add_tracks)
}

fn video_layers(layers: u8, width: u32, height: u32) -> Vec<VideoLayer> {
    let layers = layers.clamp(1, 3);
    let layer = |index: u8| {
        let shift = layers - 1 - index;
        VideoLayer {
            quality: if layers == 1 { VideoQuality::High as i32 } else { i32::from(index) },
            width: width >> shift,
            height: height >> shift,
            ..Default::default()
        }
    };
    (0..layers).map(layer).collect()
}

pub(super) fn outgoing(index: usize, kind: Kind, sending: &Sending, answered: &RemoteSection) -> Vec<OutgoingStream> {
    let simulcast = sending.ssrcs.len() > 1;
    let stream = |(layer, &ssrc): (usize, &Ssrc)| {
        Some(OutgoingStream {
            kind: match kind {
                Kind::Audio => StreamKind::Audio,
                Kind::Video => StreamKind::Video,
            },
            layer: layer as u8,
            ssrc,
            payload_type: description::payload_type(kind)?,
            mid: description::mid(index)?,
            rid: if simulcast { description::rid(layer) } else { None },
            mid_extension: answered.mid_extension,
            rid_extension: answered.rid_extension.filter(|_| simulcast),
            transport_cc_extension: answered.transport_cc_extension,
            audio_level_extension: answered.audio_level_extension,
        })
    };
    sending.ssrcs.iter().enumerate().filter_map(stream).collect()
}
