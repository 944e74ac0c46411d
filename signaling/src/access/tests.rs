//! Tests of the tokens: every way to be refused, and what the server SDKs write.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::json;

const SECRET: &str = "a secret of enough length to be a secret";

fn keys() -> ApiKeys {
    ApiKeys::single("key", SECRET)
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn later(seconds: u64) -> SystemTime {
    now() + Duration::from_secs(seconds)
}

fn sign_json(claims: &serde_json::Value) -> String {
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &secret).unwrap()
}

fn join_claims() -> Claims {
    Claims {
        identity: "dr-1".into(),
        name: "Dr One".into(),
        video: VideoGrants { room: "mdt".into(), room_join: true, ..VideoGrants::default() },
        ..Claims::default()
    }
}

#[test]
fn a_signed_token_verifies_and_keeps_its_claims() {
    let mut claims = join_claims();
    claims.attributes.insert("role".into(), "chair".into());
    claims.room_config = Some(Box::new(RoomConfiguration { max_participants: 7, ..RoomConfiguration::default() }));
    let token = keys().sign(&claims, now(), Duration::from_secs(60)).unwrap();
    let verified = keys().verify(&token, now()).unwrap();
    assert_eq!(verified.iss, "key");
    assert_eq!(verified.exp, 1_800_000_060);
    assert_eq!(verified.join_room(), Ok("mdt"));
    assert_eq!(Claims { iss: String::new(), exp: 0, nbf: None, ..verified }, claims);
}

#[test]
fn a_token_is_valid_from_nbf_to_exp_with_a_small_leeway() {
    let token = keys().sign(&join_claims(), now(), Duration::from_secs(60)).unwrap();
    let leeway = CLOCK_LEEWAY.as_secs();
    assert_eq!(keys().verify(&token, now() - Duration::from_secs(leeway + 1)), Err(TokenError::NotYetValid));
    assert!(keys().verify(&token, now() - Duration::from_secs(leeway)).is_ok());
    assert!(keys().verify(&token, later(60 + leeway - 1)).is_ok());
    assert_eq!(keys().verify(&token, later(60 + leeway)), Err(TokenError::Expired));
}

#[test]
fn a_token_without_an_end_is_refused() {
    let token = sign_json(&json!({"iss": "key", "sub": "x"}));
    assert_eq!(keys().verify(&token, now()), Err(TokenError::Expired));
}

#[test]
fn missing_malformed_and_foreign_tokens_are_told_apart() {
    assert_eq!(keys().verify("", now()), Err(TokenError::Missing));
    for malformed in ["x", "a.b.c", "....", "eyJhbGciOiJIUzI1NiJ9.e30", &"x".repeat(TOKEN_LEN_MAX + 1)] {
        assert_eq!(keys().verify(malformed, now()), Err(TokenError::Malformed), "{}", malformed.len());
    }
    let foreign = ApiKeys::single("other", SECRET).sign(&join_claims(), now(), Duration::from_secs(60)).unwrap();
    assert_eq!(keys().verify(&foreign, now()), Err(TokenError::UnknownKey));
    let forged = ApiKeys::single("key", "wrong").sign(&join_claims(), now(), Duration::from_secs(60)).unwrap();
    assert_eq!(keys().verify(&forged, now()), Err(TokenError::BadSignature));
}

#[test]
fn a_token_whose_claims_were_exchanged_is_refused() {
    let token = keys().sign(&join_claims(), now(), Duration::from_secs(60)).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let mut claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    claims["video"]["roomAdmin"] = json!(true);
    let forged = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2]);
    assert_eq!(keys().verify(&forged, now()), Err(TokenError::BadSignature));
}

#[test]
fn no_algorithm_but_hs256_is_accepted() {
    let claims = json!({"iss": "key", "exp": 1_900_000_000u64});
    let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
    for alg in ["HS384", "HS512", "RS256", "ES256", "EdDSA"] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "typ": "JWT"}).to_string());
        assert_eq!(
            keys().verify(&format!("{header}.{payload}.AAAA"), now()),
            Err(TokenError::UnsupportedAlgorithm),
            "{alg}"
        );
    }
    // `none` is not even a name that the parser knows.
    for alg in ["none", "None", "hs256", ""] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "typ": "JWT"}).to_string());
        assert_eq!(keys().verify(&format!("{header}.{payload}."), now()), Err(TokenError::Malformed), "{alg}");
    }
    // The right secret does not help where the algorithm is another.
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS512), &claims, &secret).unwrap();
    assert_eq!(keys().verify(&token, now()), Err(TokenError::UnsupportedAlgorithm));
}

#[test]
fn the_forms_that_server_sdks_write_are_read() {
    let token = sign_json(&json!({
        "iss": "key", "sub": "dr-1", "exp": 1_800_000_060.5, "nbf": 0, "iat": 1, "jti": "x", "aud": "someone",
        "name": null, "attributes": null, "kind": "agent", "sha256": "abc",
        "video": {
            "room": "mdt", "roomJoin": true, "canPublish": null, "canPublishSources": ["microphone", "SCREEN_SHARE"],
            "canSubscribe": false, "ingressAdmin": true, "canUpdateOwnMetadata": true
        },
        "sip": {"admin": true},
        "roomConfig": {"emptyTimeout": 30, "max_participants": 4, "somethingNew": {}},
    }));
    let claims = keys().verify(&token, now()).unwrap();
    assert_eq!(claims.name, "");
    assert_eq!(claims.kind, "agent");
    assert_eq!(claims.video.can_publish, None);
    assert_eq!(claims.video.publish_sources(), [TrackSource::Microphone, TrackSource::ScreenShare]);
    assert!(claims.video.may_publish(TrackSource::Microphone));
    assert!(!claims.video.may_publish(TrackSource::Camera));
    assert!(!claims.video.may_subscribe());
    assert!(claims.video.may_update_own_metadata());
    let config = claims.room_config.unwrap();
    assert_eq!((config.empty_timeout, config.max_participants), (30, 4));
}

#[test]
fn unknown_sources_grant_nothing() {
    let grants = VideoGrants { can_publish_sources: vec!["hologram".into()], ..VideoGrants::default() };
    for source in [TrackSource::Unknown, TrackSource::Camera, TrackSource::Microphone, TrackSource::ScreenShareAudio] {
        assert!(!grants.may_publish(source));
    }
    assert!(VideoGrants::default().may_publish(TrackSource::Camera));
    assert!(
        !VideoGrants { can_publish: Some(false), ..VideoGrants::default() }.may_publish(TrackSource::Camera),
        "canPublish false wins over an empty list"
    );
}

#[test]
fn joining_needs_the_grant_a_room_and_an_identity() {
    let claims = join_claims();
    let without = |change: fn(&mut Claims)| {
        let mut claims = claims.clone();
        change(&mut claims);
        claims.join_room().map(str::to_owned)
    };
    assert_eq!(without(|claims| claims.video.room_join = false), Err(TokenError::NoJoinGrant));
    assert_eq!(without(|claims| claims.video.room.clear()), Err(TokenError::NoRoom));
    assert_eq!(without(|claims| claims.identity.clear()), Err(TokenError::NoIdentity));
    assert_eq!(without(|_| ()), Ok("mdt".into()));
}

#[test]
fn administration_is_of_the_named_room_only() {
    let grants = VideoGrants { room: "mdt".into(), room_admin: true, ..VideoGrants::default() };
    assert!(grants.may_administer("mdt"));
    assert!(!grants.may_administer("other"));
    assert!(!VideoGrants { room: String::new(), ..grants.clone() }.may_administer(""));
    assert!(!VideoGrants { room_admin: false, ..grants }.may_administer("mdt"));
}

#[test]
fn debug_shows_no_secret_and_no_person() {
    let claims = Claims { metadata: "private note".into(), ..join_claims() };
    let text = format!("{:?} {:?}", keys(), claims);
    for hidden in [SECRET, "Dr One", "dr-1", "private note"] {
        assert!(!text.contains(hidden), "{text}");
    }
}

#[test]
fn signing_without_a_key_is_an_error() {
    assert_eq!(ApiKeys::default().sign(&join_claims(), now(), Duration::from_secs(1)), Err(SignError::NoKey));
}

proptest! {
    #[test]
    fn no_text_makes_the_verifier_panic_or_accept(token in "\\PC{0,200}") {
        prop_assert!(keys().verify(&token, now()).is_err());
    }

    #[test]
    fn a_changed_character_never_verifies_as_something_else(position in 0usize..400, replacement in "[A-Za-z0-9_.-]") {
        let token = keys().sign(&join_claims(), now(), Duration::from_secs(60)).unwrap();
        let position = position % token.len();
        let mut changed = token;
        changed.replace_range(position..=position, &replacement);
        if let Ok(claims) = keys().verify(&changed, now()) {
            prop_assert_eq!(claims.identity, "dr-1");
            prop_assert!(!claims.video.room_admin);
        }
    }
}
