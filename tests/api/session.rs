//! Signing in with a password, and what a session is good for, on each database.

use crate::browser::{Browser, PASSWORD, SESSION, account};
use crate::harness::{Request, Server};
use consilium::config::PublicUrl;
use consilium::identity::SiteRole;
use consilium::identity::session::SESSIONS_MAX;
use serde_json::json;
use std::collections::HashSet;

const NAME: &str = "consilium-session";
const KEYS: &str = "/api/v1/api-keys";

fn wanted_key() -> Request<'static> {
    Request::json("POST", KEYS, &json!({"name": "made in a browser", "scopes": ["meetings:read"]}))
}

#[tokio::test]
async fn a_session_begins_is_used_and_ends() {
    for (database, server) in Server::on_each().await {
        let user = account(&server, "ann", SiteRole::Administrator).await;
        let mut browser = Browser::default();
        assert_eq!(browser.user(&server).await, None, "{}", database.name);
        let answer = browser.sign_in(&server, " Ann ", PASSWORD).await;
        assert_eq!(answer.status, 200, "{}: {}", database.name, answer.text());
        assert_eq!(answer.json()["user"]["id"], user.id.as_str());
        let cookie = answer.header("set-cookie");
        assert!(cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax"), "{cookie}");
        assert!(!answer.text().contains(&browser.cookies[NAME]), "the secret is in the cookie alone");
        assert_eq!(browser.user(&server).await.as_deref(), Some(user.id.as_str()));

        let made = browser.send(&server, wanted_key()).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let stolen = browser.clone();
        let gone = browser.send(&server, Request::delete(SESSION)).await;
        assert_eq!((gone.status, browser.cookies.len()), (204, 0), "{}", gone.text());
        assert_eq!(stolen.clone().user(&server).await, None, "it is over, whoever still has the cookie");
        assert_eq!(stolen.clone().send(&server, Request::get(KEYS)).await.problem(), "unauthenticated");

        let store = server.app.store();
        let log = store.audit_after(0).await.unwrap();
        let acts: Vec<_> = log.iter().map(|entry| (entry.action.as_str(), entry.actor.as_str())).collect();
        let id = user.id.as_str();
        assert_eq!(acts, [("session.started", id), ("api_key.created", id), ("session.ended", id)]);
        store.verify_audit().await.unwrap().unwrap();
        server.stop().await;
    }
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_look_the_same() {
    for (database, server) in Server::on_each().await {
        account(&server, "ann", SiteRole::Member).await;
        let mut browser = Browser::default();
        let mut answers = HashSet::new();
        for (login, password) in [
            ("ann", "three green horses"),
            ("nobody", PASSWORD),
            ("ann", ""),
            ("ann", &"x".repeat(128)),
            ("ann", &"ﷺ".repeat(128)),
            ("ann", "three blue horses\u{0}"),
        ] {
            let answer = browser.sign_in(&server, login, password).await;
            assert_eq!((answer.status, answer.problem().as_str()), (401, "sign_in_failed"), "{login} {password:?}");
            answers.insert(answer.body);
        }
        assert_eq!((answers.len(), browser.cookies.len()), (1, 0), "{}", database.name);
        // A name that looks like hers is no name at all.
        assert_eq!(browser.sign_in(&server, "\u{430}nn", PASSWORD).await.problem(), "invalid_body");
        let log = server.app.store().audit_after(0).await.unwrap();
        let refusals: Vec<_> = log.iter().map(|entry| entry.details.as_str()).collect();
        let wrong = r#"{"by":"password","reason":"wrong_password"}"#;
        assert_eq!(refusals, [wrong, r#"{"by":"password","reason":"unknown_login"}"#, wrong, wrong, wrong, wrong]);
        assert!(!format!("{log:?}").contains("nobody"), "a mistyped name may be a password");
        server.stop().await;
    }
}

#[tokio::test]
async fn guessing_is_slowed_down_for_each_name_whether_it_exists_or_not() {
    let server = Server::closed().await;
    account(&server, "ann", SiteRole::Member).await;
    let mut browser = Browser::default();
    for login in ["ann", "nobody"] {
        for _ in 0..10 {
            assert_eq!(browser.sign_in(&server, login, "three green horses").await.status, 401);
        }
        let slowed = browser.sign_in(&server, login, PASSWORD).await;
        assert_eq!((slowed.status, slowed.problem().as_str()), (429, "too_many_requests"), "{login}");
        assert!(slowed.header("retry-after").parse::<u64>().unwrap() > 0);
    }
    account(&server, "ben", SiteRole::Member).await;
    assert_eq!(browser.sign_in(&server, "ben", PASSWORD).await.status, 200, "others at the same place go on");
    server.stop().await;
}

#[tokio::test]
async fn a_session_that_somebody_else_chose_or_had_is_not_taken_over() {
    for (database, server) in Server::on_each().await {
        let (attacker, _) = Browser::of(&server, "eve", SiteRole::Member).await;
        let user = account(&server, "ann", SiteRole::Member).await;
        let planted = "A".repeat(43);
        for fixed in [planted.as_str(), &attacker.cookies[NAME]] {
            let mut browser = Browser::default();
            browser.cookies.insert(NAME.into(), fixed.into());
            assert_eq!(browser.sign_in(&server, "ann", PASSWORD).await.status, 200);
            assert_ne!(browser.cookies[NAME], fixed, "{}", database.name);
            assert_eq!(browser.user(&server).await.as_deref(), Some(user.id.as_str()));
        }
        assert_eq!(attacker.clone().user(&server).await, None, "the session from before ended");
        let mut tossed = Browser::default();
        tossed.sign_in(&server, "ann", PASSWORD).await;
        let twice = format!("{NAME}={planted}; {}", tossed.cookie_header());
        let answer = server.http(&Request::get(SESSION).header("Cookie", twice)).await;
        assert!(answer.json()["user"].is_null(), "of two cookies neither is believed");
        server.stop().await;
    }
}

#[tokio::test]
async fn another_site_cannot_use_a_session_or_start_one() {
    let server = Server::start(|config| {
        config.http.public_url = PublicUrl::new("http://localhost:8080");
    })
    .await;
    let (mut browser, user) = Browser::of(&server, "ann", SiteRole::Administrator).await;
    let attempt = Request::json("POST", SESSION, &json!({"login": "ann", "password": PASSWORD}));
    let header = ("Consilium-Request", "1");
    let forged: [&[(&str, &str)]; 7] = [
        &[],
        &[header],
        &[("Sec-Fetch-Site", "same-origin")],
        &[header, ("Sec-Fetch-Site", "cross-site"), ("Origin", "http://localhost:8080")],
        &[header, ("Sec-Fetch-Site", "same-site")],
        &[header, ("Origin", "null")],
        &[header, ("Origin", "http://localhost:8080.evil.test")],
    ];
    for headers in forged {
        for request in [wanted_key(), Request::delete(SESSION), Request::delete("/api/v1/sessions"), attempt.clone()] {
            let request = headers.iter().fold(request, |request, (name, value)| request.header(name, *value));
            let answer = browser.send_from_anywhere(&server, request).await;
            assert_eq!((answer.status, answer.problem().as_str()), (403, "cross_site"), "{headers:?}");
        }
    }
    assert_eq!(browser.user(&server).await.as_deref(), Some(user.id.as_str()), "it was not signed out");
    let own = wanted_key().header(header.0, header.1).header("Origin", "http://localhost:8080");
    assert_eq!(browser.send_from_anywhere(&server, own).await.status, 201, "an older browser of our own page");
    // A key proves itself: no browser sends it unasked.
    let key = server.api_key(&[consilium::identity::Scope::KeysAdmin, consilium::identity::Scope::MeetingsRead]).await;
    assert_eq!(server.http(&wanted_key().bearer(&key)).await.status, 201);
    let no_session = Request::delete(SESSION).bearer(&key);
    assert_eq!(server.http(&no_session).await.problem(), "no_session");
    server.stop().await;
}

#[tokio::test]
async fn over_tls_the_cookie_is_for_this_host_alone() {
    let server = Server::start(|config| config.http.public_url = PublicUrl::new("https://meet.example.org")).await;
    let (mut browser, user) = Browser::of(&server, "ann", SiteRole::Member).await;
    assert_eq!(browser.user(&server).await.as_deref(), Some(user.id.as_str()));
    let secret = browser.cookies.remove("__Host-consilium-session").expect("the cookie with the prefix");
    browser.cookies.insert(NAME.into(), secret);
    assert_eq!(browser.user(&server).await, None, "without the prefix a neighbour may have set it");
    let answer = Browser::default().sign_in(&server, "ann", PASSWORD).await;
    assert!(answer.header("set-cookie").ends_with("; Secure"), "{}", answer.header("set-cookie"));
    server.stop().await;
}

#[tokio::test]
async fn another_password_ends_every_other_session() {
    for (database, server) in Server::on_each().await {
        let (mut browser, user) = Browser::of(&server, "ann", SiteRole::Member).await;
        let mut elsewhere = Browser::default();
        elsewhere.sign_in(&server, "ann", PASSWORD).await;
        let new = "four green horses";
        let path = "/api/v1/session/password";
        let change = |current: &str, new: &str| {
            Request::json("PUT", path, &json!({"current_password": current, "new_password": new}))
        };
        for weak in ["short", "password1234", "ann: three blue", &"x".repeat(129)] {
            let answer = browser.send(&server, change(PASSWORD, weak)).await;
            // "ann" is too short a login to matter within a password.
            let expected = if weak.starts_with("ann") { 204 } else { 422 };
            assert_eq!(answer.status, expected, "{weak}: {}", answer.text());
            if expected == 204 {
                assert_eq!(browser.send(&server, change(weak, PASSWORD)).await.status, 204);
                elsewhere.sign_in(&server, "ann", PASSWORD).await;
            } else {
                assert_eq!(answer.json()["errors"][0]["pointer"], "/new_password");
            }
        }
        assert_eq!(browser.send(&server, change("three red horses", new)).await.problem(), "sign_in_failed");
        let before = browser.cookies[NAME].clone();
        assert_eq!(browser.send(&server, change(PASSWORD, new)).await.status, 204, "{}", database.name);
        assert_ne!(browser.cookies[NAME], before);
        assert_eq!(browser.user(&server).await.as_deref(), Some(user.id.as_str()));
        assert_eq!(elsewhere.user(&server).await, None);
        assert_eq!(Browser::default().sign_in(&server, "ann", PASSWORD).await.status, 401);
        assert_eq!(Browser::default().sign_in(&server, "ann", new).await.status, 200);
        server.stop().await;
    }
}

#[tokio::test]
async fn signing_out_everywhere_is_at_once_and_there_are_not_too_many_sessions() {
    for (database, server) in Server::on_each().await {
        let (mut first, user) = Browser::of(&server, "ann", SiteRole::Member).await;
        let store = server.app.store();
        // Through the store: how often somebody may sign in is another test.
        let mut secrets = Vec::new();
        for _ in 0..SESSIONS_MAX {
            let now = consilium::moment::Moment::now();
            let (session, secret) = consilium::identity::session::Session::begin(user.id.clone(), None, now);
            let mut write = store.write().await.unwrap();
            write.insert_session(&session).await.unwrap();
            write.commit().await.unwrap();
            secrets.push(secret.expose());
        }
        assert_eq!(first.user(&server).await, None, "{}: the oldest made room", database.name);
        let mut browsers: Vec<_> = secrets
            .into_iter()
            .map(|secret| Browser { cookies: [(NAME.to_owned(), secret)].into_iter().collect() })
            .collect();
        for browser in &mut browsers {
            assert!(browser.user(&server).await.is_some());
        }
        assert_eq!(browsers[3].send(&server, Request::delete("/api/v1/sessions")).await.status, 204);
        for browser in &mut browsers {
            assert_eq!(browser.user(&server).await, None, "{}", database.name);
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn an_unused_session_ends_and_so_does_a_used_one_at_the_end_of_the_day() {
    for (database, server) in Server::on_each().await {
        for statement in
            ["UPDATE sessions SET seen_at_ms = seen_at_ms - 28800001", "UPDATE sessions SET expires_at_ms = 1"]
        {
            let login = if statement.contains("seen") { "ann" } else { "ben" };
            let (mut browser, _) = Browser::of(&server, login, SiteRole::Member).await;
            assert!(browser.user(&server).await.is_some());
            match &database.place {
                consilium::store::Place::Sqlite { .. } => crate::databases::meddle(&server.data_dir, statement).await,
                consilium::store::Place::Postgres { .. } => database.meddle(statement).await,
            }
            assert_eq!(browser.user(&server).await, None, "{}: {statement}", database.name);
        }
        server.stop().await;
    }
}
