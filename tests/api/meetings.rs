//! Meetings and their occurrences by API, on each database.

use crate::harness::{Answer, Request, Server};
use consilium::identity::Scope;
use consilium::moment::Moment;
use serde_json::{Value, json};
use std::collections::HashSet;

pub(crate) const PATH: &str = "/api/v1/meetings";

pub(crate) fn weekly() -> Value {
    json!({
        "title": "Lung MDT",
        "start": "2026-12-01T08:30:00",
        "time_zone": "Europe/London",
        "duration_minutes": 60,
        "recurrence": "FREQ=WEEKLY;BYDAY=TU",
        "lobby": "nobody",
        "required_specialties": ["Oncology", "Surgery"],
    })
}

/// The same, every day, and going on at this moment whenever that is.
pub(crate) fn under_way() -> Value {
    let start = Moment::from_ms(Moment::now().ms() - 60_000).to_rfc3339();
    let mut wanted = weekly();
    wanted["start"] = json!(start[..19]);
    wanted["time_zone"] = json!("UTC");
    wanted["recurrence"] = json!("FREQ=DAILY");
    wanted
}

/// What an answer of success holds, with the ETag.
pub(crate) async fn done(server: &Server, request: Request<'_>, key: &str, status: u16) -> (Value, String) {
    let answer = server.http(&request.bearer(key)).await;
    assert_eq!(answer.status, status, "{}", answer.text());
    let body = if answer.body.is_empty() { Value::Null } else { answer.json() };
    (body, answer.header("etag").to_owned())
}

async fn refused(server: &Server, request: Request<'_>, key: &str) -> (u16, String) {
    let answer: Answer = server.http(&request.bearer(key)).await;
    (answer.status, answer.problem())
}

#[tokio::test]
async fn a_meeting_is_scheduled_read_changed_and_cancelled() {
    for (database, server) in Server::on_each().await {
        let key = server.api_key(&[Scope::MeetingsWrite]).await;
        let created = server.http(&Request::json("POST", PATH, &weekly()).bearer(&key)).await;
        assert_eq!(created.status, 201, "{}: {}", database.name, created.text());
        let (one, tag) = (created.header("location").to_owned(), created.header("etag").to_owned());
        let meeting = created.json();
        assert_eq!(one, format!("{PATH}/{}", meeting["id"].as_str().unwrap()));
        assert_eq!((&meeting["starts_at"], &meeting["status"]), (&json!("2026-12-01T08:30:00Z"), &json!("scheduled")));
        assert_eq!((&meeting["capacity"], &meeting["sequence"]), (&json!(50), &json!(0)));
        let (read, read_tag) = done(&server, Request::get(&one), &key, 200).await;
        assert_eq!((&read, &read_tag), (&meeting, &tag));

        let change = json!({"title": "Lung MDT, now longer", "duration_minutes": 90, "recurrence": null});
        let patch = |tag: &str| Request::json("PATCH", &one, &change).header("If-Match", tag);
        let unconditional = Request::json("PATCH", &one, &change);
        assert_eq!(refused(&server, unconditional, &key).await, (428, "precondition_required".into()));
        assert_eq!(refused(&server, patch("\"v9\""), &key).await, (412, "stale".into()));
        let (changed, new_tag) = done(&server, patch(&tag), &key, 200).await;
        assert_eq!((&changed["duration_minutes"], &changed["recurrence"]), (&json!(90), &Value::Null));
        assert_eq!((&changed["lobby"], &changed["sequence"]), (&meeting["lobby"], &json!(1)));
        assert_ne!(new_tag, tag);
        assert_eq!(refused(&server, patch(&tag), &key).await, (412, "stale".into()), "the old version is history");
        let (same, same_tag) = done(&server, patch(&new_tag), &key, 200).await;
        assert_eq!((&same, &same_tag), (&changed, &new_tag), "nothing changes twice");

        let cancel = |tag: &str| Request::delete(&one).header("If-Match", tag);
        let (cancelled, last_tag) = done(&server, cancel(&new_tag), &key, 200).await;
        assert_eq!((&cancelled["status"], &cancelled["sequence"]), (&json!("cancelled"), &json!(2)));
        assert_eq!(refused(&server, cancel(&last_tag), &key).await, (409, "meeting_cancelled".into()));
        assert_eq!(refused(&server, patch(&last_tag), &key).await, (409, "meeting_cancelled".into()));

        let store = server.app.store();
        let events = store.events_of(meeting["id"].as_str().unwrap(), 0, 10).await.unwrap();
        let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["meeting.created", "meeting.updated", "meeting.cancelled"], "{}", database.name);
        let log = store.audit_after(1).await.unwrap();
        assert!(log.iter().map(|entry| entry.action.as_str()).eq(kinds), "every change is in the audit log");
        let told = format!("{events:?} {log:?}");
        assert!(!told.contains("Lung") && !told.contains("Oncology"), "titles stay in the store: {told}");
        store.verify_audit().await.unwrap().unwrap();
        server.stop().await;
    }
}

#[tokio::test]
async fn a_key_without_the_scope_reads_or_does_nothing() {
    let server = Server::closed().await;
    let writer = server.api_key(&[Scope::MeetingsWrite]).await;
    let reader = server.api_key(&[Scope::MeetingsRead]).await;
    let other = server.api_key(&[Scope::KeysAdmin]).await;
    let (meeting, tag) = done(&server, Request::json("POST", PATH, &weekly()), &writer, 201).await;
    let one = format!("{PATH}/{}", meeting["id"].as_str().unwrap());
    let window = format!("{one}/occurrences?from=2026-12-01T00:00:00Z&to=2026-12-31T00:00:00Z");
    let (single, invitations) = (format!("{one}/occurrences/2026-12-08T08:30:00"), format!("{one}/invitations"));
    let guest = json!({"name": "Dr One", "role": "guest"});
    let (invitation, _) = done(&server, Request::json("POST", &invitations, &guest), &writer, 201).await;
    let invited = format!("/api/v1/invitations/{}", invitation["id"].as_str().unwrap());
    let link = format!("{invited}/link");
    for path in [PATH, &one, &window, &invitations, &invited] {
        assert_eq!(server.http(&Request::get(path).bearer(&reader)).await.status, 200, "{path}");
        assert_eq!(refused(&server, Request::get(path), &other).await, (403, "missing_scope".into()), "{path}");
        assert_eq!(server.http(&Request::get(path)).await.status, 401, "{path}");
    }
    let moved = json!({"start": "2026-12-09T08:30:00"});
    let requests = [
        Request::json("POST", PATH, &weekly()),
        Request::json("PATCH", &one, &json!({})),
        Request::delete(&one),
        Request::json("PUT", &single, &moved),
        Request::delete(&single),
        Request::json("POST", &invitations, &guest),
        Request::json("PATCH", &invited, &json!({})),
        Request::delete(&invited),
        Request::json("POST", &link, &json!({})),
    ];
    for request in requests {
        let request = request.header("If-Match", tag.clone());
        for key in [&reader, &other] {
            let answer = refused(&server, request.clone(), key).await;
            assert_eq!(answer, (403, "missing_scope".into()), "{} {}", request.method, request.path);
        }
    }
    assert_eq!(done(&server, Request::get(&one), &reader, 200).await, (meeting, tag), "nothing happened");
    server.stop().await;
}

#[tokio::test]
async fn meetings_are_found_by_title_time_and_status() {
    for (database, server) in Server::on_each().await {
        let key = server.api_key(&[Scope::MeetingsWrite]).await;
        let titles = [
            "Lung MDT",
            "LUNG board",
            "Ｌｕｎｇ wide",
            "Breast 100%",
            "Breast 100x",
            "under_score",
            "underXscore",
            "back\\slash",
        ];
        for (day, title) in titles.iter().enumerate() {
            let mut meeting = weekly();
            meeting["title"] = json!(title);
            meeting["start"] = json!(format!("2026-12-{:02}T08:30:00", day + 1));
            meeting["recurrence"] = Value::Null;
            done(&server, Request::json("POST", PATH, &meeting), &key, 201).await;
        }
        let series = Request::json("POST", PATH, &weekly());
        let (series, tag) = done(&server, series, &key, 201).await;
        let found = async |query: &str| {
            let path = format!("{PATH}?{query}");
            let (page, _) = done(&server, Request::get(&path), &key, 200).await;
            let items = page["items"].as_array().unwrap().clone();
            items.iter().map(|item| item["title"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let all = found("").await;
        assert_eq!(all.len(), titles.len() + 1, "{}", database.name);
        assert_eq!(
            found("title=lUnG").await,
            ["Lung MDT", "Lung MDT", "LUNG board", "Ｌｕｎｇ wide"],
            "{}",
            database.name
        );
        assert_eq!(found("title=100%25").await, ["Breast 100%"]);
        assert_eq!(found("title=r_s").await, ["under_score"]);
        assert_eq!(found("title=%5Cs").await, ["back\\slash"]);
        assert_eq!(found("title=%27%20OR%201%3D1%20--").await, [""; 0]);
        // The series goes on; single meetings are over or not begun.
        assert_eq!(found("from=2026-12-02T00:00:00Z&to=2026-12-03T00:00:00Z").await, ["Lung MDT", "LUNG board"]);
        assert_eq!(found("from=2030-01-01T00:00:00Z").await, ["Lung MDT"]);
        assert_eq!(found("to=2026-12-01T08:30:00Z").await, [""; 0]);
        assert_eq!(found("status=cancelled").await, [""; 0]);
        let one = format!("{PATH}/{}", series["id"].as_str().unwrap());
        done(&server, Request::delete(&one).header("If-Match", tag), &key, 200).await;
        assert_eq!(found("status=cancelled").await, ["Lung MDT"]);

        // Pages hold each once, in order, whatever the size.
        for limit in [1, 4, 200] {
            let mut seen = Vec::new();
            let mut path = format!("{PATH}?limit={limit}");
            loop {
                let (page, _) = done(&server, Request::get(&path), &key, 200).await;
                seen.extend(
                    page["items"].as_array().unwrap().iter().map(|item| item["title"].as_str().unwrap().to_owned()),
                );
                let Some(next) = page["next"].as_str() else { break };
                path = format!("{PATH}?limit={limit}&cursor={next}");
            }
            assert_eq!(seen, all, "{}: pages of {limit}", database.name);
        }
        let (page, _) = done(&server, Request::get(&format!("{PATH}?limit=1")), &key, 200).await;
        let other = format!("{PATH}?title=lung&cursor={}", page["next"].as_str().unwrap());
        assert_eq!(refused(&server, Request::get(&other), &key).await, (400, "invalid_cursor".into()));
        server.stop().await;
    }
}

#[tokio::test]
async fn single_occurrences_of_a_series_are_moved_and_cancelled() {
    for (database, server) in Server::on_each().await {
        let key = server.api_key(&[Scope::MeetingsWrite]).await;
        let (meeting, tag) = done(&server, Request::json("POST", PATH, &weekly()), &key, 201).await;
        let one = format!("{PATH}/{}", meeting["id"].as_str().unwrap());
        let of = |original: &str| format!("{one}/occurrences/{original}");
        let december = format!("{one}/occurrences?from=2026-12-01T00:00:00Z&to=2026-12-24T00:00:00Z");
        let starts = async || {
            let (window, _) = done(&server, Request::get(&december), &key, 200).await;
            let items = window["items"].as_array().unwrap().clone();
            let show = |item: &Value| {
                let mark = if item["is_cancelled"] == true {
                    "-"
                } else if item["is_moved"] == true {
                    ">"
                } else {
                    ""
                };
                format!("{mark}{}", item["starts_at"].as_str().unwrap())
            };
            items.iter().map(show).collect::<Vec<_>>()
        };
        let regular = ["2026-12-01T08:30:00Z", "2026-12-08T08:30:00Z", "2026-12-15T08:30:00Z", "2026-12-22T08:30:00Z"];
        assert_eq!(starts().await, regular, "{}", database.name);

        let (second, third) = (of("2026-12-08T08:30:00"), of("2026-12-15T08:30:00"));
        let move_to = json!({"start": "2026-12-09T14:00:00", "duration_minutes": 30});
        let request = Request::json("PUT", &second, &move_to);
        assert_eq!(refused(&server, request.clone(), &key).await, (428, "precondition_required".into()));
        let (moved, tag_2) = done(&server, request.clone().header("If-Match", tag.clone()), &key, 200).await;
        assert_eq!(
            (&moved["starts_at"], &moved["ends_at"]),
            (&json!("2026-12-09T14:00:00Z"), &json!("2026-12-09T14:30:00Z"))
        );
        assert_eq!(refused(&server, request.header("If-Match", tag), &key).await, (412, "stale".into()));
        let (_, tag_3) = done(&server, Request::delete(&third).header("If-Match", tag_2), &key, 204).await;
        let expected = [regular[0], ">2026-12-09T14:00:00Z", "-2026-12-15T08:30:00Z", regular[3]];
        assert_eq!(starts().await, expected, "{}", database.name);

        for absent in ["2026-12-10T08:30:00", "2026-12-08T08:31:00", "2025-12-02T08:30:00", "tomorrow", "2026-12-08"] {
            let path = of(absent);
            let answer = server.http(&Request::delete(&path).header("If-Match", "*").bearer(&key)).await;
            assert_eq!((answer.status, answer.problem().as_str()), (404, "not_found"), "{absent}");
        }
        // Another rule has other occurrences.
        let change = json!({"recurrence": "FREQ=WEEKLY;BYDAY=TU;COUNT=3"});
        done(&server, Request::json("PATCH", &one, &change).header("If-Match", tag_3), &key, 200).await;
        assert_eq!(starts().await, regular[..3], "{}", database.name);
        for window in [
            "from=2026-12-01T00:00:00Z&to=2026-12-01T00:00:00Z",
            "from=2026-12-01T00:00:00Z&to=2028-12-01T00:00:00Z",
            "from=2026-12-01T00:00:00Z",
            "from=yesterday&to=2026-12-01T00:00:00Z",
        ] {
            let path = format!("{one}/occurrences?{window}");
            assert_eq!(refused(&server, Request::get(&path), &key).await, (400, "invalid_query".into()), "{window}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn an_impossible_meeting_is_refused_with_its_fields() {
    let server = Server::closed().await;
    let key = server.api_key(&[Scope::MeetingsWrite]).await;
    let cases: Vec<(&str, Value, &str)> = vec![
        ("start", json!("2026-02-30T08:30:00"), "/start"),
        ("start", json!("2026-03-29T01:30:00"), "/start"),
        ("start", json!("2026-12-01T08:30:00+00:00"), "/start"),
        ("time_zone", json!("Europe/Atlantis"), "/time_zone"),
        ("duration_minutes", json!(0), "/duration_minutes"),
        ("duration_minutes", json!(100_000), "/duration_minutes"),
        ("capacity", json!(1), "/capacity"),
        ("capacity", json!(100_000), "/capacity"),
        ("recurrence", json!("FREQ=SECONDLY;COUNT=1000000000"), "/recurrence"),
        ("recurrence", json!("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31"), "/recurrence"),
        ("recurrence", json!("FREQ=WEEKLY;BYDAY=MO"), "/recurrence"),
        ("required_specialties", json!(vec!["x"; 33]), "/required_specialties"),
    ];
    for (field, value, pointer) in cases {
        let mut meeting = weekly();
        meeting[field] = value.clone();
        let answer = server.http(&Request::json("POST", PATH, &meeting).bearer(&key)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid_value"), "{field}: {value}");
        let pointers: HashSet<_> = answer.json()["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["pointer"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(pointers, HashSet::from([pointer.to_owned()]), "{field}: {value}");
    }
    for (field, value) in [
        ("title", json!("a\u{202e}b")),
        ("title", json!("")),
        ("title", json!(7)),
        ("lobby", json!("open")),
        ("duration_minutes", json!(-5)),
        ("duration_minutes", json!(4_294_967_296u64)),
        ("capacity", json!(2.5)),
        ("settings", json!({"root": true})),
        ("owner", json!("key_00000000000000000000000000")),
    ] {
        let mut meeting = weekly();
        meeting[field] = value.clone();
        let answer = refused(&server, Request::json("POST", PATH, &meeting), &key).await;
        assert_eq!(answer, (422, "invalid_body".into()), "{field}: {value}");
    }
    assert_eq!(done(&server, Request::get(PATH), &key, 200).await.0["items"], json!([]));
    server.stop().await;
}
