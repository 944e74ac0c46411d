//! Invitations by API, and what their links open, on each database.

use crate::harness::{Request, Server};
use crate::meetings::{PATH, done, under_way};
use consilium::identity::Scope;
use consilium_signaling::access::Claims;
use serde_json::{Value, json};
use std::time::SystemTime;

pub(crate) const ENTER: &str = "/api/v1/join/invitation";

/// One that is going on.
pub(crate) async fn meeting(server: &Server, key: &str, lobby: &str) -> (Value, String) {
    let mut wanted = under_way();
    wanted["lobby"] = json!(lobby);
    done(server, Request::json("POST", PATH, &wanted), key, 201).await
}

pub(crate) async fn invite(server: &Server, key: &str, meeting: &Value, body: Value) -> (Value, String) {
    let path = format!("{PATH}/{}/invitations", meeting["id"].as_str().unwrap());
    done(server, Request::json("POST", &path, &body), key, 201).await
}

pub(crate) fn link(invitation: &Value) -> Value {
    json!({"link_secret": invitation["link_secret"]})
}

fn claims(server: &Server, entered: &Value) -> Claims {
    server.app.keys().verify(entered["token"].as_str().unwrap(), SystemTime::now()).unwrap()
}

#[tokio::test]
async fn a_link_becomes_a_token_with_the_grants_of_its_role() {
    for (database, server) in Server::on_each().await {
        let key = server.api_key(&[Scope::MeetingsWrite]).await;
        let (meeting, _) = meeting(&server, &key, "nobody").await;
        let room = meeting["id"].as_str().unwrap();
        for (role, sends) in [("chair", true), ("coordinator", true), ("core", true), ("observer", false)] {
            let body = json!({"name": "Dr One", "role": role, "specialty": "Oncology", "email": "one@nhs.net"});
            let (invitation, _) = invite(&server, &key, &meeting, body).await;
            let answer = server.http(&Request::json("POST", ENTER, &link(&invitation))).await;
            assert_eq!(answer.status, 200, "{}: {}", database.name, answer.text());
            let entered = answer.json();
            assert_eq!((&entered["role"], &entered["title"]), (&json!(role), &meeting["title"]));
            let claims = claims(&server, &entered);
            assert_eq!((claims.join_room(), claims.name.as_str()), (Ok(room), "Dr One"));
            assert_eq!(claims.identity, invitation["id"].as_str().unwrap());
            assert_eq!((claims.video.can_publish, claims.video.may_administer(room)), (Some(sends), false), "{role}");
            assert_eq!(
                (claims.attributes["role"].as_str(), claims.attributes["specialty"].as_str()),
                (role, "Oncology")
            );
            let path = format!("/rtc/v1/validate?access_token={}", entered["token"].as_str().unwrap());
            assert_eq!(server.http(&Request::get(&path)).await.status, 200);
        }
        let log = server.app.store().audit_after(0).await.unwrap();
        assert_eq!(log.iter().filter(|entry| entry.action == "invitation.used").count(), 4);
        let told = format!("{log:?} {:?}", server.app.store().events_after(0, 500).await.unwrap());
        for secret in ["Dr One", "one@nhs.net", "Oncology"] {
            assert!(!told.contains(secret), "{secret} is told");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn who_has_to_wait_gets_no_token() {
    let server = Server::closed().await;
    let key = server.api_key(&[Scope::MeetingsWrite]).await;
    for (lobby, role, status) in [
        ("guests", "guest", 202),
        ("guests", "observer", 202),
        ("guests", "core", 200),
        ("everyone", "core", 202),
        ("everyone", "chair", 200),
    ] {
        let (meeting, _) = meeting(&server, &key, lobby).await;
        let (invitation, _) = invite(&server, &key, &meeting, json!({"name": "X", "role": role})).await;
        let answer = server.http(&Request::json("POST", ENTER, &link(&invitation))).await;
        assert_eq!(answer.status, status, "{lobby}, {role}: {}", answer.text());
        assert_eq!(answer.json()["token"].is_string(), status == 200);
        assert_eq!(answer.json()["status"] == "waiting", status == 202);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_link_that_was_taken_back_ran_out_or_was_never_made_opens_nothing() {
    for (database, server) in Server::on_each().await {
        let key = server.api_key(&[Scope::MeetingsWrite]).await;
        let (meeting, meeting_tag) = meeting(&server, &key, "nobody").await;
        let guest = json!({"name": "Guest", "role": "guest"});
        let enter = async |invitation: &Value| {
            let answer = server.http(&Request::json("POST", ENTER, &link(invitation))).await;
            if answer.status == 200 { String::new() } else { format!("{} {}", answer.status, answer.problem()) }
        };
        let (invitation, tag) = invite(&server, &key, &meeting, guest.clone()).await;
        assert_eq!(enter(&invitation).await, "");
        let one = format!("/api/v1/invitations/{}", invitation["id"].as_str().unwrap());

        // A new link takes the place of the old.
        let again = format!("{one}/link");
        let stale = server.http(&Request::json("POST", &again, &json!({})).bearer(&key)).await;
        assert_eq!(stale.problem(), "precondition_required");
        let renew = Request::json("POST", &again, &json!({})).header("If-Match", tag);
        let (renewed, tag) = done(&server, renew, &key, 200).await;
        assert_eq!(enter(&invitation).await, "403 link_invalid", "{}", database.name);
        assert_eq!(enter(&renewed).await, "");
        let (read, _) = done(&server, Request::get(&one), &key, 200).await;
        assert_eq!(read["link_secret"], Value::Null, "shown once");

        done(&server, Request::delete(&one).header("If-Match", tag), &key, 204).await;
        assert_eq!(enter(&renewed).await, "403 link_invalid");
        let twice = server.http(&Request::delete(&one).header("If-Match", "*").bearer(&key)).await;
        assert_eq!((twice.status, twice.problem().as_str()), (409, "conflict"));

        // The clock cannot be turned, so the row is.
        let (expired, _) = invite(&server, &key, &meeting, guest.clone()).await;
        match &database.place {
            consilium::store::Place::Postgres { .. } => {
                database.meddle("UPDATE invitations SET link_expires_at_ms = 1").await;
            }
            consilium::store::Place::Sqlite { .. } => {
                crate::databases::meddle(&server.data_dir, "UPDATE invitations SET link_expires_at_ms = 1").await;
            }
        }
        assert_eq!(enter(&expired).await, "403 link_expired", "{}", database.name);

        let (live, _) = invite(&server, &key, &meeting, guest.clone()).await;
        let (other, _) = invite(&server, &key, &meeting, guest).await;
        let (id, secret) = live["link_secret"].as_str().unwrap().split_once('.').unwrap();
        let (other_id, _) = other["link_secret"].as_str().unwrap().split_once('.').unwrap();
        for forged in [
            String::new(),
            id.to_owned(),
            format!("{other_id}.{secret}"),
            format!("inv_00000000000000000000000000.{secret}"),
            format!("{id}.{}", "A".repeat(43)),
            format!("{id}.{secret}.{secret}"),
            format!("{id}.' OR '1'='1"),
        ] {
            assert_eq!(enter(&json!({"link_secret": forged})).await, "403 link_invalid", "{forged}");
        }
        let one = format!("{PATH}/{}", meeting["id"].as_str().unwrap());
        done(&server, Request::delete(&one).header("If-Match", meeting_tag), &key, 200).await;
        assert_eq!(enter(&live).await, "409 meeting_cancelled");
        server.stop().await;
    }
}

#[tokio::test]
async fn guessing_links_is_slow() {
    let server = Server::closed().await;
    let guess = json!({"link_secret": format!("inv_00000000000000000000000000.{}", "A".repeat(43))});
    let mut statuses = Vec::new();
    for _ in 0..65 {
        statuses.push(server.http(&Request::json("POST", ENTER, &guess)).await.status);
    }
    assert!(statuses.starts_with(&[403; 60]) && statuses.contains(&429), "{statuses:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_scheduled_meeting_is_not_entered_as_an_open_room() {
    let server = Server::open().await;
    let key = server.api_key(&[Scope::MeetingsWrite]).await;
    let (meeting, _) = meeting(&server, &key, "everyone").await;
    let body = json!({"room": meeting["id"], "name": "Somebody"});
    let answer = server.http(&Request::json("POST", "/api/v1/join", &body)).await;
    assert_eq!((answer.status, answer.problem().as_str()), (403, "rooms_closed"));
    server.stop().await;
}

#[tokio::test]
async fn invitations_are_listed_changed_and_bounded() {
    for (database, server) in Server::on_each().await {
        let key = server.api_key(&[Scope::MeetingsWrite]).await;
        let (meeting, _) = meeting(&server, &key, "guests").await;
        let path = format!("{PATH}/{}/invitations", meeting["id"].as_str().unwrap());
        let mut made = Vec::new();
        for number in 0..5 {
            let body = json!({"name": format!("Dr {number}"), "role": "core", "site": "Royal"});
            let request = Request::json("POST", &path, &body).header("Idempotency-Key", format!("n{number}"));
            let (first, tag) = done(&server, request.clone(), &key, 201).await;
            let (second, same) = done(&server, request, &key, 201).await;
            assert_eq!((&first, &tag), (&second, &same), "{}: the same link too", database.name);
            made.push((first, tag));
        }
        let (first, _) = done(&server, Request::get(&format!("{path}?limit=3")), &key, 200).await;
        let next = format!("{path}?limit=3&cursor={}", first["next"].as_str().unwrap());
        let (second, _) = done(&server, Request::get(&next), &key, 200).await;
        let names: Vec<_> = [&first, &second]
            .iter()
            .flat_map(|page| page["items"].as_array().unwrap())
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect();
        let mut sorted = names.clone();
        sorted.sort();
        assert_eq!((sorted.len(), second["next"].is_null()), (5, true), "{}: {names:?}", database.name);
        sorted.dedup();
        assert_eq!(sorted.len(), 5);

        let (invitation, tag) = &made[0];
        let one = format!("/api/v1/invitations/{}", invitation["id"].as_str().unwrap());
        let change = json!({"role": "chair", "site": null, "specialty": "Radiology"});
        let request = Request::json("PATCH", &one, &change).header("If-Match", tag.clone());
        let (changed, _) = done(&server, request.clone(), &key, 200).await;
        assert_eq!(
            (&changed["role"], &changed["site"], &changed["specialty"]),
            (&json!("chair"), &Value::Null, &json!("Radiology"))
        );
        assert_eq!(server.http(&request.bearer(&key)).await.problem(), "stale");
        // The role counts that is stored when the link is used, not the one when it was made.
        let entered = server.http(&Request::json("POST", ENTER, &link(invitation))).await.json();
        assert_eq!(
            (&entered["role"], claims(&server, &entered).attributes["role"].as_str()),
            (&json!("chair"), "chair")
        );

        for (field, value, code) in [
            ("name", json!("a\u{200b}b"), "invalid_body"),
            ("role", json!("root"), "invalid_body"),
            ("email", json!("a@b.c\r\nBcc: x@y.z"), "invalid_body"),
            ("link_hash", json!("00"), "invalid_body"),
            ("link_expires_at", json!("2001-01-01T00:00:00Z"), "invalid_value"),
            ("link_expires_at", json!("2999-01-01T00:00:00Z"), "invalid_value"),
        ] {
            let mut body = json!({"name": "X", "role": "guest"});
            body[field] = value.clone();
            let answer = server.http(&Request::json("POST", &path, &body).bearer(&key)).await;
            assert_eq!((answer.status, answer.problem().as_str()), (422, code), "{field}: {value}");
        }
        let nowhere = format!("{PATH}/mtg_00000000000000000000000000/invitations");
        let body = json!({"name": "X", "role": "guest"});
        for request in [Request::json("POST", &nowhere, &body), Request::get(&nowhere)] {
            let answer = server.http(&request.bearer(&key)).await;
            assert_eq!((answer.status, answer.problem().as_str()), (404, "not_found"));
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn people_in_a_meeting_read_it_with_their_token_by_their_role_of_this_moment() {
    for (database, server) in Server::on_each().await {
        let key = server.api_key(&[Scope::MeetingsWrite]).await;
        let (own, _) = meeting(&server, &key, "nobody").await;
        let (other, _) = meeting(&server, &key, "nobody").await;
        let (own_path, other_path) =
            (format!("{PATH}/{}", own["id"].as_str().unwrap()), format!("{PATH}/{}", other["id"].as_str().unwrap()));
        let people = format!("{own_path}/invitations");
        let (invitation, tag) = invite(&server, &key, &own, json!({"name": "Dr One", "role": "chair"})).await;
        let entered = server.http(&Request::json("POST", ENTER, &link(&invitation))).await.json();
        let token = entered["token"].as_str().unwrap();
        let asked = async |path: &str, token: &str| {
            let answer = server.http(&Request::get(path).bearer(token)).await;
            (answer.status, answer.problem())
        };
        done(&server, Request::get(&own_path), token, 200).await;
        done(&server, Request::get(&people), token, 200).await;
        // There is nothing else, not even a hint of it.
        assert_eq!(asked(&other_path, token).await, (404, "not_found".into()), "{}", database.name);
        assert_eq!(asked(PATH, token).await, (403, "missing_scope".into()));
        let (claimed, signature) = token.rsplit_once('.').unwrap();
        let other_letter = if signature.starts_with('A') { "B" } else { "A" };
        let edited = format!("{claimed}.{other_letter}{}", &signature[1..]);
        assert_eq!(asked(&own_path, &edited).await, (401, "unauthenticated".into()));

        // The token still says chair; the invitation does not.
        let one = format!("/api/v1/invitations/{}", invitation["id"].as_str().unwrap());
        let change = json!({"role": "observer"});
        let (_, tag) = done(&server, Request::json("PATCH", &one, &change).header("If-Match", &tag), &key, 200).await;
        assert_eq!(asked(&people, token).await, (403, "not_host".into()));
        done(&server, Request::get(&own_path), token, 200).await;
        done(&server, Request::delete(&one).header("If-Match", &tag), &key, 204).await;
        assert_eq!(asked(&own_path, token).await, (401, "unauthenticated".into()), "{}", database.name);
        // A token of the host's own making names nobody who was invited.
        let claims = Claims { identity: "dr-two".into(), ..claims(&server, &entered) };
        let made = server.app.keys().sign(&claims, SystemTime::now(), crate::harness::MINUTE).unwrap();
        assert_eq!(asked(&own_path, &made).await, (401, "unauthenticated".into()));
        server.stop().await;
    }
}

#[tokio::test]
async fn a_token_opens_the_room_only_as_long_as_its_invitation_does() {
    for (database, server) in Server::on_each().await {
        let key = server.api_key(&[Scope::MeetingsWrite]).await;
        let (meeting, version) = meeting(&server, &key, "nobody").await;
        let mut tokens = Vec::new();
        for name in ["Dr One", "Dr Two"] {
            let (invitation, tag) = invite(&server, &key, &meeting, json!({"name": name, "role": "core"})).await;
            let entered = server.http(&Request::json("POST", ENTER, &link(&invitation))).await.json();
            tokens.push((invitation, tag, entered["token"].as_str().unwrap().to_owned()));
        }
        let stranger = Claims { identity: "dr-three".into(), ..claims(&server, &json!({"token": tokens[0].2})) };
        let stranger = server.app.keys().sign(&stranger, SystemTime::now(), crate::harness::MINUTE).unwrap();
        let opens = async |token: &str| {
            let path = format!("/rtc/v1/validate?access_token={token}");
            let answer = server.http(&Request::get(&path)).await;
            (answer.status, answer.text().to_owned())
        };
        let not_invited = (403, "This meeting needs an invitation. Ask the host for a link.".to_owned());
        assert_eq!(opens(&stranger).await, not_invited, "{}", database.name);
        for (_, _, token) in &tokens {
            assert_eq!(opens(token).await, (200, "success".into()), "{}", database.name);
        }
        let one = format!("/api/v1/invitations/{}", tokens[0].0["id"].as_str().unwrap());
        done(&server, Request::delete(&one).header("If-Match", &tokens[0].1), &key, 204).await;
        assert_eq!(opens(&tokens[0].2).await, not_invited, "{}", database.name);
        assert_eq!(opens(&tokens[1].2).await.0, 200);
        let path = format!("{PATH}/{}", meeting["id"].as_str().unwrap());
        done(&server, Request::delete(&path).header("If-Match", &version), &key, 200).await;
        assert_eq!(opens(&tokens[1].2).await, (403, "This meeting was cancelled.".into()), "{}", database.name);
        server.stop().await;
    }
}
