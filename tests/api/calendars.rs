//! Meetings as files for calendars, and people's own calendars.

use crate::harness::{Answer, Request, Server};
use crate::meetings::{PATH, done, weekly};
use consilium::identity::Scope;
use serde_json::{Value, json};

const FEEDS: &str = "/api/v1/calendar-feeds";

/// The lines of a calendar, unfolded.
async fn calendar(server: &Server, path: &str, key: &str) -> (String, Answer) {
    let answer = server.http(&Request::get(path).bearer(key)).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    (answer.text().replace("\r\n ", "").replace("\r\n", "\n"), answer)
}

fn assert_has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.contains(&format!("\n{line}\n")), "{line} is not in {text}");
    }
}

async fn invite(server: &Server, key: &str, meeting: &str, name: &str, email: Option<&str>) -> Value {
    let path = format!("{meeting}/invitations");
    let body = json!({"name": name, "role": "core", "email": email});
    done(server, Request::json("POST", &path, &body), key, 201).await.0
}

#[tokio::test]
async fn a_meeting_is_a_file_for_calendars_as_long_as_it_exists() {
    for (database, server) in Server::on_each().await {
        let key = server.api_key(&[Scope::MeetingsWrite]).await;
        let (made, _) = done(&server, Request::json("POST", PATH, &weekly()), &key, 201).await;
        let meeting = format!("{PATH}/{}", made["id"].as_str().unwrap());
        invite(&server, &key, &meeting, "Dr One", Some("one@nhs.net")).await;
        invite(&server, &key, &meeting, "Nobody's Address", None).await;
        let gone = invite(&server, &key, &meeting, "Gone", Some("gone@nhs.net")).await;
        let gone = format!("/api/v1/invitations/{}", gone["id"].as_str().unwrap());
        done(&server, Request::delete(&gone).header("If-Match", "*"), &key, 204).await;
        let moved = format!("{meeting}/occurrences/2026-12-15T08:30:00");
        let to = json!({"start": "2026-12-16T10:00:00"});
        done(&server, Request::json("PUT", &moved, &to).header("If-Match", "*"), &key, 200).await;

        let file = format!("{meeting}/calendar.ics");
        let (text, answer) = calendar(&server, &file, &key).await;
        assert_eq!(answer.header("content-type"), "text/calendar; charset=utf-8; method=REQUEST", "{}", database.name);
        let uid = format!("UID:{}@consilium", made["id"].as_str().unwrap());
        let url = format!("URL:http://localhost:{}/m/{}", server.app.http_addr().port(), made["id"].as_str().unwrap());
        let rule = "RRULE:FREQ=WEEKLY;BYDAY=TU";
        assert_has(&text, &["METHOD:REQUEST", "SEQUENCE:1", "STATUS:CONFIRMED", rule, &uid, &url]);
        assert_has(
            &text,
            &[
                "RECURRENCE-ID;TZID=Europe/London:20261215T083000",
                "ORGANIZER;CN=\"Consilium\":mailto:noreply@localhost",
            ],
        );
        assert!(text.contains("mailto:one@nhs.net") && !text.contains("gone@nhs.net"), "{text}");
        let (revoked, _) = calendar(&server, &format!("{gone}/calendar.ics"), &key).await;
        assert_has(&revoked, &["METHOD:CANCEL", "STATUS:CANCELLED"]);

        done(&server, Request::delete(&meeting).header("If-Match", "*"), &key, 200).await;
        let (text, answer) = calendar(&server, &file, &key).await;
        assert_eq!(answer.header("content-type"), "text/calendar; charset=utf-8; method=CANCEL");
        assert_has(&text, &["METHOD:CANCEL", "SEQUENCE:2", "STATUS:CANCELLED", &uid]);
        let nothing = format!("{PATH}/mtg_00000000000000000000000000/calendar.ics");
        assert_eq!(server.http(&Request::get(&nothing).bearer(&key)).await.problem(), "not_found");
        server.stop().await;
    }
}

#[tokio::test]
async fn only_who_may_write_gets_the_link_that_lets_somebody_in() {
    let server = Server::closed().await;
    let writer = server.api_key(&[Scope::MeetingsWrite]).await;
    let reader = server.api_key(&[Scope::MeetingsRead]).await;
    let (made, _) = done(&server, Request::json("POST", PATH, &weekly()), &writer, 201).await;
    let meeting = format!("{PATH}/{}", made["id"].as_str().unwrap());
    let invitation = invite(&server, &writer, &meeting, "Dr One", Some("one@nhs.net")).await;
    let one = format!("/api/v1/invitations/{}", invitation["id"].as_str().unwrap());
    let file = format!("{one}/calendar.ics");
    let secret = invitation["link_secret"].as_str().unwrap();
    let (text, _) = calendar(&server, &file, &writer).await;
    assert!(text.contains(&format!("/m/{}#{secret}\n", made["id"].as_str().unwrap())), "{text}");
    let (text, _) = calendar(&server, &file, &reader).await;
    assert!(!text.contains('#') && !text.contains(secret), "{text}");

    // A new link takes the place of the old one in calendars too.
    let renew = format!("{one}/link");
    let renew = Request::json("POST", &renew, &json!({})).header("If-Match", "*");
    let (renewed, _) = done(&server, renew, &writer, 200).await;
    let (text, _) = calendar(&server, &file, &writer).await;
    assert!(text.contains(renewed["link_secret"].as_str().unwrap()) && !text.contains(secret), "{text}");
    assert_eq!(server.http(&Request::get(&file)).await.status, 401);
    server.stop().await;
}

#[tokio::test]
async fn a_calendar_of_ones_own_has_every_meeting_and_opens_with_its_address_alone() {
    for (database, server) in Server::on_each().await {
        let key = server.api_key(&[Scope::MeetingsWrite]).await;
        let mut meetings = Vec::new();
        for title in ["Lung MDT", "Breast MDT", "Of others", "Cancelled"] {
            let mut wanted = weekly();
            wanted["title"] = json!(title);
            let (made, _) = done(&server, Request::json("POST", PATH, &wanted), &key, 201).await;
            meetings.push(format!("{PATH}/{}", made["id"].as_str().unwrap()));
        }
        let lung = invite(&server, &key, &meetings[0], "Dr One", Some("One@nhs.net")).await;
        invite(&server, &key, &meetings[1], "Dr One", Some("one@NHS.net")).await;
        invite(&server, &key, &meetings[2], "Dr Two", Some("two@nhs.net")).await;
        invite(&server, &key, &meetings[3], "Dr One", Some("one@nhs.net")).await;
        done(&server, Request::delete(&meetings[3]).header("If-Match", "*"), &key, 200).await;

        let asked = json!({"email": "ONE@nhs.net"});
        let (feed, tag) = done(&server, Request::json("POST", FEEDS, &asked), &key, 201).await;
        let url = feed["url"].as_str().unwrap();
        let path = url.split_once("localhost").unwrap().1.split_once('/').map(|(_, path)| format!("/{path}")).unwrap();
        let answer = server.http(&Request::get(&path)).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, ""), "{}", database.name);
        let text = answer.text().replace("\r\n ", "").replace("\r\n", "\n");
        assert_has(&text, &["METHOD:PUBLISH", "SUMMARY:Lung MDT", "SUMMARY:Breast MDT"]);
        assert_eq!(text.matches("BEGIN:VEVENT").count(), 2, "{text}");
        assert_eq!(text.matches("BEGIN:VTIMEZONE").count(), 1, "{text}");
        assert!(text.contains(lung["link_secret"].as_str().unwrap()) && !text.contains("two@nhs.net"), "{text}");

        // The secret is shown once, and only its hash is kept.
        let one = format!("{FEEDS}/{}", feed["id"].as_str().unwrap());
        let (read, _) = done(&server, Request::get(&one), &key, 200).await;
        assert_eq!((&read["email"], &read["url"]), (&json!("one@nhs.net"), &Value::Null));
        let (list, _) = done(&server, Request::get(FEEDS), &key, 200).await;
        assert_eq!(list["items"], json!([read]));
        for wrong in [path.replace("/feed_", "/feed_0"), path.replace('.', "x"), path.replace("/feed.ics", "/Feed.ics")]
        {
            assert_eq!(server.http(&Request::get(&wrong)).await.problem(), "not_found", "{wrong}");
        }
        let stale = Request::delete(&one).header("If-Match", "\"v9\"");
        assert_eq!(server.http(&stale.bearer(&key)).await.problem(), "stale");
        done(&server, Request::delete(&one).header("If-Match", tag), &key, 204).await;
        assert_eq!(server.http(&Request::get(&path)).await.problem(), "not_found", "{}", database.name);
        let again = Request::delete(&one).header("If-Match", "*").bearer(&key);
        assert_eq!(server.http(&again).await.problem(), "conflict");

        let reader = server.api_key(&[Scope::MeetingsRead]).await;
        let refused = server.http(&Request::json("POST", FEEDS, &asked).bearer(&reader)).await;
        assert_eq!((refused.status, refused.problem().as_str()), (403, "missing_scope"));
        for _ in 0..16 {
            done(&server, Request::json("POST", FEEDS, &asked), &key, 201).await;
        }
        let full = server.http(&Request::json("POST", FEEDS, &asked).bearer(&key)).await;
        assert_eq!((full.status, full.problem().as_str()), (409, "too_many"));
        server.stop().await;
    }
}

#[tokio::test]
async fn a_calendar_of_ones_own_is_fetched_at_a_pace_of_its_own() {
    let server = Server::closed().await;
    let key = server.api_key(&[Scope::MeetingsWrite]).await;
    let mut paths = Vec::new();
    for email in ["one@nhs.net", "two@nhs.net"] {
        let (feed, _) = done(&server, Request::json("POST", FEEDS, &json!({"email": email})), &key, 201).await;
        let url = feed["url"].as_str().unwrap();
        paths.push(url[url.find("/api/").unwrap()..].to_owned());
    }
    let mut statuses = Vec::new();
    for _ in 0..35 {
        statuses.push(server.http(&Request::get(&paths[0])).await.status);
    }
    assert!(statuses.starts_with(&[200; 30]) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(server.http(&Request::get(&paths[1])).await.status, 200, "each has its own");
    server.stop().await;
}

#[tokio::test]
async fn guessing_the_address_of_a_calendar_is_slow() {
    let server = Server::closed().await;
    let guess = format!("/api/v1/calendar/feed_00000000000000000000000000.{}/feed.ics", "A".repeat(43));
    let mut statuses = Vec::new();
    for _ in 0..65 {
        statuses.push(server.http(&Request::get(&guess)).await.status);
    }
    assert!(statuses.starts_with(&[404; 60]) && statuses.contains(&429), "{statuses:?}");
    server.stop().await;
}
