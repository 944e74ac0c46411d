//! A provider's word that somebody signed out there.

use crate::browser::{Browser, SESSION};
use crate::harness::{Answer, Request, Server};
use crate::provider::{CLIENT, CLIENT_SECRET, ID, Provider};
use consilium::config::Config;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

const FORM: &str = "application/x-www-form-urlencoded";

fn header() -> Header {
    Header { typ: Some("logout+jwt".into()), ..Header::new(Algorithm::ES256) }
}

async fn tell(server: &Server, token: &str) -> Answer {
    let path = format!("{SESSION}/oidc/{ID}/logout");
    server.http(&Request::post(&path, FORM, format!("logout_token={token}"))).await
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn who_signs_out_at_the_provider_is_signed_out_here() {
    let provider = Provider::start().await;
    for (database, server) in Server::on_each_with(|config: &mut Config| provider.configure(config)).await {
        let (mut other, _) = Browser::of(&server, "ann", consilium::identity::SiteRole::Member).await;
        for changes in [json!({}), json!({"sid": null}), json!({"sub": null}), json!({"aud": [CLIENT], "exp": null})] {
            let mut browser = Browser::default();
            provider.sign_in(&server, &mut browser).await;
            assert!(browser.user(&server).await.is_some());
            let unrelated = json!({"sub": "subject-2", "sid": null});
            assert_eq!(tell(&server, &provider.logout_token(header(), &unrelated)).await.status, 200);
            let unrelated = json!({"sub": "subject-1", "sid": "sid-2"});
            assert_eq!(tell(&server, &provider.logout_token(header(), &unrelated)).await.status, 200);
            assert!(browser.user(&server).await.is_some(), "{}: somebody else signed out", database.name);
            let answer = tell(&server, &provider.logout_token(header(), &changes)).await;
            assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{}", answer.text());
            assert_eq!(browser.user(&server).await, None, "{}: {changes}", database.name);
        }
        assert!(other.user(&server).await.is_some(), "who came another way stays");
        let log = server.app.store().audit_after(0).await.unwrap();
        assert_eq!(log.iter().filter(|entry| entry.action == "session.ended" && entry.actor == "provider").count(), 4);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_logout_token_that_is_none_ends_nothing() {
    let provider = Provider::start().await;
    let server = Server::start(|config| provider.configure(config)).await;
    let mut browser = Browser::default();
    provider.sign_in(&server, &mut browser).await;
    let with = |changes: Value| provider.logout_token(header(), &changes);
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let mut tokens = vec![
        ("issuer", with(json!({"iss": "https://login.example.org"}))),
        ("audience", with(json!({"aud": "another"}))),
        ("audiences", with(json!({"aud": [CLIENT, "another"]}))),
        ("no audience", with(json!({"aud": []}))),
        ("expired", with(json!({"exp": now() - 90}))),
        ("old", with(json!({"iat": now() - 400}))),
        ("future", with(json!({"iat": now() + 90}))),
        ("nonce", with(json!({"nonce": "x"}))),
        ("no event", with(json!({"events": {}}))),
        ("another event", with(json!({"events": {event: "yes"}}))),
        ("nobody", with(json!({"sub": null, "sid": null}))),
        ("no jti", with(json!({"jti": null}))),
        ("subject", with(json!({"sub": "x".repeat(300)}))),
        ("type", provider.logout_token(Header { typ: Some("at+jwt".into()), ..header() }, &json!({}))),
        ("no token", "x".into()),
        ("empty", String::new()),
        ("dots", "..".into()),
    ];
    let good = with(json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    let shared = Header::new(Algorithm::HS256);
    let claims: Value = {
        use base64::Engine;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    let forged = jsonwebtoken::encode(&shared, &claims, &EncodingKey::from_secret(CLIENT_SECRET.as_bytes())).unwrap();
    tokens.push(("shared secret", forged));
    // {"alg":"none"}
    tokens.push(("none", format!("eyJhbGciOiJub25lIn0.{}.", parts[1])));
    tokens.push((
        "another's signature",
        format!("{}.{}.{}", parts[0], parts[1], with(json!({"jti": "2"})).rsplit('.').next().unwrap()),
    ));
    for (what, token) in tokens {
        let answer = tell(&server, &token).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "logout_refused"), "{what}");
        assert!(browser.user(&server).await.is_some(), "{what}");
    }
    let path = format!("{SESSION}/oidc/{ID}/logout");
    let wrong_type = Request::json("POST", &path, &json!({"logout_token": good}));
    assert_eq!(server.http(&wrong_type).await.status, 415);
    let too_long = Request::post(&path, FORM, format!("logout_token={}", "x".repeat(70_000)));
    assert_eq!(server.http(&too_long).await.problem(), "body_too_large");
    assert_eq!(tell(&server, &good).await.status, 200);
    assert_eq!(browser.user(&server).await, None, "the check lets a good one through");
    server.stop().await;
}
