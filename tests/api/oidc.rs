//! Signing in with an identity provider, honest and not.

use crate::browser::{Browser, SESSION};
use crate::harness::{Answer, Request, Server, wait_until};
use crate::provider::{CLIENT_SECRET, ID, Lie, Provider, configure};
use consilium::config::Config;
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use tokio::task::JoinSet;

/// What a trusted proxy says of who calls.
const FORWARDED: &str = "X-Forwarded-For";

fn begin() -> String {
    format!("{SESSION}/oidc/{ID}")
}

async fn server(provider: &Provider) -> Server {
    Server::start(|config| provider.configure(config)).await
}

#[tokio::test]
async fn somebody_signs_in_and_is_who_their_provider_says() {
    let provider = Provider::start().await;
    for (database, server) in Server::on_each_with(|config: &mut Config| provider.configure(config)).await {
        provider.tell(json!({"name": "Dr Known", "email": "known@nhs.net", "email_verified": true,
            "organisation": "St Elsewhere", "roles": ["x", "mdt"]}));
        let mut browser = Browser::default();
        let shown = browser.send(&server, Request::get(SESSION)).await.json();
        assert_eq!(shown, json!({"user": null, "providers": [{"id": ID, "name": "NHS"}]}));
        let back = provider.sign_in(&server, &mut browser).await;
        assert_eq!((back.status, back.header("location")), (303, "/"), "{}: {}", database.name, back.text());
        assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), ["consilium-session"], "the attempt is over");
        let user = browser.send(&server, Request::get(SESSION)).await.json()["user"].clone();
        assert_eq!(
            (&user["name"], &user["email"], &user["organisation"], &user["role"], &user["provider"]),
            (&json!("Dr Known"), &json!("known@nhs.net"), &json!("St Elsewhere"), &json!("coordinator"), &json!(ID))
        );

        // The next time they are the same person, as they are now.
        let first = browser.cookies["consilium-session"].clone();
        provider.tell(json!({"name": "Dr Married", "email": "new@nhs.net", "email_verified": false, "roles": ["it"]}));
        assert_eq!(provider.sign_in(&server, &mut browser).await.header("location"), "/");
        assert_ne!(browser.cookies["consilium-session"], first);
        let again = browser.send(&server, Request::get(SESSION)).await.json()["user"].clone();
        assert_eq!((&again["id"], &again["name"]), (&user["id"], &json!("Dr Married")));
        assert_eq!((&again["email"], &again["role"]), (&json!(null), &json!("administrator")));
        let mut old = Browser { cookies: [("consilium-session".to_owned(), first)].into_iter().collect() };
        assert_eq!(old.user(&server).await, None, "a new session takes the place of the old");

        let log = server.app.store().audit_after(0).await.unwrap();
        let acts: Vec<_> = log.iter().map(|entry| entry.action.as_str()).collect();
        assert_eq!(acts, ["user.created", "session.started", "user.updated", "session.started"]);
        let told = format!("{log:?} {:?}", server.app.store().events_after(0, 500).await.unwrap());
        for secret in ["Known", "Married", "nhs.net", "Elsewhere", "subject-1", CLIENT_SECRET] {
            assert!(!told.contains(secret), "{secret}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_provider_that_lies_signs_nobody_in() {
    let provider = Provider::start().await;
    let server = server(&provider).await;
    let mut browser = Browser::default();
    assert_eq!(provider.sign_in(&server, &mut browser).await.header("location"), "/");
    browser.cookies.clear();
    for (lie, reason) in [
        (Lie::Issuer, "issuer"),
        (Lie::Audience, "audience"),
        (Lie::OneAudienceMore, "audience"),
        (Lie::AuthorizedParty, "audience"),
        (Lie::Nonce, "nonce"),
        (Lie::NoNonce, "nonce"),
        (Lie::Key, "signature"),
        (Lie::AlgorithmNone, "signature"),
        (Lie::SharedSecret, "signature"),
        (Lie::Expired, "expired"),
        (Lie::FromTheFuture, "expired"),
        (Lie::NoIdToken, "no_id_token"),
        (Lie::Error, "answer"),
        (Lie::Nonsense, "answer"),
        (Lie::UserInfoOfAnother, "user_info"),
        (Lie::Name, "name"),
        (Lie::Subject, "subject"),
        (Lie::Length, "unavailable"),
        (Lie::Silence, "unavailable"),
    ] {
        provider.lie(lie);
        let back = provider.sign_in(&server, &mut browser).await;
        let word = if reason == "unavailable" { reason } else { "failed" };
        assert_eq!(
            (back.status, back.header("location")),
            (303, format!("/sign-in?problem={word}").as_str()),
            "{lie:?}"
        );
        assert!(browser.cookies.is_empty(), "{lie:?}: {:?}", browser.cookies);
        let log = server.app.store().audit_after(0).await.unwrap();
        let last = log.last().unwrap();
        let details = format!(r#"{{"by":"{ID}","reason":"{reason}"}}"#);
        assert_eq!((last.action.as_str(), last.details.as_str()), ("session.refused", details.as_str()), "{lie:?}");
    }
    provider.lie(Lie::Redirect);
    assert!(provider.sign_in(&server, &mut browser).await.header("location").starts_with("/sign-in?problem="));
    provider.lie(Lie::None);
    assert_eq!(
        provider.sign_in(&server, &mut browser).await.header("location"),
        "/",
        "an honest one is believed again"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_provider_that_cannot_be_found_out_about_is_unavailable_and_the_server_is_not() {
    let provider = Provider::start().await;
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let down = Server::start(|config| configure(config, &format!("http://{nobody}"))).await;
    let answer = down.http(&Request::get(&begin())).await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "provider_unavailable"));
    assert_eq!(down.http(&Request::get(SESSION)).await.status, 200);
    down.stop().await;
    let server = server(&provider).await;
    for lie in [Lie::DiscoveryIssuer, Lie::DiscoveryLength, Lie::DiscoverySilence] {
        provider.lie(lie);
        let answer = server.http(&Request::get(&begin())).await;
        assert_eq!((answer.status, answer.problem().as_str()), (503, "provider_unavailable"), "{lie:?}");
    }
    server.stop().await;
}

/// Behind a proxy that says who calls.
async fn proxied(provider: &Provider) -> Server {
    Server::start(|config| {
        provider.configure(config);
        config.http.trusted_proxies = vec![Ipv4Addr::LOCALHOST.into()];
    })
    .await
}

async fn begin_from(address: SocketAddr, client: &str) -> Answer {
    Request::get(&begin()).header(FORWARDED, client).send(address).await
}

#[tokio::test]
async fn a_stranger_who_keeps_a_provider_waiting_keeps_nobody_else_from_it() {
    let provider = Provider::start().await;
    let server = proxied(&provider).await;
    let address = server.app.http_addr();
    provider.lie(Lie::DiscoverySilence);
    let mut waiting = JoinSet::new();
    for _ in 0..40 {
        waiting.spawn(async move { begin_from(address, "198.51.100.1").await.status });
    }
    // All that do not wait for the provider are answered at once.
    for _ in 0..32 {
        assert_eq!(waiting.join_next().await.unwrap().unwrap(), 503);
    }
    let asked = async || provider.discoveries() == 8;
    wait_until(asked, async || format!("the provider was asked {} times", provider.discoveries())).await;
    provider.lie(Lie::None);
    assert_eq!(begin_from(address, "198.51.100.2").await.status, 303);
    assert!(waiting.try_join_next().is_none(), "the others wait still");
    server.stop().await;
}

#[tokio::test]
async fn one_address_may_begin_as_often_as_a_shift_that_signs_in_and_no_oftener() {
    let provider = Provider::start().await;
    let server = proxied(&provider).await;
    let address = server.app.http_addr();
    let mut begun = 0;
    let refused = loop {
        match begin_from(address, "198.51.100.1").await {
            answer if answer.status == 303 => begun += 1,
            answer => break answer,
        }
    };
    assert_eq!((refused.status, refused.problem().as_str()), (429, "too_many_requests"));
    assert!(!refused.header("retry-after").is_empty());
    assert!((300..320).contains(&begun), "{begun}");
    assert_eq!(begin_from(address, "198.51.100.2").await.status, 303);

    // The way back leads to the provider as well: made-up codes are not asked about without end.
    let mut browser = Browser::default();
    let path = begin();
    let there = browser.send_from_anywhere(&server, Request::get(&path).header(FORWARDED, "198.51.100.3")).await;
    let back = provider.authorise(there.header("location"));
    while begin_from(address, "198.51.100.3").await.status == 303 {}
    let guess =
        browser.clone().send_from_anywhere(&server, Request::get(&back).header(FORWARDED, "198.51.100.3")).await;
    assert_eq!((guess.status, guess.problem().as_str()), (429, "too_many_requests"));
    server.stop().await;
}

#[tokio::test]
async fn clocks_may_differ_a_little_and_keys_may_change() {
    let provider = Provider::start().await;
    let server = server(&provider).await;
    let mut browser = Browser::default();
    assert_eq!(provider.sign_in(&server, &mut browser).await.header("location"), "/");
    provider.rotate_keys();
    let signs_in = async || {
        let mut browser = Browser::default();
        provider.sign_in(&server, &mut browser).await.header("location") == "/"
    };
    wait_until(signs_in, async || "the new key is not taken".into()).await;
    server.stop().await;
}

#[tokio::test]
async fn an_answer_counts_in_the_browser_that_asked_once() {
    let provider = Provider::start().await;
    let server = server(&provider).await;
    let (mut victim, mut attacker) = (Browser::default(), Browser::default());
    let begun = attacker.send_from_anywhere(&server, Request::get(&begin())).await;
    let back = provider.authorise(begun.header("location"));
    // Somebody is sent to the end of another's sign-in, to act in their name without noticing.
    let fixed = victim.send_from_anywhere(&server, Request::get(&back)).await;
    assert_eq!((fixed.header("location"), victim.cookies.len()), ("/sign-in?problem=expired", 0));
    // Even with a sign-in of their own under way.
    victim.send_from_anywhere(&server, Request::get(&begin())).await;
    let mixed = victim.send_from_anywhere(&server, Request::get(&back)).await;
    assert_eq!((mixed.header("location"), victim.cookies.len()), ("/sign-in?problem=expired", 0));

    let kept = attacker.clone();
    let state = back.rsplit('=').next().unwrap();
    let callback = format!("{}/callback", begin());
    for (query, word) in [
        (String::new(), "expired"),
        (format!("?state={state}"), "declined"),
        (format!("?error=access_denied&state={state}"), "declined"),
        (format!("?code=x&iss=https%3A%2F%2Fevil.test&state={state}"), "failed"),
        (format!("?code={}&state={state}", "x".repeat(10_000)), "declined"),
        (format!("?code=guess&state={state}"), "failed"),
        (format!("?code=x&state={state}x"), "expired"),
    ] {
        let answer = kept.clone().send_from_anywhere(&server, Request::get(&format!("{callback}{query}"))).await;
        assert_eq!(answer.header("location"), format!("/sign-in?problem={word}"), "{query}");
    }
    let mut first = kept.clone();
    assert_eq!(first.send_from_anywhere(&server, Request::get(&back)).await.header("location"), "/");
    let again = kept.clone().send_from_anywhere(&server, Request::get(&back)).await;
    assert_eq!(again.header("location"), "/sign-in?problem=failed", "a code is good once");
    server.stop().await;
}

#[tokio::test]
async fn somebody_comes_back_to_this_site_and_nowhere_else() {
    let provider = Provider::start().await;
    let server = server(&provider).await;
    let mut browser = Browser::default();
    let begun = browser.send_from_anywhere(&server, Request::get(&format!("{}?return_to=/m/lung", begin()))).await;
    let back = provider.authorise(begun.header("location"));
    assert_eq!(browser.send_from_anywhere(&server, Request::get(&back)).await.header("location"), "/m/lung");
    for elsewhere in ["https://evil.test", "//evil.test", "/%5Cevil.test", "evil"] {
        let path = format!("{}?return_to={elsewhere}", begin());
        assert_eq!(server.http(&Request::get(&path)).await.problem(), "invalid_query", "{elsewhere}");
    }
    for unknown in ["other", "NHS", "%2e%2e"] {
        for path in [format!("{SESSION}/oidc/{unknown}"), format!("{SESSION}/oidc/{unknown}/callback")] {
            assert_eq!(server.http(&Request::get(&path)).await.problem(), "not_found", "{path}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn who_is_disabled_here_is_not_let_in_by_their_provider() {
    let provider = Provider::start().await;
    for (database, server) in Server::on_each_with(|config: &mut Config| provider.configure(config)).await {
        provider.tell(json!({"name": "Dr Known", "roles": ["mdt"]}));
        let mut browser = Browser::default();
        provider.sign_in(&server, &mut browser).await;
        let id = browser.user(&server).await.unwrap();
        let key = server.api_key(&consilium::identity::Scope::ALL).await;
        let path = format!("/api/v1/users/{id}");
        let change = Request::json("PATCH", &path, &json!({"is_disabled": true})).header("If-Match", "*").bearer(&key);
        assert_eq!(server.http(&change).await.status, 200);
        assert_eq!(browser.user(&server).await, None, "{}", database.name);
        let back = provider.sign_in(&server, &mut browser).await;
        assert_eq!((back.header("location"), browser.user(&server).await), ("/sign-in?problem=disabled", None));
        let password = format!("{path}/password");
        let reset = Request::json("POST", &password, &json!({})).header("If-Match", "*").bearer(&key);
        assert_eq!(server.http(&reset).await.problem(), "no_password");
        server.stop().await;
    }
}
