//! Users see and change the meetings that they made; administrators and keys all of them. On each database.

use crate::browser::Browser;
use crate::harness::{Request, Server};
use crate::meetings::{PATH, weekly};
use consilium::identity::{Scope, SiteRole};
use serde_json::json;

#[tokio::test]
async fn somebody_elses_meeting_is_not_there() {
    for (database, server) in Server::on_each().await {
        let (mut ann, user) = Browser::of(&server, "ann", SiteRole::Coordinator).await;
        let (mut ben, _) = Browser::of(&server, "ben", SiteRole::Coordinator).await;
        let (mut member, _) = Browser::of(&server, "mia", SiteRole::Member).await;
        let (mut admin, _) = Browser::of(&server, "ada", SiteRole::Administrator).await;
        let key = server.api_key(&[Scope::MeetingsWrite]).await;

        let made = ann.send(&server, Request::json("POST", PATH, &weekly())).await;
        assert_eq!(made.status, 201, "{}: {}", database.name, made.text());
        let one = made.header("location").to_owned();
        let id = one.rsplit('/').next().unwrap().parse::<String>().unwrap();
        let stored = server.app.store().meeting(&consilium::ids::MeetingId::parse(&id).unwrap()).await.unwrap();
        assert_eq!(stored.owner, user.id.as_str());
        server.http(&Request::json("POST", PATH, &weekly()).bearer(&key)).await;

        let invitations = format!("{one}/invitations");
        let person = json!({"name": "Dr One", "role": "chair"});
        let invited = ann.send(&server, Request::json("POST", &invitations, &person)).await;
        assert_eq!(invited.status, 201, "{}", invited.text());
        let invitation = invited.header("location").to_owned();
        let link = format!("{invitation}/link");
        let window = format!("{one}/occurrences?from=2026-12-01T00:00:00Z&to=2027-01-01T00:00:00Z");
        let start = weekly()["start"].as_str().unwrap().to_owned();
        let occurrence = format!("{one}/occurrences/{start}");

        let change = json!({"title": "Mine now"});
        let requests = [
            Request::get(&one),
            Request::get(&window),
            Request::get(&invitations),
            Request::get(&invitation),
            Request::json("PATCH", &one, &change),
            Request::json("PATCH", &invitation, &json!({"role": "guest"})),
            Request::json("POST", &invitations, &person),
            Request::json("POST", &link, &json!({})),
            Request::json("PUT", &occurrence, &json!({"start": start})),
            Request::delete(&occurrence),
            Request::delete(&invitation),
            Request::delete(&one),
        ];
        for request in requests {
            let request = request.header("If-Match", "*");
            let what = format!("{} {}", request.method, request.path);
            let others = ben.send(&server, request.clone()).await;
            assert_eq!((others.status, others.problem().as_str()), (404, "not_found"), "{}: {what}", database.name);
            let mias = member.send(&server, request.clone()).await;
            assert!(matches!(mias.status, 403 | 404), "{what}: {}", mias.text());
        }
        let count = async |browser: &mut Browser| {
            let answer = browser.send(&server, Request::get(PATH)).await;
            answer.json()["items"].as_array().map(Vec::len)
        };
        assert_eq!(count(&mut ann).await, Some(1));
        assert_eq!(count(&mut ben).await, Some(0));
        assert_eq!(count(&mut member).await, Some(0));
        assert_eq!(count(&mut admin).await, Some(2));
        assert_eq!(member.send(&server, Request::json("POST", PATH, &weekly())).await.problem(), "missing_scope");

        for (browser, title) in [(&mut ann, "By its owner"), (&mut admin, "By an administrator")] {
            assert_eq!(browser.send(&server, Request::get(&invitation)).await.status, 200);
            let request = Request::json("PATCH", &one, &json!({"title": title})).header("If-Match", "*");
            assert_eq!(browser.send(&server, request).await.json()["title"], title, "{}", database.name);
        }
        let cancelled = ann.send(&server, Request::delete(&one).header("If-Match", "*")).await;
        assert_eq!(cancelled.status, 200);
        server.stop().await;
    }
}
