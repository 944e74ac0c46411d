//! The list of cases by API, and how a meeting goes through it, on each database.

use crate::harness::{Request, Server};
use crate::meetings::{PATH, done};
use crate::team::{Team, act};
use serde_json::{Value, json};

fn references(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| format!("{} {}", item["position"], item["reference"].as_str().unwrap())).collect()
}

fn stages(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["stage"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_list_is_kept_in_order_for_each_occurrence() {
    for (database, server) in Server::on_each().await {
        let team = Team::new(&server).await;
        let cases = format!("{}/cases", team.path);
        for reference in ["A-1", "B-2", "C-3"] {
            team.case(&server, reference).await;
        }
        let asked = json!({"reference": "D-4", "notes": "What\nnow?", "occurrence": "2027-01-05T08:30:00"});
        let request = Request::json("POST", &cases, &asked).header("Idempotency-Key", "once");
        let (first, _) = done(&server, request.clone(), &team.key, 201).await;
        let (second, _) = done(&server, request, &team.key, 201).await;
        assert_eq!(first, second, "{}", database.name);
        assert_eq!((&first["position"], &first["notes"]), (&json!(1), &json!("What\nnow?")));
        let list = team.get(&server, "cases").await;
        assert_eq!(references(&list), ["1 A-1", "2 B-2", "3 C-3"], "{}", database.name);
        assert_eq!(list["occurrence"], "2026-12-01T08:30:00");
        let later = team.get(&server, "cases?occurrence=2027-01-05T08:30:00").await;
        assert_eq!(references(&later), ["1 D-4"]);

        let id = |index: usize| list["items"][index]["id"].clone();
        let order = format!("{cases}/order");
        let put = |ids: Value| json!({"cases": ids});
        let swapped = put(json!([id(2), id(0), id(1)]));
        let (list, _) = done(&server, Request::json("PUT", &order, &swapped), &team.key, 200).await;
        assert_eq!(references(&list), ["1 C-3", "2 A-1", "3 B-2"], "{}", database.name);
        for wrong in
            [put(json!([id(2), id(0)])), put(json!([id(2), id(0), id(0)])), put(json!([first["id"], id(0), id(1)]))]
        {
            let answer = server.http(&Request::json("PUT", &order, &wrong).bearer(&team.key)).await;
            assert_eq!((answer.status, answer.problem().as_str()), (412, "stale"), "{wrong}");
        }
        let one = format!("{cases}/{}", list["items"][0]["id"].as_str().unwrap());
        let answer = act(&server, "PATCH", &one, &json!({"reference": "C-33", "notes": null}), &team.key).await;
        assert_eq!((answer.status, &answer.json()["reference"]), (200, &json!("C-33")));
        let stale = Request::json("PATCH", &one, &json!({})).header("If-Match", "\"v1\"").bearer(&team.key);
        assert_eq!(server.http(&stale).await.problem(), "stale");
        assert_eq!(act(&server, "DELETE", &one, &json!(null), &team.key).await.status, 204);
        assert_eq!(references(&team.get(&server, "cases").await), ["1 A-1", "2 B-2"], "{}", database.name);
        assert_eq!(server.http(&Request::get(&one).bearer(&team.key)).await.problem(), "not_found");
        server.stop().await;
    }
}

#[tokio::test]
async fn what_is_no_case_of_this_meeting_is_refused() {
    let server = Server::closed().await;
    let (team, other) = (Team::new(&server).await, Team::new(&server).await);
    let cases = format!("{}/cases", team.path);
    for (body, status, code) in [
        (json!({"reference": "John Smith"}), 422, "invalid_body"),
        (json!({"reference": "943-476-5919"}), 422, "invalid_body"),
        (json!({"reference": "A-1", "notes": "a\u{202e}b"}), 422, "invalid_body"),
        (json!({"reference": "A-1", "patient": "x"}), 422, "invalid_body"),
        (json!({"reference": "A-1", "occurrence": "2026-12-02T08:30:00"}), 422, "invalid_value"),
        (json!({"reference": "A-1", "occurrence": "tomorrow"}), 422, "invalid_value"),
    ] {
        let answer = server.http(&Request::json("POST", &cases, &body).bearer(&team.key)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{body}");
        assert!(!answer.text().contains("943-476-5919"), "a number is not repeated: {}", answer.text());
    }
    let elsewhere = format!("{cases}?occurrence=2026-12-02T08:30:00");
    assert_eq!(server.http(&Request::get(&elsewhere).bearer(&team.key)).await.problem(), "invalid_query");
    let (case, _) = other.case(&server, "A-1").await;
    let foreign = format!("{cases}/{}", case.rsplit('/').next().unwrap());
    for (method, path) in [("GET", foreign.clone()), ("DELETE", foreign.clone()), ("POST", format!("{foreign}/start"))]
    {
        let answer = act(&server, method, &path, &json!(null), &team.key).await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not_found"), "{method} {path}");
    }
    let gone = act(&server, "DELETE", &team.path, &json!(null), &team.key).await;
    assert_eq!(gone.status, 200);
    let answer = server.http(&Request::json("POST", &cases, &json!({"reference": "A-1"})).bearer(&team.key)).await;
    assert_eq!(answer.problem(), "meeting_cancelled");
    server.stop().await;
}

#[tokio::test]
async fn a_list_is_bounded() {
    let server = Server::closed().await;
    let team = Team::new(&server).await;
    let full = consilium::mdt::case::CASES_MAX;
    for number in 0..full {
        team.case(&server, &format!("A-{number}")).await;
    }
    let body = json!({"reference": "one-2-many"});
    let answer = server.http(&Request::json("POST", &format!("{}/cases", team.path), &body).bearer(&team.key)).await;
    assert_eq!((answer.status, answer.problem().as_str()), (409, "too_many"));
    assert_eq!(team.get(&server, "cases").await["items"].as_array().unwrap().len(), full);
    server.stop().await;
}

#[tokio::test]
async fn one_case_is_current_and_the_timer_stands_in_a_pause() {
    for (database, server) in Server::on_each().await {
        let team = Team::new(&server).await;
        let mut paths = Vec::new();
        for reference in ["A-1", "B-2", "C-3"] {
            paths.push(team.case(&server, reference).await.0);
        }
        let step = async |case: &str, step: &str| {
            let answer = act(&server, "POST", &format!("{case}/{step}"), &json!(null), &team.key).await;
            if answer.status == 200 { String::new() } else { format!("{} {}", answer.status, answer.problem()) }
        };
        assert_eq!(step(&paths[0], "pause").await, "409 case_stage", "{}", database.name);
        assert_eq!(step(&paths[0], "start").await, "");
        assert_eq!(step(&paths[0], "start").await, "409 case_stage");
        assert_eq!(step(&paths[0], "pause").await, "");
        assert_eq!(step(&paths[0], "pause").await, "409 case_stage");
        let (paused, _) = done(&server, Request::get(&paths[0]), &team.key, 200).await;
        assert_eq!((&paused["stage"], &paused["timer"]["runs_since"]), (&json!("current"), &Value::Null));
        assert_eq!(step(&paths[0], "resume").await, "");
        // Another one takes its place.
        assert_eq!(step(&paths[2], "start").await, "", "{}", database.name);
        let list = team.get(&server, "cases").await;
        assert_eq!(stages(&list), ["done", "waiting", "current"], "{}", database.name);
        assert_eq!(list["current"], list["items"][2]["id"]);
        assert!(list["items"][2]["timer"]["runs_since"].is_string() && list["items"][1]["timer"]["seconds"] == 0);
        assert_eq!(act(&server, "DELETE", &paths[0], &json!(null), &team.key).await.problem(), "case_stage");

        // Nothing waits behind the last.
        assert_eq!(stages(&team.next(&server).await), ["done", "waiting", "done"]);
        let list = team.next(&server).await;
        assert_eq!(stages(&list), ["done", "current", "done"], "{}: the one that was passed over", database.name);
        let next = format!("{}/cases/next", team.path);
        let twice = json!({"after": null});
        let answer = server.http(&Request::json("POST", &next, &twice).bearer(&team.key)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (412, "stale"), "two who press go one further");
        assert_eq!(step(&paths[1], "finish").await, "");
        let answer = server.http(&Request::json("POST", &next, &twice).bearer(&team.key)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (409, "case_stage"));
        assert_eq!(step(&paths[1], "start").await, "", "talked about again");
        let kinds = team.kinds(&server).await;
        for kind in ["case.created", "case.started", "case.paused", "case.resumed", "case.finished"] {
            assert!(kinds.iter().any(|seen| seen == kind), "no {kind} in {kinds:?}");
        }
        let log = server.app.store().audit_after(0).await.unwrap();
        assert_eq!(log.iter().filter(|entry| entry.action == "case.started").count(), 4, "{}", database.name);
        server.stop().await;
    }
}

#[tokio::test]
async fn the_timer_goes_on_after_a_restart() {
    let server = Server::closed().await;
    let team = Team::new(&server).await;
    let (case, _) = team.case(&server, "A-1").await;
    assert_eq!(act(&server, "POST", &format!("{case}/start"), &json!(null), &team.key).await.status, 200);
    let (before, _) = done(&server, Request::get(&case), &team.key, 200).await;
    let server = server.restart().await;
    let (after, tag) = done(&server, Request::get(&case), &team.key, 200).await;
    assert_eq!((&after["stage"], &after["timer"]["runs_since"]), (&before["stage"], &before["timer"]["runs_since"]));
    let finish = format!("{case}/finish");
    let finish = Request::json("POST", &finish, &json!(null)).header("If-Match", tag);
    let (done_case, _) = done(&server, finish, &team.key, 200).await;
    assert!(done_case["timer"]["seconds"].as_i64().unwrap() >= 1);
    server.stop().await;
}

#[tokio::test]
async fn hosts_run_the_list_and_the_others_read_it() {
    let server = Server::closed().await;
    let (team, other) = (Team::new(&server).await, Team::new(&server).await);
    let (case, _) = team.case(&server, "A-1").await;
    let cases = format!("{}/cases", team.path);
    let start = format!("{case}/start");
    for (role, may) in [("chair", true), ("coordinator", true), ("core", false), ("observer", false), ("guest", false)]
    {
        let token = team.person(&server, "X", role, None).await.token;
        assert_eq!(server.http(&Request::get(&cases).bearer(&token)).await.status, 200, "{role}");
        let created = server.http(&Request::json("POST", &cases, &json!({"reference": "B-2"})).bearer(&token)).await;
        assert_eq!(created.status, if may { 201 } else { 403 }, "{role}: {}", created.text());
        if !may {
            assert_eq!(created.problem(), "not_host");
            assert_eq!(act(&server, "POST", &start, &json!(null), &token).await.problem(), "not_host");
            for what in ["attendance", "attendance.csv", "report", "report.csv", "report.html"] {
                let path = format!("{}/{what}", team.path);
                assert_eq!(
                    server.http(&Request::get(&path).bearer(&token)).await.problem(),
                    "not_host",
                    "{role} {what}"
                );
            }
        }
        let foreign = format!("{}/cases", other.path);
        assert_eq!(server.http(&Request::get(&foreign).bearer(&token)).await.problem(), "not_found", "{role}");
    }
    let reader = server.api_key(&[consilium::identity::Scope::MeetingsRead]).await;
    assert_eq!(server.http(&Request::get(&cases).bearer(&reader)).await.status, 200);
    assert_eq!(act(&server, "POST", &start, &json!(null), &reader).await.problem(), "missing_scope");
    let nowhere = format!("{PATH}/mtg_00000000000000000000000000/cases");
    assert_eq!(server.http(&Request::get(&nowhere).bearer(&reader)).await.problem(), "not_found");
    server.stop().await;
}

#[tokio::test]
async fn a_prepared_list_goes_with_its_day_and_one_that_was_discussed_stays_readable() {
    for (database, server) in Server::on_each().await {
        let team = Team::new(&server).await;
        team.case(&server, "A-1").await;
        team.next(&server).await;
        team.next(&server).await;
        let cases = format!("{}/cases", team.path);
        let later = json!({"reference": "B-2", "occurrence": "2026-12-08T08:30:00"});
        done(&server, Request::json("POST", &cases, &later), &team.key, 201).await;
        let change = json!({"start": "2026-12-01T09:15:00"});
        assert_eq!(act(&server, "PATCH", &team.path, &change, &team.key).await.status, 200);
        let moved = team.get(&server, "cases?occurrence=2026-12-08T09:15:00").await;
        assert_eq!(references(&moved), ["1 B-2"], "{}", database.name);
        // What was decided was decided then.
        assert!(references(&team.get(&server, "cases").await).is_empty());
        let before = team.get(&server, "report?occurrence=2026-12-01T08:30:00").await;
        assert_eq!(
            (&before["cases"][0]["reference"], &before["starts_at"]),
            (&json!("A-1"), &json!("2026-12-01T08:30:00Z"))
        );
        // Nor does a list vanish with its occurrence.
        let gone = format!("{}/occurrences/2026-12-08T09:15:00", team.path);
        assert_eq!(act(&server, "DELETE", &gone, &json!(null), &team.key).await.status, 204);
        assert_eq!(team.get(&server, "cases?occurrence=2026-12-08T09:15:00").await, moved, "{}", database.name);
        assert!(team.kinds(&server).await.contains(&"case.list_moved".to_owned()));
        server.stop().await;
    }
}
