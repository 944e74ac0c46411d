//! Descriptions that are broken, by accident or on purpose.

use super::*;
use proptest::prelude::*;

fn refuse(sdp: &str) -> NegotiationError {
    negotiation(Role::Answerer).handle_offer(sdp).unwrap_err()
}

/// Without the lines that begin like this.
fn without(sdp: &str, prefix: &str) -> String {
    sdp.split_inclusive('\n').filter(|line| !line.starts_with(prefix)).collect()
}

#[test]
fn each_missing_or_wrong_part_is_named() {
    let offer = CHROMIUM_INITIAL;
    let fingerprint = offer.lines().find(|line| line.starts_with("a=fingerprint")).unwrap();
    let check = |sdp: String, want: NegotiationError| assert_eq!(refuse(&sdp), want);
    check(String::new(), NegotiationError::Malformed);
    check("v=0\r\n".to_owned(), NegotiationError::Malformed);
    check("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n".to_owned(), NegotiationError::NoSections);
    check(without(offer, "a=group"), NegotiationError::NotBundled);
    check(offer.replacen("BUNDLE 0 1 2", "BUNDLE 0 2", 1), NegotiationError::NotBundled);
    check(without(offer, "a=rtcp-mux"), NegotiationError::NoRtcpMux);
    check(without(offer, "a=fingerprint"), NegotiationError::NoFingerprint);
    check(offer.replace(fingerprint, "a=fingerprint:sha-256 AB:CD"), NegotiationError::InvalidFingerprint);
    check(offer.replace(fingerprint, "a=fingerprint:sha-256 zz"), NegotiationError::InvalidFingerprint);
    check(offer.replace(fingerprint, "a=fingerprint:sha-1 AB:CD"), NegotiationError::WeakFingerprint);
    check(without(offer, "a=setup"), NegotiationError::InvalidSetup);
    check(without(offer, "a=ice-ufrag"), NegotiationError::NoIceCredentials);
    check(without(offer, "a=ice-pwd"), NegotiationError::NoIceCredentials);
    check(without(offer, "a=mid"), NegotiationError::MissingMid);
    check(offer.replace("a=mid:3", "a=mid:seventeen-letters"), NegotiationError::InvalidMid);
    check(offer.replace("a=mid:3", "a=mid:2"), NegotiationError::DuplicateMid);
    check(offer.replacen("a=extmap:4 ", "a=extmap:1 ", 1), NegotiationError::ExtensionConflict);
    check("a".repeat(bounds::SDP_LEN_MAX + 1), NegotiationError::TooLong);
    check(format!("{offer}{}", "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n".repeat(300)), NegotiationError::TooManySections);
    check(format!("{offer}{}", "a=x\r\n".repeat(2_000)), NegotiationError::TooManyAttributes);
    check(
        CHROMIUM_PUBLISH.replace("a=rid:q send", "a=rid:q send\r\na=rid:1 send\r\na=rid:2 send"),
        NegotiationError::TooManyEncodings,
    );
}

#[test]
fn a_lone_carriage_return_cannot_smuggle_a_line() {
    let smuggled = CHROMIUM_INITIAL.replace("minptime=10", "minptime=10\ra=candidate:1");
    assert_eq!(refuse(&smuggled), NegotiationError::Malformed);
}

#[test]
fn bundled_sections_agree_on_extension_ids() {
    let (head, tail) = CHROMIUM_INITIAL.split_once("m=video").unwrap();
    let conflicting =
        format!("{}m=video{tail}", head.replace("a=extmap:4 ", "a=extmap:9 ").replace("a=extmap:2 ", "a=extmap:4 "));
    assert_eq!(refuse(&conflicting), NegotiationError::ExtensionConflict);
}

#[test]
fn a_refused_offer_changes_nothing() {
    let (mut negotiation, answer) = answered(CHROMIUM_INITIAL);
    let before = negotiation.remote().unwrap().ice;
    let other = CHROMIUM_INITIAL.replace(&before.ufrag, "other");
    let broken = [
        without(&other, "a=rtcp-mux"),
        other.replace("a=mid:3", "a=mid:x").replace("BUNDLE 0 1 2 3", "BUNDLE 0 1 2 x"),
        FIREFOX_INITIAL.to_owned(),
        CHROMIUM_PUBLISH_SINGLE.to_owned(),
    ];
    for offer in broken {
        negotiation.handle_offer(&offer).unwrap_err();
        assert_eq!(negotiation.remote().unwrap().ice, before);
    }
    let again = negotiation.create_answer();
    let sections = |sdp: &str| sdp.split_once("m=").map(|(_, rest)| rest.to_owned());
    assert_eq!(sections(&again.sdp), sections(&answer.sdp));
}

#[test]
fn the_certificate_of_a_live_connection_does_not_change() {
    let (mut negotiation, _) = answered(CHROMIUM_INITIAL);
    let changed = CHROMIUM_INITIAL.replace("sha-256 ", "sha-256 00:").replace(
        &CHROMIUM_INITIAL.lines().find_map(|line| line.strip_prefix("a=fingerprint:sha-256 ")).unwrap()[92..],
        "",
    );
    assert_eq!(negotiation.handle_offer(&changed).unwrap_err(), NegotiationError::FingerprintChanged);
}

#[test]
fn strange_sections_are_rejected_in_place() {
    let line = CHROMIUM_INITIAL.lines().find(|line| line.starts_with("m=audio")).unwrap();
    let strange = CHROMIUM_INITIAL.replacen(line, "m=text 9 UDP/TLS/RTP/SAVPF 98", 1);
    let (_, answer) = answered(&strange);
    assert!(section(&answer.sdp, "0")[0].starts_with("m=text 0 UDP/TLS/RTP/SAVPF "));
    assert!(answer.sdp.contains("a=group:BUNDLE 1 2 3 4 5 6\r\n"));
}

#[test]
fn names_of_clients_cannot_add_lines() {
    let (mut negotiation, _) = answered(CHROMIUM_INITIAL);
    let audio = published(CHROMIUM_PUBLISH_SINGLE, MediaKind::Audio);
    let mut hostile = outgoing(1, MediaKind::Audio, &audio);
    hostile.stream_id = "PA_x|my desk\r\na=evil".to_owned();
    hostile.cname = String::new();
    negotiation.add_outgoing(hostile);
    let answer = exchange(&mut negotiation, CHROMIUM_INITIAL);
    assert!(answer.sdp.contains("a=msid:PA_x|my-desk--a-evil TR_1\r\n"));
    assert!(answer.sdp.contains(" cname:-\r\n"));
}

#[test]
fn audio_preferences_are_bounded() {
    let (mut negotiation, _) = answered(CHROMIUM_PUBLISH_SINGLE);
    let track = negotiation.incoming()[0].track_id.clone().unwrap();
    negotiation.set_red(&track, false);
    for index in 0..10 * bounds::TRACK_PREFERENCES_MAX {
        negotiation.set_red(&format!("gone{index}"), false);
    }
    assert_eq!(negotiation.incoming()[0].published[0].codec, Codec::Opus, "a current track is not forgotten");
}

#[test]
fn candidates_are_checked() {
    let parse = |line: &str| parse_candidate(&format!("{{\"candidate\":\"{line}\",\"sdpMid\":\"0\"}}"));
    let host = parse("candidate:1 1 udp 2122194687 192.0.2.2 56601 typ host generation 0").unwrap();
    let RemoteCandidate::Address { transport, priority, ip, port, kind } = host else { panic!() };
    assert_eq!((transport, kind), (CandidateTransport::Udp, CandidateKind::Host));
    assert_eq!((priority, ip, port), (2_122_194_687, "192.0.2.2".parse().ok(), 56_601));
    let hidden = parse("candidate:0 1 UDP 2122187007 64895d61.local 47611 typ host").unwrap();
    assert!(matches!(hidden, RemoteCandidate::Address { ip: None, .. }));
    assert_eq!(parse("").unwrap(), RemoteCandidate::EndOfCandidates);
    assert_eq!(parse_candidate("{\"candidate\":null}").unwrap(), RemoteCandidate::EndOfCandidates);
    for wrong in
        ["candidate:1 1 udp x 192.0.2.2 1 typ host", "candidate:1", "x", "candidate:1 1 udp 1 192.0.2.2 99999 typ host"]
    {
        assert_eq!(parse(wrong).unwrap_err(), NegotiationError::InvalidCandidate);
    }
    assert_eq!(parse_candidate("not json").unwrap_err(), NegotiationError::InvalidCandidate);
    assert_eq!(parse_candidate(&" ".repeat(bounds::CANDIDATE_LEN_MAX + 1)).unwrap_err(), NegotiationError::TooLong);
}

#[test]
fn no_prefix_of_a_real_offer_panics() {
    for offer in OFFERS {
        for end in (0..offer.len()).step_by(331) {
            let mut negotiation = negotiation(Role::Answerer);
            if negotiation.handle_offer(&offer[..end]).is_ok() {
                negotiation.create_answer();
            }
        }
    }
}

/// Takes an offer, and if it is accepted does everything that a room would do with it. The answer must be readable.
fn drive(sdp: &str) {
    let mut negotiation = negotiation(Role::Answerer);
    let own: PublishedCodecs = codecs::own(MediaKind::Audio).into_iter().map(|codec| codec.published).collect();
    negotiation.add_outgoing(outgoing(1, MediaKind::Audio, &own));
    if negotiation.handle_offer(sdp).is_err() {
        return;
    }
    let answer = negotiation.create_answer();
    let live = mids(&answer.sdp).iter().any(|mid| !section(&answer.sdp, mid)[0].contains(" 0 "));
    if live {
        description::parse(&answer.sdp).unwrap();
    }
    for incoming in negotiation.incoming() {
        assert!(!incoming.encodings.is_empty() && !incoming.codecs.is_empty());
    }
    let _ = (negotiation.placed(), negotiation.missing_sections(), negotiation.mid_to_track_id(), negotiation.remote());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Lines of real offers, shuffled, doubled, dropped and bitten.
    #[test]
    fn mutated_offers_never_panic(
        which in 0..OFFERS.len(),
        edits in proptest::collection::vec((0_usize..1_000, 0_u8..5, 0_usize..80, 0x20_u8..0x7f), 1..6),
    ) {
        let mut lines: Vec<String> = OFFERS[which].lines().map(str::to_owned).collect();
        for (at, edit, column, byte) in edits {
            if lines.is_empty() {
                break;
            }
            let at = at % lines.len();
            match edit {
                0 => { lines.remove(at); }
                1 => { let line = lines[at].clone(); lines.insert(at, line); }
                2 => { let other = (at + column) % lines.len(); lines.swap(at, other); }
                3 => { let cut = column.min(lines[at].len()); lines[at].truncate(cut); }
                _ => {
                    let mut bytes = lines[at].clone().into_bytes();
                    if let Some(slot) = bytes.get_mut(column) {
                        *slot = byte;
                    }
                    lines[at] = String::from_utf8_lossy(&bytes).into_owned();
                }
            }
        }
        drive(&format!("{}\r\n", lines.join("\r\n")));
    }

    #[test]
    fn noise_never_panics(text in "(v=0\r\n)?(o=- 1 1 IN IP4 0\\.0\\.0\\.0\r\ns=-\r\nt=0 0\r\n)?\\PC{0,200}", json in "\\PC{0,100}") {
        drive(&text);
        let _ = parse_candidate(&json);
    }
}
