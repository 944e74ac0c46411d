//! Accounts by API, on each database.

use crate::browser::{Browser, account};
use crate::harness::{Answer, Request, Server};
use consilium::identity::{Scope, SiteRole};
use serde_json::{Value, json};

const PATH: &str = "/api/v1/users";

fn wanted(login: &str, role: &str) -> Value {
    json!({"login": login, "name": "Dr Ben", "role": role, "email": "ben@nhs.net", "organisation": "St Elsewhere"})
}

async fn change(browser: &mut Browser, server: &Server, id: &str, body: Value) -> Answer {
    let path = format!("{PATH}/{id}");
    browser.send(server, Request::json("PATCH", &path, &body).header("If-Match", "*")).await
}

#[tokio::test]
async fn an_administrator_makes_changes_and_closes_accounts() {
    for (database, server) in Server::on_each().await {
        let (mut admin, _) = Browser::of(&server, "ann", SiteRole::Administrator).await;
        let made = admin.send(&server, Request::json("POST", PATH, &wanted("ben", "coordinator"))).await;
        assert_eq!(made.status, 201, "{}: {}", database.name, made.text());
        let (body, one) = (made.json(), made.header("location").to_owned());
        let (id, password) = (body["id"].as_str().unwrap(), body["password"].as_str().unwrap());
        assert_eq!((&body["login"], &body["role"]), (&json!("ben"), &json!("coordinator")));
        let again = admin.send(&server, Request::json("POST", PATH, &wanted("BEN", "member"))).await;
        assert_eq!((again.status, again.problem().as_str()), (409, "login_taken"));
        let mut ben = Browser::default();
        assert_eq!(ben.sign_in(&server, "ben", password).await.status, 200);
        assert_eq!(ben.send(&server, Request::get(PATH)).await.problem(), "missing_scope");

        let read = admin.send(&server, Request::get(&one)).await;
        assert_eq!((read.status, read.json()["password"].is_null()), (200, true));
        let stale = Request::json("PATCH", &one, &json!({})).header("If-Match", "\"v9\"");
        assert_eq!(admin.send(&server, stale).await.problem(), "stale");
        let renamed = change(&mut admin, &server, id, json!({"name": "Dr Ben Two", "email": null})).await;
        assert_eq!((&renamed.json()["name"], &renamed.json()["email"]), (&json!("Dr Ben Two"), &Value::Null));

        let reset = Request { method: "POST", ..Request::get("") };
        let path = format!("{one}/password");
        let reset = admin.send(&server, Request { path: &path, ..reset }.header("If-Match", "*")).await;
        assert_eq!(reset.status, 200, "{}", reset.text());
        assert_eq!(ben.user(&server).await, None, "another password ends the sessions");
        assert_eq!(Browser::default().sign_in(&server, "ben", password).await.status, 401);
        let password = reset.json()["password"].as_str().unwrap().to_owned();
        assert_eq!(ben.sign_in(&server, "ben", &password).await.status, 200);

        let path = format!("{one}/sessions");
        let ended = admin.send(&server, Request::delete(&path)).await;
        assert_eq!((ended.status, &ended.json()["sessions"]), (200, &json!(1)));
        assert_eq!(ben.user(&server).await, None);
        assert_eq!(ben.sign_in(&server, "ben", &password).await.status, 200);
        assert_eq!(change(&mut admin, &server, id, json!({"is_disabled": true})).await.json()["is_disabled"], true);
        assert_eq!(ben.user(&server).await, None, "who is disabled is signed out at once");
        assert_eq!(ben.sign_in(&server, "ben", &password).await.problem(), "sign_in_failed");
        change(&mut admin, &server, id, json!({"is_disabled": false})).await;
        assert_eq!(ben.sign_in(&server, "ben", &password).await.status, 200);

        let store = server.app.store();
        let (log, events) = (store.audit_after(0).await.unwrap(), store.events_after(0, 500).await.unwrap());
        for action in ["user.created", "user.updated", "user.password_reset", "user.signed_out", "session.refused"] {
            assert!(log.iter().any(|entry| entry.action == action), "{action}");
        }
        let told = format!("{log:?} {events:?}");
        for secret in ["Dr Ben", "ben@nhs.net", "Elsewhere", &password] {
            assert!(!told.contains(secret), "{secret}");
        }
        store.verify_audit().await.unwrap().unwrap();
        server.stop().await;
    }
}

#[tokio::test]
async fn somebody_is_left_who_can_administer() {
    for (database, server) in Server::on_each().await {
        let (mut admin, user) = Browser::of(&server, "ann", SiteRole::Administrator).await;
        let id = user.id.as_str();
        for body in [json!({"role": "member"}), json!({"is_disabled": true})] {
            let answer = change(&mut admin, &server, id, body).await;
            assert_eq!((answer.status, answer.problem().as_str()), (409, "last_administrator"), "{}", database.name);
        }
        account(&server, "ben", SiteRole::Administrator).await;
        assert_eq!(change(&mut admin, &server, id, json!({"role": "member"})).await.status, 200);
        assert_eq!(admin.send(&server, Request::get(PATH)).await.problem(), "missing_scope", "at once");
        server.stop().await;
    }
}

#[tokio::test]
async fn nobody_rises_through_somebody_elses_account() {
    let server = Server::closed().await;
    let admin = account(&server, "ann", SiteRole::Administrator).await;
    let member = account(&server, "ben", SiteRole::Member).await;
    let key = server.api_key(&[Scope::UsersAdmin]).await;
    let (mighty, humble) = (format!("{PATH}/{}", admin.id), format!("{PATH}/{}", member.id));
    let reset = format!("{mighty}/password");
    for (method, path, body) in [
        ("POST", PATH, wanted("eve", "administrator")),
        ("PATCH", &humble, json!({"role": "administrator"})),
        ("PATCH", &humble, json!({"role": "coordinator"})),
        ("PATCH", &mighty, json!({"name": "x"})),
        ("POST", &reset, json!({})),
    ] {
        let answer = server.http(&Request::json(method, path, &body).bearer(&key).header("If-Match", "*")).await;
        assert_eq!((answer.status, answer.problem().as_str()), (403, "missing_scope"), "{method} {path}");
    }
    let allowed = Request::json("PATCH", &humble, &json!({"name": "Dr New"})).bearer(&key).header("If-Match", "*");
    assert_eq!(server.http(&allowed).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn names_that_deceive_are_refused() {
    let server = Server::closed().await;
    let (mut admin, _) = Browser::of(&server, "ann", SiteRole::Administrator).await;
    for (field, value) in [
        ("name", "Dr\u{202e}nnA"),
        ("name", "Dr\u{200b}Ann"),
        ("name", ""),
        ("login", "\u{430}nn2"),
        ("login", "ann two"),
        ("login", "ann\u{200d}2"),
        ("organisation", "St\u{2066}Elsewhere"),
        ("email", "a@b.c\r\nBcc: x@y.z"),
    ] {
        let mut body = wanted("ben", "member");
        body[field] = json!(value);
        let answer = admin.send(&server, Request::json("POST", PATH, &body)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid_body"), "{field}: {value:?}");
    }
    let spaced = json!({"login": "ben", "name": "  Dr  Sia\u{302}n ", "role": "member"});
    let made = admin.send(&server, Request::json("POST", PATH, &spaced)).await;
    assert_eq!(made.json()["name"], "Dr Siân");
    server.stop().await;
}
