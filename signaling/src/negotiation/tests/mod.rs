//! Properties of the negotiation, on descriptions that Chromium 156 and Firefox ESR 153 wrote.

mod answering;
mod hostile;
mod offering;
mod payload_mapping;

use super::*;
use consilium_media_core::params::FingerprintHash;

pub(super) const CHROMIUM_INITIAL: &str = include_str!("sdp/chromium_initial.sdp");
/// The offer before [`CHROMIUM_PUBLISH`], on the same connection.
pub(super) const CHROMIUM_BEFORE_PUBLISH: &str = include_str!("sdp/chromium_before_publish.sdp");
pub(super) const CHROMIUM_PUBLISH: &str = include_str!("sdp/chromium_publish.sdp");
pub(super) const CHROMIUM_PUBLISH_SINGLE: &str = include_str!("sdp/chromium_publish_single.sdp");
pub(super) const CHROMIUM_VP9: &str = include_str!("sdp/chromium_publish_vp9_svc.sdp");
pub(super) const CHROMIUM_AV1: &str = include_str!("sdp/chromium_publish_av1_svc.sdp");
pub(super) const CHROMIUM_SENDRECV: &str = include_str!("sdp/chromium_sendrecv.sdp");
pub(super) const CHROMIUM_ANSWER: &str = include_str!("sdp/chromium_dual_add_answer.sdp");
pub(super) const FIREFOX_INITIAL: &str = include_str!("sdp/firefox_initial.sdp");
pub(super) const FIREFOX_BEFORE_PUBLISH: &str = include_str!("sdp/firefox_before_publish.sdp");
pub(super) const FIREFOX_PUBLISH: &str = include_str!("sdp/firefox_publish.sdp");
pub(super) const FIREFOX_PUBLISH_SINGLE: &str = include_str!("sdp/firefox_publish_single.sdp");
pub(super) const FIREFOX_VP9: &str = include_str!("sdp/firefox_publish_vp9_svc.sdp");
pub(super) const FIREFOX_AV1: &str = include_str!("sdp/firefox_publish_av1_svc.sdp");
pub(super) const FIREFOX_SENDRECV: &str = include_str!("sdp/firefox_sendrecv.sdp");
pub(super) const FIREFOX_ANSWER: &str = include_str!("sdp/firefox_dual_add_answer.sdp");

pub(super) const OFFERS: [&str; 14] = [
    CHROMIUM_INITIAL,
    CHROMIUM_BEFORE_PUBLISH,
    CHROMIUM_PUBLISH,
    CHROMIUM_PUBLISH_SINGLE,
    CHROMIUM_VP9,
    CHROMIUM_AV1,
    CHROMIUM_SENDRECV,
    FIREFOX_INITIAL,
    FIREFOX_BEFORE_PUBLISH,
    FIREFOX_PUBLISH,
    FIREFOX_PUBLISH_SINGLE,
    FIREFOX_VP9,
    FIREFOX_AV1,
    FIREFOX_SENDRECV,
];

pub(super) fn ice(ufrag: &str) -> IceCredentials {
    IceCredentials { ufrag: ufrag.to_owned(), pwd: "0123456789abcdefghijklmn".to_owned() }
}

pub(super) fn negotiation(role: Role) -> Negotiation {
    let candidates = vec![("192.0.2.1:7881".parse().unwrap(), 2_130_706_431)];
    let fingerprint = Fingerprint { hash: FingerprintHash::Sha256, bytes: (0..32).collect() };
    Negotiation::new(role, LocalTransport { ice: ice("server"), fingerprint, candidates })
}

/// An answerer that took `offer`, and its answer.
pub(super) fn answered(offer: &str) -> (Negotiation, Answer) {
    let mut negotiation = negotiation(Role::Answerer);
    negotiation.handle_offer(offer).unwrap();
    let answer = negotiation.create_answer();
    (negotiation, answer)
}

pub(super) fn exchange(negotiation: &mut Negotiation, offer: &str) -> Answer {
    negotiation.handle_offer(offer).unwrap();
    negotiation.create_answer()
}

/// What a browser that publishes negotiated.
pub(super) fn published(offer: &str, kind: MediaKind) -> PublishedCodecs {
    let (negotiation, _) = answered(offer);
    negotiation.incoming().into_iter().find(|incoming| incoming.kind == kind).unwrap().published
}

pub(super) fn outgoing(id: u32, kind: MediaKind, publisher: &[PublishedCodec]) -> Outgoing {
    Outgoing {
        subscription: SubscriptionId::new(u64::from(id)),
        kind,
        track_sid: format!("TR_{id}"),
        stream_id: "PA_x|camera".to_owned(),
        cname: "cname".to_owned(),
        publisher: publisher.to_vec(),
        ssrc: Ssrc::new(1_000 + 2 * id),
        rtx_ssrc: Ssrc::new(1_001 + 2 * id),
    }
}

/// The lines of the section with this mid.
pub(super) fn section<'a>(sdp: &'a str, mid: &str) -> Vec<&'a str> {
    let line = format!("a=mid:{mid}");
    let mut sections: Vec<Vec<&str>> = Vec::new();
    for text in sdp.lines() {
        if text.starts_with("m=") {
            sections.push(Vec::new());
        }
        if let Some(section) = sections.last_mut() {
            section.push(text);
        }
    }
    sections.into_iter().find(|section| section.contains(&line.as_str())).unwrap_or_default()
}

pub(super) fn mids(sdp: &str) -> Vec<&str> {
    sdp.lines().filter_map(|line| line.strip_prefix("a=mid:")).collect()
}
