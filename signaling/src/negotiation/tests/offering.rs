//! The offering role.

use super::*;
use consilium_media_core::params::HeaderExtension;

/// The offerer that the recorded answers were given to: data, then one audio and one video track.
fn offered_two() -> (Negotiation, String) {
    let mut negotiation = negotiation(Role::Offerer);
    negotiation.add_outgoing(outgoing(1, MediaKind::Audio, &published(CHROMIUM_PUBLISH_SINGLE, MediaKind::Audio)));
    negotiation.add_outgoing(outgoing(2, MediaKind::Video, &published(CHROMIUM_PUBLISH_SINGLE, MediaKind::Video)));
    assert!(negotiation.needs_offer());
    let offer = negotiation.create_offer();
    (negotiation, offer)
}

/// An answer of Chromium that stops its section 2.
fn stopping_video() -> String {
    let (head, video) = CHROMIUM_ANSWER.split_once("m=video 9").unwrap();
    format!("{head}m=video 0{video}").replacen("BUNDLE 0 1 2", "BUNDLE 0 1", 1)
}

#[test]
fn the_first_offer_is_due_even_with_nothing_to_send() {
    let mut negotiation = negotiation(Role::Offerer);
    assert!(negotiation.needs_offer());
    let offer = negotiation.create_offer();
    assert_eq!(mids(&offer), ["0"]);
    assert!(offer.contains("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
    assert!(offer.contains("a=setup:actpass\r\n") && offer.contains("a=ice-lite\r\n"));
    assert!(!negotiation.needs_offer(), "one at a time");
}

#[test]
fn an_offer_reads_back_as_it_was_meant() {
    let (_, offer) = offered_two();
    let parsed = description::parse(&offer).unwrap();
    let codecs: Vec<usize> = parsed.sections.iter().map(|section| section.codecs.len()).collect();
    assert_eq!(codecs, [0, codecs::own(MediaKind::Audio).len(), codecs::own(MediaKind::Video).len()]);
    let mut own = codecs::own(MediaKind::Video);
    // Offered for receivers that know nothing else; whoever reads both takes the other.
    own.iter_mut().for_each(|codec| codec.feedback.retain(|feedback| *feedback != codecs::Feedback::Remb));
    assert_eq!(parsed.sections[2].codecs, own);
    assert_eq!(parsed.sections[1].track_id.as_deref(), Some("TR_1"));
}

#[test]
fn both_browsers_answers_place_the_tracks() {
    for answer in [CHROMIUM_ANSWER, FIREFOX_ANSWER] {
        let (mut negotiation, _) = offered_two();
        assert!(negotiation.placed().is_empty(), "not before the answer");
        negotiation.handle_answer(answer).unwrap();
        assert!(!negotiation.needs_offer());
        assert_eq!(negotiation.remote().unwrap().dtls_role, DtlsRole::Server);
        assert!(negotiation.has_data_channel());
        let placed = negotiation.placed();
        let mids: Vec<&str> = placed.iter().map(|placed| placed.send.mid.as_str()).collect();
        assert_eq!(mids, ["1", "2"]);
        assert!(placed.iter().all(|placed| !placed.send.payloads.is_empty()));
        assert!(placed[0].send.extensions.iter().any(|e| (e.id, e.extension) == (1, HeaderExtension::Mid)));
        assert_eq!(negotiation.mid_to_track_id().get("2").map(String::as_str), Some("TR_2"));
    }
}

#[test]
fn a_removed_track_leaves_its_line_for_a_new_section_of_its_kind() {
    let (mut negotiation, _) = offered_two();
    negotiation.handle_answer(CHROMIUM_ANSWER).unwrap();
    negotiation.remove_outgoing(SubscriptionId::new(2));
    assert!(negotiation.needs_offer());
    let offer = negotiation.create_offer();
    assert!(section(&offer, "2")[0].starts_with("m=video 0 "));
    assert!(offer.contains("a=group:BUNDLE 0 1\r\n"));
    let video = published(CHROMIUM_PUBLISH_SINGLE, MediaKind::Video);
    negotiation.add_outgoing(outgoing(3, MediaKind::Video, &video));
    assert!(!negotiation.needs_offer(), "the offer is out");
    negotiation.handle_answer(&stopping_video()).unwrap();
    assert!(negotiation.needs_offer());
    assert_eq!(negotiation.placed().len(), 1);
    let offer = negotiation.create_offer();
    assert_eq!(mids(&offer), ["0", "1", "3"], "a section's name is never given again");
    assert!(section(&offer, "3").contains(&"a=msid:PA_x|camera TR_3"));
    assert!(offer.contains("a=group:BUNDLE 0 1 3\r\n"));
    negotiation
        .handle_answer(&CHROMIUM_ANSWER.replace("a=mid:2", "a=mid:3").replace("BUNDLE 0 1 2", "BUNDLE 0 1 3"))
        .unwrap();
    assert_eq!(negotiation.placed().len(), 2);
}

#[test]
fn a_stopped_line_waits_for_its_kind() {
    let (mut negotiation, _) = offered_two();
    let audio = published(CHROMIUM_PUBLISH_SINGLE, MediaKind::Audio);
    negotiation.handle_answer(CHROMIUM_ANSWER).unwrap();
    negotiation.remove_outgoing(SubscriptionId::new(2));
    negotiation.create_offer();
    negotiation.handle_answer(&stopping_video()).unwrap();
    negotiation.add_outgoing(outgoing(3, MediaKind::Audio, &audio));
    let offer = negotiation.create_offer();
    assert_eq!(mids(&offer), ["0", "1", "2", "3"]);
    assert!(section(&offer, "2")[0].starts_with("m=video 0 "));
}

#[test]
fn a_track_that_is_removed_while_its_offer_is_out_is_stopped_next() {
    let (mut negotiation, _) = offered_two();
    negotiation.remove_outgoing(SubscriptionId::new(2));
    negotiation.handle_answer(CHROMIUM_ANSWER).unwrap();
    assert_eq!(negotiation.placed().len(), 1);
    assert!(negotiation.needs_offer());
    assert!(section(&negotiation.create_offer(), "2")[0].starts_with("m=video 0 "));
}

#[test]
fn a_rejected_track_is_not_offered_for_ever() {
    let (mut negotiation, _) = offered_two();
    negotiation.handle_answer(&stopping_video()).unwrap();
    assert!(!negotiation.needs_offer());
    assert_eq!(negotiation.placed().len(), 1);
    let video = published(CHROMIUM_PUBLISH_SINGLE, MediaKind::Video);
    negotiation.add_outgoing(outgoing(3, MediaKind::Video, &video));
    let offer = negotiation.create_offer();
    assert_eq!(mids(&offer), ["0", "1", "2", "3"], "a rejected section is not used again");
    assert!(section(&offer, "2")[0].starts_with("m=video 0 "));
    assert!(offer.contains("a=group:BUNDLE 0 1 3\r\n"));
}

#[test]
fn new_local_credentials_make_an_offer_due() {
    let (mut negotiation, _) = offered_two();
    negotiation.set_local_ice(ice("fresh"));
    assert!(!negotiation.needs_offer());
    negotiation.handle_answer(CHROMIUM_ANSWER).unwrap();
    assert!(negotiation.needs_offer(), "the answer was to the offer before");
    assert!(negotiation.create_offer().contains("a=ice-ufrag:fresh\r\n"));
}

#[test]
fn an_answer_is_taken_only_for_an_offer_that_it_fits() {
    let mut idle = negotiation(Role::Offerer);
    assert_eq!(idle.handle_answer(CHROMIUM_ANSWER).unwrap_err(), NegotiationError::WrongState);
    assert_eq!(idle.handle_offer(CHROMIUM_INITIAL).unwrap_err(), NegotiationError::WrongState);
    idle.create_offer();
    assert_eq!(idle.handle_answer(CHROMIUM_ANSWER).unwrap_err(), NegotiationError::SectionsReordered);
    let (mut two, _) = offered_two();
    let undecided = CHROMIUM_ANSWER.replace("setup:active", "setup:actpass");
    assert_eq!(two.handle_answer(&undecided).unwrap_err(), NegotiationError::InvalidSetup);
    two.handle_answer(CHROMIUM_ANSWER).unwrap();
    assert_eq!(two.handle_answer(CHROMIUM_ANSWER).unwrap_err(), NegotiationError::WrongState);
}

#[test]
fn stereo_is_announced_where_the_publisher_sends_it() {
    let (mut publisher, _) = answered(CHROMIUM_PUBLISH_SINGLE);
    let track = publisher.incoming()[0].track_id.clone().unwrap();
    publisher.set_audio_preferences(&track, AudioPreferences { stereo: true, ..AudioPreferences::default() });
    let mut subscriber = negotiation(Role::Offerer);
    subscriber.add_outgoing(outgoing(1, MediaKind::Audio, &publisher.incoming()[0].published));
    assert!(subscriber.create_offer().contains("sprop-stereo=1"));
}

#[test]
fn a_connection_has_a_bounded_number_of_sections() {
    let mut negotiation = negotiation(Role::Offerer);
    let audio = published(CHROMIUM_PUBLISH_SINGLE, MediaKind::Audio);
    for id in 0..u32::try_from(bounds::SECTIONS_MAX).unwrap() + 10 {
        negotiation.add_outgoing(outgoing(id, MediaKind::Audio, &audio));
    }
    assert_eq!(mids(&negotiation.create_offer()).len(), bounds::SECTIONS_MAX);
}
