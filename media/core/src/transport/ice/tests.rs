//! Checks are made and answers are read with rtc-stun, so that two implementations must agree.

use super::*;
use proptest::prelude::*;
use rtc::crypto::RTCCryptoProvider;
use rtc::crypto::providers::AwsLcRsProvider;
use rtc::stun::attributes::*;
use rtc::stun::error_code::ErrorCodeAttribute;
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Getter, Message, Setter};
use rtc::stun::textattrs::TextAttribute;
use rtc::stun::xoraddr::XorMappedAddress;

const PWD: &str = "local-password-of-22-chars";

fn credentials(ufrag: &str, pwd: &str) -> IceCredentials {
    IceCredentials { ufrag: ufrag.to_owned(), pwd: pwd.to_owned() }
}

fn path(port: u16) -> Path {
    Path { remote: SocketAddr::from(([198, 51, 100, 7], port)), local: None }
}

/// What a check says beyond its user name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    Nothing,
    UseCandidate,
    Controlled,
    UnknownRequired,
}

fn check(username: &str, pwd: &str, says: Says) -> Vec<u8> {
    let provider = AwsLcRsProvider::new();
    let mut message = Message::new();
    let mut setters: Vec<Box<dyn Setter + '_>> =
        vec![Box::new(BINDING_REQUEST), Box::new(TextAttribute::new(ATTR_USERNAME, username.to_owned()))];
    let raw = |typ, value: Vec<u8>| Box::new(RawAttribute { typ, length: value.len() as u16, value });
    match says {
        Says::Nothing => setters.push(raw(ATTR_ICE_CONTROLLING, vec![1; 8])),
        Says::UseCandidate => setters.push(raw(ATTR_USE_CANDIDATE, vec![])),
        Says::Controlled => setters.push(raw(ATTR_ICE_CONTROLLED, vec![1; 8])),
        Says::UnknownRequired => setters.push(raw(AttrType(0x7abc), vec![1, 2, 3])),
    }
    setters.push(Box::new(MessageIntegrity::new_short_term_integrity_with_provider(pwd.to_owned(), provider.crypto())));
    setters.push(Box::new(FINGERPRINT));
    message.build(&setters).unwrap();
    message.raw
}

struct Fixture {
    ice: IceLite,
    now: Instant,
}

impl Fixture {
    fn new() -> Self {
        let mut ice = IceLite::new(credentials("ours", PWD));
        ice.set_remote(&credentials("theirs", "remote"));
        Self { ice, now: crate::virtual_time::start() }
    }

    /// Hands over one datagram; gives the outcome and the answer.
    fn take(&mut self, from: Path, datagram: &[u8]) -> (Result<StunOutcome, DropReason>, Option<Message>) {
        let mut answer = None;
        let message = match parse_stun(datagram) {
            Ok(message) => message,
            Err(reason) => return (Err(reason), None),
        };
        let outcome = self.ice.handle(self.now, from, &message, |bytes| {
            let mut parsed = Message::new();
            parsed.unmarshal_binary(bytes).unwrap();
            FINGERPRINT.check(&parsed).unwrap();
            MessageIntegrity::check(&mut parsed, PWD.as_bytes(), AwsLcRsProvider::new().crypto()).unwrap();
            answer = Some(parsed);
        });
        (outcome, answer)
    }

    fn check(&mut self, from: Path, says: Says) -> StunOutcome {
        let (outcome, answer) = self.take(from, &check("ours:theirs", PWD, says));
        assert_eq!(answer.unwrap().typ, BINDING_SUCCESS);
        outcome.unwrap()
    }
}

fn error_code(answer: &Message) -> u16 {
    let mut code = ErrorCodeAttribute::default();
    code.get_from(answer).unwrap();
    code.code.0
}

#[test]
fn an_authentic_check_is_answered_with_the_address_it_came_from() {
    let v6 = Path { remote: "[2001:db8::7]:4242".parse().unwrap(), local: None };
    for from in [path(4_242), v6] {
        let mut fixture = Fixture::new();
        let (outcome, answer) = fixture.take(from, &check("ours:theirs", PWD, Says::Nothing));
        let mut mapped = XorMappedAddress::default();
        mapped.get_from(&answer.unwrap()).unwrap();
        assert_eq!(SocketAddr::new(mapped.ip, mapped.port), from.remote);
        assert_eq!(outcome.unwrap().validated, Some(from));
        assert!(fixture.ice.is_validated(from.remote));
    }
}

#[test]
fn a_forged_or_bit_flipped_check_changes_nothing_and_is_not_answered() {
    let genuine = check("ours:theirs", PWD, Says::UseCandidate);
    let mut datagrams =
        vec![check("ours:theirs", "guessed", Says::UseCandidate), check("ours:other", PWD, Says::Nothing)];
    // FINGERPRINT is no secret: what damages only its header leaves an authentic message.
    for bit in 0..(genuine.len() - 8) * 8 {
        let mut flipped = genuine.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        datagrams.push(flipped);
    }
    for datagram in datagrams {
        let mut fixture = Fixture::new();
        let (outcome, answer) = fixture.take(path(1), &datagram);
        // One bit makes an indication of a request, which is taken in silence.
        assert!(outcome.is_err() || outcome == Ok(StunOutcome::default()));
        assert!(answer.is_none());
        assert_eq!(fixture.ice.selected(), None);
        assert!(!fixture.ice.is_validated(path(1).remote));
    }
}

#[test]
fn integrity_alone_protects_a_check_without_fingerprint() {
    let genuine = check("ours:theirs", PWD, Says::UseCandidate);
    let mut cut = genuine[..genuine.len() - 8].to_vec();
    let length = (cut.len() - 20) as u16;
    cut[2..4].copy_from_slice(&length.to_be_bytes());
    assert!(Fixture::new().take(path(1), &cut).0.is_ok());
    for bit in 0..cut.len() * 8 {
        let mut flipped = cut.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut fixture = Fixture::new();
        assert!(fixture.take(path(1), &flipped).1.is_none(), "bit {bit}");
        assert_eq!(fixture.ice.selected(), None, "bit {bit}");
    }
}

#[test]
fn what_follows_the_integrity_does_not_count() {
    let genuine = check("ours:theirs", PWD, Says::Nothing);
    let mut extended = genuine[..genuine.len() - 8].to_vec();
    extended.extend([0x00, 0x25, 0, 0]);
    let length = (extended.len() - 20) as u16;
    extended[2..4].copy_from_slice(&length.to_be_bytes());
    assert!(!parse_stun(&extended).unwrap().use_candidate);
}

#[test]
fn a_check_without_integrity_is_dropped() {
    let mut message = Message::new();
    message
        .build(&[Box::new(BINDING_REQUEST), Box::new(TextAttribute::new(ATTR_USERNAME, "ours:theirs".to_owned()))])
        .unwrap();
    let (outcome, answer) = Fixture::new().take(path(1), &message.raw);
    assert_eq!(outcome, Err(DropReason::StunBadIntegrity));
    assert!(answer.is_none());
}

#[test]
fn a_peer_that_thinks_it_is_controlled_hears_of_the_conflict() {
    let mut fixture = Fixture::new();
    let (outcome, answer) = fixture.take(path(1), &check("ours:theirs", PWD, Says::Controlled));
    assert_eq!(error_code(&answer.unwrap()), 487);
    assert_eq!(outcome, Ok(StunOutcome::default()));
    assert_eq!(fixture.ice.selected(), None);
}

#[test]
fn an_unknown_required_attribute_is_named_in_the_answer() {
    let (outcome, answer) = Fixture::new().take(path(1), &check("ours:theirs", PWD, Says::UnknownRequired));
    let answer = answer.unwrap();
    assert_eq!(error_code(&answer), 420);
    assert_eq!(answer.get(ATTR_UNKNOWN_ATTRIBUTES).unwrap(), [0x7a, 0xbc]);
    assert_eq!(outcome, Ok(StunOutcome::default()));
}

#[test]
fn checks_before_the_description_are_answered_and_their_nomination_is_remembered() {
    let mut fixture = Fixture::new();
    fixture.ice = IceLite::new(credentials("ours", PWD));
    let (outcome, answer) = fixture.take(path(1), &check("ours:anything", PWD, Says::UseCandidate));
    assert!(answer.is_some() && outcome.unwrap().selected_changed);
    assert!(fixture.ice.is_nominated());
    fixture.ice.set_remote(&credentials("theirs", "remote"));
    assert_eq!(fixture.take(path(1), &check("ours:anything", PWD, Says::Nothing)).0, Err(DropReason::StunUnknownUser));
    assert_eq!(fixture.ice.selected(), Some(path(1)));
}

#[test]
fn the_newest_nomination_wins() {
    let mut fixture = Fixture::new();
    fixture.check(path(1), Says::Nothing);
    assert!(!fixture.ice.is_nominated());
    fixture.check(path(2), Says::Nothing);
    assert_eq!(fixture.ice.selected(), Some(path(1)));
    assert!(fixture.check(path(2), Says::UseCandidate).selected_changed);
    assert_eq!(fixture.ice.selected(), Some(path(2)));
    assert!(fixture.check(path(1), Says::UseCandidate).selected_changed);
    assert_eq!(fixture.ice.selected(), Some(path(1)));
}

#[test]
fn a_path_that_went_stale_is_left_without_a_nomination() {
    let mut fixture = Fixture::new();
    fixture.check(path(1), Says::UseCandidate);
    fixture.now += PATH_STALE / 2;
    fixture.check(path(2), Says::Nothing);
    assert_eq!(fixture.ice.selected(), Some(path(1)));
    fixture.now += PATH_STALE / 2;
    assert!(fixture.check(path(2), Says::Nothing).selected_changed);
    assert_eq!(fixture.ice.selected(), Some(path(2)));
}

#[test]
fn an_address_that_is_no_longer_checked_is_given_up() {
    let mut fixture = Fixture::new();
    fixture.check(path(1), Says::UseCandidate);
    // A NAT gave the peer another address.
    let moved = fixture.check(path(2), Says::UseCandidate);
    assert_eq!((moved.selected_changed, moved.evicted), (true, None));
    fixture.now += CONSENT_TIMEOUT;
    assert_eq!(fixture.check(path(2), Says::UseCandidate).evicted, Some(path(1)));
    assert!(!fixture.ice.is_validated(path(1).remote) && fixture.ice.is_validated(path(2).remote));
}

#[test]
fn consent_lasts_from_the_last_check_on_the_selected_path() {
    let mut fixture = Fixture::new();
    fixture.check(path(1), Says::UseCandidate);
    let first = fixture.now;
    fixture.now += Duration::from_secs(5);
    fixture.check(path(2), Says::Nothing);
    assert_eq!(fixture.ice.consent_expires(), Some(first + CONSENT_TIMEOUT));
    fixture.check(path(1), Says::Nothing);
    assert_eq!(fixture.ice.consent_expires(), Some(fixture.now + CONSENT_TIMEOUT));
}

#[test]
fn paths_are_bounded_and_the_selected_one_is_never_evicted() {
    let mut fixture = Fixture::new();
    fixture.check(path(0), Says::UseCandidate);
    let mut evicted = Vec::new();
    for port in 1..100 {
        fixture.now += Duration::from_millis(1);
        let outcome = fixture.check(path(port), Says::Nothing);
        assert_eq!(outcome.validated, Some(path(port)));
        evicted.extend(outcome.evicted.map(|path| path.remote.port()));
    }
    assert_eq!(fixture.ice.paths.len(), VALIDATED_PATHS_MAX);
    assert_eq!(evicted, (1..100 - VALIDATED_PATHS_MAX as u16 + 1).collect::<Vec<_>>());
    assert_eq!(fixture.ice.selected(), Some(path(0)));
}

#[test]
fn after_a_restart_both_credentials_work_until_the_new_ones_are_used() {
    let mut fixture = Fixture::new();
    fixture.check(path(1), Says::UseCandidate);
    fixture.ice.restart(credentials("fresh", PWD));
    assert_eq!(fixture.ice.local_ufrags().collect::<Vec<_>>(), ["fresh", "ours"]);
    assert_eq!(fixture.check(path(1), Says::Nothing).retired_ufrag, None);
    fixture.ice.set_remote(&credentials("theirs2", "remote"));
    let (outcome, answer) = fixture.take(path(2), &check("fresh:theirs2", PWD, Says::UseCandidate));
    assert!(answer.is_some());
    assert_eq!(outcome.unwrap().retired_ufrag.as_deref(), Some("ours"));
    assert_eq!(fixture.ice.selected(), Some(path(2)));
    let (outcome, _) = fixture.take(path(1), &check("ours:theirs", PWD, Says::UseCandidate));
    assert_eq!(outcome, Err(DropReason::StunUnknownUser));
}

#[test]
fn a_forged_check_for_new_credentials_does_not_retire_the_old() {
    let mut fixture = Fixture::new();
    fixture.ice.restart(credentials("fresh", PWD));
    let (outcome, _) = fixture.take(path(9), &check("fresh:x", "guessed", Says::UseCandidate));
    assert_eq!(outcome, Err(DropReason::StunBadIntegrity));
    assert_eq!(fixture.ice.local_ufrags().count(), 2);
}

#[test]
fn other_stun_messages_are_refused_and_indications_are_silent() {
    let mut message = Message::new();
    message.build(&[Box::new(BINDING_SUCCESS)]).unwrap();
    assert!(matches!(parse_stun(&message.raw), Err(DropReason::StunUnexpected)));
    let mut indication = message.raw;
    indication[..2].copy_from_slice(&[0x00, 0x11]);
    let (outcome, answer) = Fixture::new().take(path(1), &indication);
    assert_eq!(outcome, Ok(StunOutcome::default()));
    assert!(answer.is_none());
}

proptest! {
    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), header: bool) {
        if header && bytes.len() >= 20 {
            let length = (bytes.len() - 20) as u16;
            bytes[..2].copy_from_slice(&[0, 1]);
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[4..8].copy_from_slice(&0x2112_a442_u32.to_be_bytes());
        }
        let (outcome, answer) = Fixture::new().take(path(1), &bytes);
        prop_assert!(answer.is_none());
        prop_assert!(outcome.is_err());
    }

    #[test]
    fn damaged_checks_never_panic(flips in proptest::collection::vec((0..96_usize, any::<u8>()), 1..6), cut in 0..96_usize) {
        let mut bytes = check("ours:theirs", PWD, Says::UseCandidate);
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(bytes.len() - cut % bytes.len());
        let _ = Fixture::new().take(path(1), &bytes);
    }
}
