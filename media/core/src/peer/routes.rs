//! Which of a peer's SSRCs belongs to which encoding of which track.
//!
//! The description may say so; otherwise MID and RID in the first authenticated packets do (RFC 8843 section 9.2, RFC 8852).
//! What was learned outlives a renegotiation: browsers stop sending MID and RID once they know that they were received.

use crate::ids::{Mid, PayloadType, Rid, Ssrc};
use crate::limits::STREAMS_PER_PEER_MAX;
use crate::params::{HeaderExtension, ReceiveSection};
use crate::wire::ext;
use crate::wire::rtp::RtpPacket;
use crate::worker::keys::TrackKey;

/// Whether a stream carries media or repairs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    Media,
    /// RFC 4588.
    Retransmission,
}

/// Where a stream's packets go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    pub track: TrackKey,
    /// Index of the encoding in the track.
    pub stream: usize,
    pub purpose: Purpose,
}

/// What a stream said about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Origin {
    mid: Mid,
    rid: Option<Rid>,
    purpose: Purpose,
}

struct Route {
    ssrc: Ssrc,
    origin: Origin,
    target: Option<Target>,
}

struct Section {
    parameters: ReceiveSection,
    track: Option<TrackKey>,
}

#[derive(Default)]
pub struct Routes {
    sections: Vec<Section>,
    routes: Vec<Route>,
    /// Index of the route used last: packets come in runs.
    recent: usize,
}

/// What an unknown SSRC turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Learned {
    /// From here on its packets go there.
    Route(Target),
    /// It belongs to a section that carries no track yet.
    Unbound,
    Unknown,
    TooMany,
}

impl Routes {
    pub fn lookup(&mut self, ssrc: Ssrc) -> Option<Target> {
        if let Some(route) = self.routes.get(self.recent)
            && route.ssrc == ssrc
        {
            return route.target;
        }
        let index = self.routes.iter().position(|route| route.ssrc == ssrc)?;
        self.recent = index;
        self.routes[index].target
    }

    /// Replaces the negotiated sections, each with its track. `resolve` finds the encoding's index in a track, by its RID or
    /// its media SSRC.
    pub fn set_sections(
        &mut self,
        sections: Vec<(ReceiveSection, Option<TrackKey>)>,
        resolve: impl Fn(TrackKey, Option<Rid>, Option<Ssrc>) -> Option<usize>,
    ) {
        self.sections = sections.into_iter().map(|(parameters, track)| Section { parameters, track }).collect();
        let announced: Vec<(Ssrc, Origin)> = self.sections.iter().flat_map(|s| announced(&s.parameters)).collect();
        let sections = &self.sections;
        // A section that is gone, or whose announced SSRCs changed, takes its streams with it.
        self.routes.retain(|route| sections.iter().any(|s| s.parameters.mid == route.origin.mid));
        for (ssrc, origin) in announced {
            self.routes.retain(|route| route.ssrc != ssrc);
            if self.routes.len() < STREAMS_PER_PEER_MAX {
                self.routes.push(Route { ssrc, origin, target: None });
            }
        }
        for route in &mut self.routes {
            let section = sections.iter().find(|s| s.parameters.mid == route.origin.mid);
            let track = section.and_then(|s| s.track);
            let media_ssrc = match (section, route.origin.purpose) {
                (Some(s), Purpose::Retransmission) => repaired_ssrc(&s.parameters, route.ssrc),
                _ => Some(route.ssrc),
            };
            route.target = track.and_then(|track| {
                let stream = resolve(track, route.origin.rid, media_ssrc)?;
                Some(Target { track, stream, purpose: route.origin.purpose })
            });
        }
        self.recent = 0;
    }

    /// Finds out where an authenticated packet of an unknown SSRC belongs, and remembers it.
    pub fn learn(&mut self, rtp: &RtpPacket<'_>, resolve: impl Fn(TrackKey, Option<Rid>) -> Option<usize>) -> Learned {
        if self.routes.iter().any(|route| route.ssrc == rtp.ssrc()) {
            return Learned::Unbound;
        }
        let Some((section, origin)) = self.origin(rtp) else { return Learned::Unknown };
        if self.routes.len() >= STREAMS_PER_PEER_MAX {
            return Learned::TooMany;
        }
        let target = section
            .track
            .and_then(|track| Some(Target { track, stream: resolve(track, origin.rid)?, purpose: origin.purpose }));
        // An encoding has one SSRC at a time: the newest.
        if target.is_some() {
            self.routes.retain(|route| route.target != target);
        }
        self.routes.push(Route { ssrc: rtp.ssrc(), origin, target });
        target.map_or(Learned::Unbound, Learned::Route)
    }

    fn origin(&self, rtp: &RtpPacket<'_>) -> Option<(&Section, Origin)> {
        // BUNDLE makes extension ids the same in all sections (RFC 8843 section 9.2).
        let find = |wanted| {
            let known = self.sections.iter().flat_map(|s| &s.parameters.extensions);
            let id = known.clone().find(|e| e.extension == wanted)?.id;
            rtp.extension(id)
        };
        let mid = find(HeaderExtension::Mid).and_then(ext::mid);
        let section = match mid {
            Some(mid) => self.sections.iter().find(|s| s.parameters.mid == mid)?,
            None => self.only_section_with(rtp.payload_type())?,
        };
        let repaired = find(HeaderExtension::RepairedRtpStreamId).and_then(ext::rid);
        let rid = find(HeaderExtension::RtpStreamId).and_then(ext::rid);
        let purpose =
            if is_rtx(&section.parameters, rtp.payload_type()) { Purpose::Retransmission } else { Purpose::Media };
        let rid = if purpose == Purpose::Retransmission { repaired.or(rid) } else { rid };
        Some((section, Origin { mid: section.parameters.mid, rid, purpose }))
    }

    /// Without MID, a payload type that only one section negotiated tells the section.
    fn only_section_with(&self, payload_type: PayloadType) -> Option<&Section> {
        let has = |s: &&Section| {
            let mut codecs = s.parameters.codecs.iter();
            codecs.any(|c| c.payload_type == payload_type || c.rtx == Some(payload_type))
        };
        let mut found = self.sections.iter().filter(has);
        let section = found.next()?;
        found.next().is_none().then_some(section)
    }

    /// The id under which the peer sends an extension, in any section.
    pub fn extension_id(&self, wanted: HeaderExtension) -> Option<u8> {
        let known = self.sections.iter().flat_map(|s| &s.parameters.extensions);
        known.clone().find(|e| e.extension == wanted).map(|e| e.id)
    }
}

fn is_rtx(section: &ReceiveSection, payload_type: PayloadType) -> bool {
    section.codecs.iter().any(|codec| codec.rtx == Some(payload_type))
}

fn announced(section: &ReceiveSection) -> impl Iterator<Item = (Ssrc, Origin)> + '_ {
    section.encodings.iter().flat_map(|encoding| {
        let origin = |purpose| Origin { mid: section.mid, rid: encoding.rid, purpose };
        let media = encoding.ssrc.map(|ssrc| (ssrc, origin(Purpose::Media)));
        let repair = encoding.rtx_ssrc.map(|ssrc| (ssrc, origin(Purpose::Retransmission)));
        media.into_iter().chain(repair)
    })
}

/// The media SSRC that an announced retransmission SSRC repairs.
fn repaired_ssrc(section: &ReceiveSection, rtx: Ssrc) -> Option<Ssrc> {
    section.encodings.iter().find(|e| e.rtx_ssrc == Some(rtx)).and_then(|e| e.ssrc)
}
