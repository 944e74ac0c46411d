//! The answering role.

use super::*;
use consilium_media_core::params::HeaderExtension;

const TRANSPORT_CC: &str = "draft-holmer-rmcat-transport-wide-cc-extensions-01";

#[test]
fn every_answer_keeps_the_order_of_sections_and_the_transport() {
    for offer in OFFERS {
        let (_, answer) = answered(offer);
        assert_eq!(mids(&answer.sdp), mids(offer));
        assert!(answer.sdp.contains("a=ice-lite\r\n"));
        assert_eq!(answer.sdp.matches("typ host").count(), 1, "candidates stand in the first bundled section only");
        let bundle = |sdp: &str| sdp.lines().find(|line| line.starts_with("a=group:BUNDLE")).map(str::to_owned);
        assert_eq!(bundle(&answer.sdp), bundle(offer));
        for mid in mids(&answer.sdp) {
            let lines = section(&answer.sdp, mid);
            assert!(lines.contains(&"a=setup:passive"), "{mid}");
            assert!(lines.contains(&"a=ice-ufrag:server"), "{mid}");
        }
    }
}

#[test]
fn every_answer_is_itself_well_formed() {
    for offer in OFFERS {
        let (_, answer) = answered(offer);
        let parsed = description::parse(&answer.sdp).unwrap();
        assert_eq!(parsed.transport.ice, ice("server"));
        assert_eq!(parsed.sections.len(), mids(offer).len());
    }
}

#[test]
fn spare_sections_are_inactive_until_a_track_needs_them() {
    for offer in [CHROMIUM_INITIAL, FIREFOX_INITIAL] {
        let (negotiation, answer) = answered(offer);
        assert_eq!(answer.sdp.matches("a=inactive\r\n").count(), 6);
        assert!(negotiation.incoming().is_empty());
        assert!(negotiation.has_data_channel());
        assert_eq!(negotiation.missing_sections(), (0, 0));
        assert!(!negotiation.needs_offer());
    }
}

/// Browsers do not offer again what the first answer left out.
#[test]
fn the_first_answer_accepts_stream_ids_and_transport_cc_on_spare_video_sections() {
    let (_, answer) = answered(CHROMIUM_INITIAL);
    for mid in ["3", "4", "5"] {
        let text = section(&answer.sdp, mid).join("\n");
        for uri in ["sdes:mid", "sdes:rtp-stream-id", "sdes:repaired-rtp-stream-id", TRANSPORT_CC] {
            assert!(text.contains(uri), "{uri} in section {mid}");
        }
    }
}

#[test]
fn a_simulcast_publisher_has_three_layers_by_stream_id() {
    for (before, offer) in [(CHROMIUM_BEFORE_PUBLISH, CHROMIUM_PUBLISH), (FIREFOX_BEFORE_PUBLISH, FIREFOX_PUBLISH)] {
        let (mut negotiation, _) = answered(before);
        let answer = exchange(&mut negotiation, offer);
        let incoming = negotiation.incoming();
        let video = incoming.iter().find(|i| i.kind == MediaKind::Video).unwrap();
        let layers: Vec<(Option<&str>, u8)> =
            video.encodings.iter().map(|e| (e.rid.as_ref().map(|rid| rid.as_str()), e.layer)).collect();
        assert_eq!(layers, [(Some("q"), 0), (Some("h"), 1), (Some("f"), 2)]);
        assert!(video.track_id.is_some());
        let lines = section(&answer.sdp, video.mid.as_str());
        for line in ["a=recvonly", "a=rid:q recv", "a=rid:h recv", "a=rid:f recv", "a=simulcast:recv q;h;f"] {
            assert!(lines.contains(&line), "{line}");
        }
        let has = |wanted| video.extensions.iter().any(|e| e.extension == wanted);
        assert!(has(HeaderExtension::Mid) && has(HeaderExtension::RtpStreamId));
        assert!(has(HeaderExtension::RepairedRtpStreamId) && has(HeaderExtension::TransportCc));
        assert!(lines.iter().any(|line| line.ends_with(" transport-cc") && line.starts_with("a=rtcp-fb")));
        assert!(!lines.iter().any(|line| line.ends_with("goog-remb")), "one bandwidth estimation, not two");
    }
}

#[test]
fn a_publisher_without_stream_ids_is_known_by_its_ssrcs() {
    for offer in [CHROMIUM_PUBLISH_SINGLE, FIREFOX_PUBLISH_SINGLE, CHROMIUM_VP9, FIREFOX_AV1] {
        let (negotiation, _) = answered(offer);
        let incoming = negotiation.incoming();
        let video = incoming.iter().find(|i| i.kind == MediaKind::Video).unwrap();
        assert_eq!(video.encodings.len(), 1);
        let group = offer.lines().rfind(|line| line.starts_with("a=ssrc-group:FID")).unwrap();
        let ssrcs: Vec<Option<Ssrc>> = group.split(' ').skip(1).map(|word| word.parse().ok().map(Ssrc::new)).collect();
        assert_eq!([video.encodings[0].ssrc, video.encodings[0].rtx_ssrc], ssrcs[..]);
    }
}

#[test]
fn an_ssrc_group_gives_the_layers_in_its_order() {
    let sim = "a=ssrc-group:SIM 11 12 13\r\na=ssrc-group:FID 11 21\r\na=ssrc-group:FID 13 23\r\n";
    let offer = CHROMIUM_PUBLISH_SINGLE.replacen("a=ssrc-group:FID", &format!("{sim}a=ssrc-group:FID"), 1);
    let (negotiation, _) = answered(&offer);
    let incoming = negotiation.incoming();
    let video = incoming.iter().find(|i| i.kind == MediaKind::Video).unwrap();
    let layers: Vec<_> =
        video.encodings.iter().map(|e| (e.layer, e.ssrc.map(Ssrc::get), e.rtx_ssrc.map(Ssrc::get))).collect();
    assert_eq!(layers, [(0, Some(11), Some(21)), (1, Some(12), None), (2, Some(13), Some(23))]);
}

#[test]
fn stream_ids_other_than_the_sdks_rank_in_the_order_of_the_list() {
    let list = |rids: &str| {
        let declared: String =
            rids.split(';').map(|rid| format!("a=rid:{} send\r\n", rid.trim_start_matches('~'))).collect();
        let offer =
            CHROMIUM_VP9.replacen("a=ssrc-group", &format!("{declared}a=simulcast:send {rids}\r\na=ssrc-group"), 1);
        let (negotiation, _) = answered(&offer);
        let encodings = negotiation.incoming().remove(0).encodings;
        encodings.iter().map(|e| (e.rid.unwrap().as_str().to_owned(), e.layer)).collect::<Vec<_>>()
    };
    let check = |rids, want: &[&str]| {
        let want: Vec<(String, u8)> = want.iter().map(|rid| (*rid).to_owned()).zip(0..).collect();
        assert_eq!(list(rids), want);
    };
    check("lo;mid;hi", &["lo", "mid", "hi"]);
    check("f;h;q", &["q", "h", "f"]);
    check("q;~h", &["q", "h"]);
    check("f", &["f"]);
}

#[test]
fn red_comes_before_opus_unless_it_is_switched_off() {
    let (mut negotiation, answer) = answered(CHROMIUM_PUBLISH_SINGLE);
    assert!(section(&answer.sdp, "0")[0].ends_with(" 63 111"));
    let track = negotiation.incoming()[0].track_id.clone().unwrap();
    negotiation.set_red(&track, false);
    let answer = exchange(&mut negotiation, CHROMIUM_PUBLISH_SINGLE);
    assert!(section(&answer.sdp, "0")[0].ends_with(" 111 63"));
    assert_eq!(negotiation.incoming()[0].published[0].codec, Codec::Opus);
}

/// Browsers send the first codec of the answer, so the answer decides; an order that is not asked for is the offer's.
#[test]
fn the_video_codec_that_the_client_announced_comes_first() {
    let (mut negotiation, _) = answered(CHROMIUM_PUBLISH_SINGLE);
    let video = |negotiation: &Negotiation| {
        negotiation.incoming().into_iter().find(|incoming| incoming.kind == MediaKind::Video).unwrap()
    };
    let before = video(&negotiation);
    let track = before.track_id.clone().unwrap();
    for codec in [Codec::Av1, Codec::Vp9, Codec::H264, Codec::Vp8] {
        negotiation.set_video_codec(&track, codec);
        let answer = exchange(&mut negotiation, CHROMIUM_PUBLISH_SINGLE);
        let now = video(&negotiation);
        assert_eq!(now.published[0].codec, codec);
        assert_eq!(now.published.len(), before.published.len());
        let first = now.published[0].payload_type.get().to_string();
        let formats = section(&answer.sdp, now.mid.as_str())[0].split(' ').skip(3).collect::<Vec<_>>();
        assert_eq!(formats[0], first);
    }
    negotiation.set_video_codec(&track, Codec::Opus);
    exchange(&mut negotiation, CHROMIUM_PUBLISH_SINGLE);
    assert_eq!(video(&negotiation).published, before.published);
}

/// The SDKs write `stereo=1` into every offer: repeated, it would make every microphone send stereo.
#[test]
fn published_audio_is_mono_with_dtx_unless_asked_otherwise() {
    let offer = CHROMIUM_PUBLISH_SINGLE.replace("useinbandfec=1", "useinbandfec=1;stereo=1");
    let (mut negotiation, answer) = answered(&offer);
    assert!(answer.sdp.contains("a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1\r\n"));
    let track = negotiation.incoming()[0].track_id.clone().unwrap();
    negotiation.set_audio_preferences(&track, AudioPreferences { red: false, dtx: false, stereo: true });
    let answer = exchange(&mut negotiation, &offer);
    assert!(answer.sdp.contains("a=fmtp:111 minptime=10;useinbandfec=1;stereo=1\r\n"));
}

/// livekit-client 2.23 offers no repair of sound on a single connection, and browsers do it where the answer asks.
#[test]
fn repair_of_sound_is_asked_for_though_it_was_not_offered() {
    for offer in [CHROMIUM_PUBLISH_SINGLE, CHROMIUM_INITIAL] {
        assert!(!offer.contains("a=rtcp-fb:111 nack"));
        let (negotiation, answer) = answered(offer);
        assert!(answer.sdp.contains("a=rtcp-fb:111 nack\r\n"));
        assert!(!answer.sdp.contains("a=rtcp-fb:63"), "inside RED it would repeat what RED repeats");
        let audio = negotiation.incoming().into_iter().filter(|incoming| incoming.kind == MediaKind::Audio);
        assert!(audio.flat_map(|audio| audio.codecs).all(|codec| codec.nack == (codec.codec == Codec::Opus)));
    }
}

#[test]
fn forward_error_correction_is_asked_for_unless_the_client_refuses_it() {
    let line = "a=fmtp:111 minptime=10;useinbandfec=1";
    for (given, wanted) in
        [("a=fmtp:111 minptime=10", "useinbandfec=1"), ("a=fmtp:111 useinbandfec=0", "useinbandfec=0")]
    {
        let (_, answer) = answered(&CHROMIUM_PUBLISH_SINGLE.replace(line, given));
        let answered = answer.sdp.lines().find(|line| line.starts_with("a=fmtp:111 ")).unwrap();
        assert!(answered.contains(wanted), "{answered}");
    }
}

#[test]
fn only_a_client_without_pli_is_asked_for_keyframes_with_fir() {
    let fir_only = |offer: &str| {
        let (negotiation, _) = answered(offer);
        let video = negotiation.incoming().into_iter().filter(|incoming| incoming.kind == MediaKind::Video);
        video.flat_map(|video| video.codecs).map(|codec| codec.fir_only).collect::<Vec<_>>()
    };
    assert!(fir_only(CHROMIUM_SENDRECV).iter().all(|fir_only| !fir_only));
    let without: String = CHROMIUM_SENDRECV.split_inclusive('\n').filter(|line| !line.contains("nack pli")).collect();
    let found = fir_only(&without);
    assert!(!found.is_empty() && found.iter().all(|fir_only| *fir_only));
}

#[test]
fn only_a_client_without_transport_wide_feedback_is_told_a_receivers_estimate() {
    let told = |offer: &str| {
        let (negotiation, answer) = answered(offer);
        let video = negotiation.incoming().into_iter().filter(|incoming| incoming.kind == MediaKind::Video);
        let told: Vec<bool> = video.flat_map(|video| video.codecs).map(|codec| codec.remb).collect();
        (told, answer.sdp.contains(" goog-remb"))
    };
    let (with_both, answered) = told(CHROMIUM_SENDRECV);
    assert!(!with_both.is_empty() && with_both.iter().all(|told| !told) && !answered);
    let without = |line: &&str| !line.ends_with(" transport-cc\r\n");
    let (remb_only, answered) = told(&CHROMIUM_SENDRECV.split_inclusive('\n').filter(without).collect::<String>());
    assert!(!remb_only.is_empty() && remb_only.iter().all(|told| *told) && answered);
}

#[test]
fn only_forwarded_codecs_are_answered() {
    for offer in OFFERS {
        let (_, answer) = answered(offer);
        for name in ["ulpfec", "flexfec", "G722", "PCMU", "PCMA", "CN/", "telephone-event", "red/90000"] {
            assert!(!answer.sdp.contains(name), "{name}");
        }
    }
    let first = |offer| published(offer, MediaKind::Video)[0].codec;
    assert_eq!(first(CHROMIUM_VP9), Codec::Vp9);
    assert_eq!(first(FIREFOX_AV1), Codec::Av1);
    assert_eq!(first(FIREFOX_PUBLISH_SINGLE), Codec::Vp8);
}

#[test]
fn tracks_take_spare_sections_and_keep_them() {
    let (mut negotiation, _) = answered(CHROMIUM_INITIAL);
    let audio = published(CHROMIUM_PUBLISH_SINGLE, MediaKind::Audio);
    let video = published(CHROMIUM_PUBLISH_SINGLE, MediaKind::Video);
    negotiation.add_outgoing(outgoing(1, MediaKind::Audio, &audio));
    for id in 2..7 {
        negotiation.add_outgoing(outgoing(id, MediaKind::Video, &video));
    }
    assert_eq!(negotiation.missing_sections(), (0, 2));
    assert!(negotiation.needs_offer());
    assert!(negotiation.placed().is_empty());

    let answer = exchange(&mut negotiation, CHROMIUM_INITIAL);
    assert_eq!(answer.mid_to_track_id.get("0").map(String::as_str), Some("TR_1"));
    assert_eq!(answer.mid_to_track_id.get("3").map(String::as_str), Some("TR_2"));
    let lines = section(&answer.sdp, "3");
    for line in [
        "a=sendonly",
        "a=msid:PA_x|camera TR_2",
        "a=ssrc-group:FID 1004 1005",
        "a=ssrc:1004 cname:cname",
        "a=ssrc:1005 cname:cname",
    ] {
        assert!(lines.contains(&line), "{line}");
    }
    assert!(lines.iter().any(|line| line.ends_with("transport-cc") && line.starts_with("a=rtcp-fb")));
    assert!(!section(&answer.sdp, "0").iter().any(|line| line.starts_with("a=ssrc-group")), "audio has no RTX");

    let placed = negotiation.placed();
    assert_eq!(placed.len(), 4);
    let send = &placed[1].send;
    assert_eq!((send.mid.as_str(), send.ssrc, send.rtx_ssrc), ("3", Ssrc::new(1_004), Some(Ssrc::new(1_005))));
    let foreign = [HeaderExtension::AbsSendTime, HeaderExtension::RtpStreamId];
    assert!(!send.extensions.iter().any(|e| foreign.contains(&e.extension)));
    assert!(send.extensions.iter().any(|e| e.extension == HeaderExtension::TransportCc));
    assert_eq!(negotiation.missing_sections(), (0, 2));

    let again = exchange(&mut negotiation, CHROMIUM_INITIAL);
    assert_eq!(again.mid_to_track_id, answer.mid_to_track_id);
}

#[test]
fn a_vacated_section_is_seen_inactive_before_it_is_used_again() {
    let (mut negotiation, _) = answered(CHROMIUM_INITIAL);
    let video = published(CHROMIUM_PUBLISH_SINGLE, MediaKind::Video);
    for id in 1..4 {
        negotiation.add_outgoing(outgoing(id, MediaKind::Video, &video));
    }
    exchange(&mut negotiation, CHROMIUM_INITIAL);
    assert!(!negotiation.needs_offer());
    negotiation.remove_outgoing(SubscriptionId::new(2));
    assert!(negotiation.needs_offer());
    assert_eq!(negotiation.placed().len(), 2);
    negotiation.add_outgoing(outgoing(9, MediaKind::Video, &video));
    assert_eq!(negotiation.missing_sections(), (0, 1), "the client cannot know yet that the section is free");

    let answer = exchange(&mut negotiation, CHROMIUM_INITIAL);
    assert!(section(&answer.sdp, "4").contains(&"a=inactive"));
    assert!(!answer.mid_to_track_id.contains_key("4"));
    assert_eq!(negotiation.missing_sections(), (0, 0));
    let answer = exchange(&mut negotiation, CHROMIUM_INITIAL);
    assert_eq!(answer.mid_to_track_id.get("4").map(String::as_str), Some("TR_9"));
    assert!(!negotiation.needs_offer());
}

#[test]
fn a_section_that_the_client_sends_on_can_carry_a_track_back() {
    let (mut negotiation, answer) = answered(CHROMIUM_SENDRECV);
    assert!(section(&answer.sdp, "0").contains(&"a=recvonly"));
    let audio = published(CHROMIUM_PUBLISH_SINGLE, MediaKind::Audio);
    negotiation.add_outgoing(outgoing(1, MediaKind::Audio, &audio));
    let answer = exchange(&mut negotiation, CHROMIUM_SENDRECV);
    assert!(section(&answer.sdp, "0").contains(&"a=sendrecv"));
    assert_eq!((negotiation.incoming().len(), negotiation.placed().len()), (2, 1));
}

#[test]
fn new_credentials_of_the_client_are_an_ice_restart() {
    let (mut negotiation, _) = answered(CHROMIUM_INITIAL);
    let same = negotiation.handle_offer(CHROMIUM_INITIAL).unwrap();
    assert!(!same.ice_restarted);
    let known = negotiation.remote().unwrap().ice;
    let restart = CHROMIUM_INITIAL.replace(&known.ufrag, "fresh+ufrag");
    assert!(negotiation.handle_offer(&restart).unwrap().ice_restarted);
    negotiation.set_local_ice(ice("fresh/server"));
    let answer = negotiation.create_answer();
    assert!(answer.sdp.contains("a=ice-ufrag:fresh/server\r\n"));
    assert_eq!(negotiation.remote().unwrap().ice.ufrag, "fresh+ufrag");
}

#[test]
fn the_dtls_role_is_decided_once() {
    let role_for = |setup: &str| {
        let mut negotiation = negotiation(Role::Answerer);
        negotiation.handle_offer(&CHROMIUM_INITIAL.replace("setup:actpass", setup)).map(|_| negotiation)
    };
    assert_eq!(role_for("setup:actpass").unwrap().remote().unwrap().dtls_role, DtlsRole::Server);
    assert_eq!(role_for("setup:active").unwrap().remote().unwrap().dtls_role, DtlsRole::Server);
    assert_eq!(role_for("setup:holdconn").unwrap_err(), NegotiationError::InvalidSetup);
    let mut client = role_for("setup:passive").unwrap();
    assert_eq!(client.remote().unwrap().dtls_role, DtlsRole::Client);
    assert!(client.create_answer().sdp.contains("a=setup:active\r\n"));
    client.handle_offer(CHROMIUM_INITIAL).unwrap();
    assert!(client.create_answer().sdp.contains("a=setup:active\r\n"), "actpass later on changes nothing");
    let flipped = client.handle_offer(&CHROMIUM_INITIAL.replace("setup:actpass", "setup:active"));
    assert_eq!(flipped.unwrap_err(), NegotiationError::RoleChanged);
}

#[test]
fn a_stopped_section_is_rejected_and_its_track_waits_for_another() {
    let (mut negotiation, _) = answered(CHROMIUM_INITIAL);
    let audio = published(CHROMIUM_PUBLISH_SINGLE, MediaKind::Audio);
    negotiation.add_outgoing(outgoing(1, MediaKind::Audio, &audio));
    exchange(&mut negotiation, CHROMIUM_INITIAL);
    // The client stops the transceiver: port 0, out of the bundle.
    let port = CHROMIUM_INITIAL.lines().find(|line| line.starts_with("m=audio")).unwrap();
    let stopped_line = format!("m=audio 0 {}", port.splitn(3, ' ').nth(2).unwrap());
    let stopped = CHROMIUM_INITIAL.replacen(port, &stopped_line, 1).replacen("BUNDLE 0 1", "BUNDLE 1", 1);
    let answer = exchange(&mut negotiation, &stopped);
    assert!(section(&answer.sdp, "0")[0].starts_with("m=audio 0 "));
    assert_eq!(answer.mid_to_track_id.get("1").map(String::as_str), Some("TR_1"));
    assert_eq!(answer.sdp.matches("typ host").count(), 1);
    assert!(section(&answer.sdp, "1").iter().any(|line| line.ends_with("typ host")));
    // The rejected m-line may return under a new name, a live one may not.
    let recycled = CHROMIUM_INITIAL.replacen("a=mid:0", "a=mid:x", 1).replacen("BUNDLE 0 1", "BUNDLE x 1", 1);
    exchange(&mut negotiation, &recycled);
    assert_eq!(negotiation.missing_sections(), (0, 0));
    let renamed = recycled.replacen("a=mid:1", "a=mid:y", 1).replacen("BUNDLE x 1", "BUNDLE x y", 1);
    assert_eq!(negotiation.handle_offer(&renamed).unwrap_err(), NegotiationError::SectionsReordered);
}
