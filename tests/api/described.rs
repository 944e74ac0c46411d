//! The API keeps to its own description: what that does not allow is refused, and what is answered is in it.

use crate::harness::{Request, Server};
use crate::meetings::{PATH, done, weekly};
use consilium::identity::Scope;
use serde_json::{Value, json};

#[tokio::test]
async fn an_array_in_the_place_of_an_object_is_refused() {
    let server = Server::closed().await;
    let key = server.api_key(&[Scope::MeetingsWrite]).await;
    let created = server.http(&Request::json("POST", PATH, &weekly()).bearer(&key)).await;
    let one = created.header("location").to_owned();
    let mut settings_by_order = weekly();
    settings_by_order["settings"] = json!([false, false]);
    let cases = [
        ("PATCH", one.as_str(), json!([null, null])),
        ("PATCH", one.as_str(), json!(["Another title"])),
        ("PATCH", one.as_str(), json!({"settings": [false, false]})),
        ("POST", PATH, settings_by_order),
        ("POST", PATH, json!(["Lung MDT", "2026-12-01T08:30:00", "Europe/London", 60])),
    ];
    for (method, path, body) in cases {
        let answer = server.http(&Request::json(method, path, &body).bearer(&key).header("If-Match", "*")).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid_body"), "{method} {body}");
    }
    let spaced = Request::post("/api/v1/join/invitation", "application/json", " \n[\"a secret\"]");
    assert_eq!(server.http(&spaced).await.problem(), "invalid_body");
    let (meeting, _) = done(&server, Request::get(&one), &key, 200).await;
    assert_eq!(meeting, created.json(), "nothing was changed");
    server.stop().await;
}

#[tokio::test]
async fn a_change_to_null_is_refused_where_the_field_cannot_be_null() {
    let server = Server::closed().await;
    let key = server.api_key(&[Scope::MeetingsWrite]).await;
    let (meeting, _) = done(&server, Request::json("POST", PATH, &weekly()), &key, 201).await;
    let of_meeting = format!("{PATH}/{}", meeting["id"].as_str().unwrap());
    let asked = json!({"name": "Dr One", "role": "core"});
    let invitations = format!("{of_meeting}/invitations");
    let (invitation, _) = done(&server, Request::json("POST", &invitations, &asked), &key, 201).await;
    let of_invitation = format!("/api/v1/invitations/{}", invitation["id"].as_str().unwrap());

    let description = server.http(&Request::get("/api/v1/openapi.json")).await.json();
    for (path, schema, fields) in [(&of_meeting, "MeetingChange", 9), (&of_invitation, "InvitationChange", 6)] {
        let properties = description["components"]["schemas"][schema]["properties"].as_object().unwrap();
        assert_eq!(properties.len(), fields);
        for (field, described) in properties {
            let body = json!({ field: null });
            let answer = server.http(&Request::json("PATCH", path, &body).bearer(&key).header("If-Match", "*")).await;
            let expected = if described.to_string().contains("\"null\"") { 200 } else { 422 };
            assert_eq!(answer.status, expected, "{schema}.{field}: {}", answer.text());
            if expected == 422 {
                assert_eq!(answer.problem(), "invalid_body", "{schema}.{field}");
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_key_that_is_revoked_twice_gives_an_answer_that_is_described() {
    let server = Server::closed().await;
    let admin = server.api_key(&[Scope::KeysAdmin]).await;
    let asked = json!({"name": "one", "scopes": ["keys:admin"]});
    let (made, _) = done(&server, Request::json("POST", "/api/v1/api-keys", &asked), &admin, 201).await;
    let path = format!("/api/v1/api-keys/{}", made["id"].as_str().unwrap());
    let revoke = Request::delete(&path).bearer(&admin).header("If-Match", "*");
    assert_eq!(server.http(&revoke).await.status, 204);
    let again = server.http(&revoke).await;
    assert_eq!((again.status, again.problem().as_str()), (409, "conflict"));
    let description = server.http(&Request::get("/api/v1/openapi.json")).await.json();
    let answers = &description["paths"]["/api/v1/api-keys/{id}"]["delete"]["responses"];
    assert!(answers["409"].is_object(), "{answers}");
    server.stop().await;
}

#[tokio::test]
async fn the_headers_that_are_described_are_promised() {
    let server = Server::closed().await;
    let description = server.http(&Request::get("/api/v1/openapi.json")).await.json();
    let headers = &description["paths"][PATH]["post"]["responses"]["201"]["headers"];
    for name in ["ETag", "Location"] {
        assert_eq!(headers[name]["required"], Value::Bool(true), "{name}: {headers}");
    }
    server.stop().await;
}
