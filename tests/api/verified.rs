//! Who is signed in shows as verified, a guest with the same name as a guest; on each database.

use crate::browser::Browser;
use crate::harness::{Request, Server};
use crate::meetings::{PATH, under_way};
use consilium::identity::account::User;
use consilium::identity::{Scope, SiteRole};
use consilium_signaling::access::Claims;
use serde_json::{Value, json};
use std::time::SystemTime;

const ENTER: &str = "/api/v1/join/invitation";

fn claims(server: &Server, answer: &Value) -> Claims {
    server.app.keys().verify(answer["token"].as_str().unwrap(), SystemTime::now()).unwrap()
}

fn told(claims: &Claims) -> (&str, &str, Option<&str>) {
    let organisation = claims.attributes.get("organisation").map(String::as_str);
    (claims.name.as_str(), claims.attributes["verified"].as_str(), organisation)
}

async fn with_address(server: &Server, user: User) {
    let mut write = server.app.store().write().await.unwrap();
    let email = consilium::meetings::invitation::Email::new("ann@nhs.net");
    let organisation = Some("St Elsewhere".parse().unwrap());
    write.update_user(&User { email, organisation, ..user }).await.unwrap();
    write.commit().await.unwrap();
}

#[tokio::test]
async fn an_invitation_opened_by_somebody_signed_in_shows_who_they_are() {
    for (database, server) in Server::on_each().await {
        let (mut ann, user) = Browser::of(&server, "ann", SiteRole::Member).await;
        let id = user.id.clone();
        with_address(&server, user).await;
        let (mut eve, _) = Browser::of(&server, "eve", SiteRole::Member).await;
        let key = server.api_key(&[Scope::MeetingsWrite]).await;
        let created = server.http(&Request::json("POST", PATH, &under_way()).bearer(&key)).await;
        let path = format!("{}/invitations", created.header("location"));
        let body = json!({"name": "Dr ann", "role": "core", "email": "Ann@nhs.net"});
        let invitation = server.http(&Request::json("POST", &path, &body).bearer(&key)).await.json();
        let link = json!({"link_secret": invitation["link_secret"]});
        let enter = || Request::json("POST", ENTER, &link);

        let guest = server.http(&enter()).await.json();
        assert_eq!(told(&claims(&server, &guest)), ("Dr ann", "false", None), "{}", database.name);
        assert_eq!(guest["is_verified"], false);
        let known = ann.send(&server, enter()).await.json();
        assert_eq!(told(&claims(&server, &known)), ("Dr ann", "true", Some("St Elsewhere")), "{}", database.name);
        assert_eq!(known["is_verified"], true);
        let forwarded = eve.send(&server, enter()).await.json();
        assert_eq!(told(&claims(&server, &forwarded)), ("Dr ann", "false", None), "a link for somebody else");
        let elsewhere = ann.send_from_anywhere(&server, enter()).await.json();
        assert_eq!(told(&claims(&server, &elsewhere)), ("Dr ann", "false", None), "not from our page");
        assert!(!claims(&server, &known).video.may_update_own_metadata(), "nobody verifies themselves");

        let log = server.app.store().audit_after(0).await.unwrap();
        let used: Vec<_> = log.iter().filter(|entry| entry.action == "invitation.used").collect();
        assert_eq!(used.iter().filter(|entry| entry.details.contains(id.as_str())).count(), 1);
        server.stop().await;
    }
}

#[tokio::test]
async fn in_an_open_room_an_account_has_its_own_name() {
    let server = Server::open().await;
    let (mut ann, _) = Browser::of(&server, "ann", SiteRole::Member).await;
    let join = Request::json("POST", "/api/v1/join", &json!({"room": "r", "name": "Prof Somebody Else"}));
    let known = ann.send(&server, join.clone()).await.json();
    assert_eq!(told(&claims(&server, &known)), ("Dr ann", "true", None));
    let guest = server.http(&join).await.json();
    assert_eq!(told(&claims(&server, &guest)), ("Prof Somebody Else", "false", None));
    assert!(!claims(&server, &guest).video.may_update_own_metadata());
    server.stop().await;
}
