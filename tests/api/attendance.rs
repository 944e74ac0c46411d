//! Attendance and quorum of people who really join: WebSocket, ICE, DTLS. On each database.

use crate::harness::{Answer, Request, Server, wait_until};
use crate::meetings::done;
use crate::team::{Team, act, engine, enter};
use consilium::config::{Config, Secret};
use serde_json::{Value, json};

async fn table(server: &Server, team: &Team, what: &str) -> Answer {
    let answer = server.http(&Request::get(&format!("{}/{what}", team.path)).bearer(&team.key)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// Whether each person was present, by case and name, as the JSON has it.
fn present(attendance: &Value) -> Vec<(i64, String, bool, i64)> {
    let of_case = |case: &Value| -> Vec<_> {
        let people = case["people"].as_array().unwrap();
        let row = |one: &Value| {
            let name = one["name"].as_str().unwrap().to_owned();
            (case["position"].as_i64().unwrap(), name, one["is_present"] == true, one["seconds"].as_i64().unwrap())
        };
        people.iter().map(row).collect()
    };
    attendance["cases"].as_array().unwrap().iter().flat_map(of_case).collect()
}

/// The same as the table has it. No cell of these tests holds a comma.
fn present_in_table(text: &str) -> Vec<(i64, String, bool, i64)> {
    let mut lines = text.split("\r\n").filter(|line| !line.is_empty()).map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let column = |title: &str| head.iter().position(|cell| *cell == title).unwrap();
    let (position, name, is_present, seconds) =
        (column("case_position"), column("name"), column("present"), column("present_seconds"));
    lines
        .map(|row| {
            (
                row[position].parse().unwrap(),
                row[name].to_owned(),
                row[is_present] == "yes",
                row[seconds].parse().unwrap(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_joiner_is_absent_from_case_1_and_present_in_case_2_and_the_csv_agrees() {
    let engine = engine();
    for (database, server) in Server::on_each().await {
        let team = Team::new(&server).await;
        let early = team.person(&server, "Dr Early", "chair", Some("Oncology")).await;
        let late = team.person(&server, "Dr Late", "core", Some("surgery")).await;
        team.person(&server, "Dr Never", "core", Some("Radiology")).await;
        team.case(&server, "A-1").await;
        team.case(&server, "B-2").await;
        let quorum = team.get(&server, "quorum").await;
        assert_eq!((&quorum["is_reached"], &quorum["present"]), (&json!(false), &json!(0)), "{}", database.name);

        let first = enter(&server, &engine, &team, &early).await;
        team.wait_present(&server, 1).await;
        assert_eq!(team.get(&server, "quorum").await["missing"], json!(["Surgery"]));
        team.next(&server).await;
        team.next(&server).await;
        let second = enter(&server, &engine, &team, &late).await;
        team.wait_present(&server, 2).await;
        assert_eq!(team.get(&server, "quorum").await["is_reached"], true, "{}", database.name);
        // Live, while the case is talked about.
        let live = team.get(&server, "attendance").await;
        assert_eq!((&live["cases"][0]["is_final"], &live["cases"][1]["is_final"]), (&json!(true), &json!(false)));
        first.leave().await;
        team.wait_present(&server, 1).await;
        team.next(&server).await;

        let attendance = team.get(&server, "attendance").await;
        let rows = present(&attendance);
        let seen: Vec<_> = rows.iter().map(|(case, name, is_present, _)| (*case, name.as_str(), *is_present)).collect();
        let expected = [
            (1, "Dr Early", true),
            (1, "Dr Late", false),
            (1, "Dr Never", false),
            (2, "Dr Early", true),
            (2, "Dr Late", true),
            (2, "Dr Never", false),
        ];
        assert_eq!(seen, expected, "{}: {attendance}", database.name);
        assert!(rows.iter().all(|(_, _, is_present, seconds)| *is_present == (*seconds > 0)), "{rows:?}");
        let csv = table(&server, &team, "attendance.csv").await;
        assert_eq!(present_in_table(csv.text()), rows, "{}", database.name);
        assert!(
            csv.header("content-disposition").contains("attendance.csv") && csv.header("cache-control") == "no-store"
        );
        let cases = &attendance["cases"];
        assert_eq!((&cases[0]["is_quorate"], &cases[1]["is_quorate"]), (&json!(false), &json!(true)));
        assert_eq!(cases[0]["missing_specialties"], json!(["Surgery"]));

        // What was kept stays, whatever becomes of the invitation, and of what is required.
        let change = json!({"required_specialties": ["Pathology"]});
        assert_eq!(act(&server, "PATCH", &team.path, &change, &team.key).await.status, 200);
        let cases = team.get(&server, "attendance").await["cases"].clone();
        assert_eq!(
            (&cases[0]["is_quorate"], &cases[1]["is_quorate"]),
            (&json!(false), &json!(true)),
            "{}",
            database.name
        );
        assert_eq!(cases[0]["missing_specialties"], json!(["Surgery"]));
        let invitation = format!("/api/v1/invitations/{}", late.invitation);
        assert_eq!(act(&server, "PATCH", &invitation, &json!({"role": "guest"}), &team.key).await.status, 200);
        assert_eq!(team.get(&server, "attendance").await["cases"][1]["people"][1]["role"], "core");
        second.leave().await;
        team.wait_present(&server, 0).await;
        let told: Vec<_> = team.kinds(&server).await;
        let count = |kind: &str| told.iter().filter(|seen| *seen == kind).count();
        assert_eq!((count("presence.joined"), count("presence.left")), (2, 2), "{told:?}");
        assert!(count("quorum.changed") >= 3, "{told:?}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_everybody_has_left_the_open_case_ends_and_attendance_is_ready() {
    let engine = engine();
    let server = Server::start(|config| {
        config.api.key = Some("key".into());
        config.api.secret = Some(Secret::new(crate::harness::SECRET));
        config.rooms.departure_timeout_seconds = 1;
    })
    .await;
    let team = Team::new(&server).await;
    let person = team.person(&server, "Dr One", "chair", None).await;
    let (case, _) = team.case(&server, "A-1").await;
    let member = enter(&server, &engine, &team, &person).await;
    team.wait_present(&server, 1).await;
    team.next(&server).await;
    member.leave().await;
    let is_ready = async || team.kinds(&server).await.iter().any(|kind| kind == "attendance.ready");
    wait_until(is_ready, async || format!("{:?}", team.kinds(&server).await)).await;
    let (ended, _) = done(&server, Request::get(&case), &team.key, 200).await;
    assert_eq!((&ended["stage"], &ended["timer"]["runs_since"]), (&json!("done"), &Value::Null));
    let attendance = team.get(&server, "attendance").await;
    assert_eq!(attendance["cases"][0]["is_final"], true);
    assert!(present(&attendance)[0].2, "{attendance}");
    let log = server.app.store().audit_after(0).await.unwrap();
    assert!(log.iter().any(|entry| entry.action == "case.finished" && entry.actor == "system"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_says_it_all_and_its_page_runs_nothing() {
    let engine = engine();
    for (database, server) in Server::on_each().await {
        let team = Team::new(&server).await;
        let chair = team.person(&server, "Dr <b>Chair</b>", "chair", Some("Oncology")).await;
        let (case, _) = team.case(&server, "A-1").await;
        let member = enter(&server, &engine, &team, &chair).await;
        team.wait_present(&server, 1).await;
        team.next(&server).await;
        let outcome = format!("{case}/outcome");
        let text = "=HYPERLINK(\"x\")\n<script>alert(1)</script>";
        assert_eq!(act(&server, "PUT", &outcome, &json!({ "text": text }), &chair.token).await.status, 200);
        let confirm = format!("{outcome}/confirm");
        assert_eq!(act(&server, "POST", &confirm, &json!(null), &chair.token).await.status, 200);
        team.next(&server).await;
        member.leave().await;

        let report = team.get(&server, "report").await;
        assert_eq!((&report["title"], &report["occurrence"]), (&json!("Lung MDT"), &json!("2026-12-01T08:30:00")));
        assert_eq!(report["cases"][0]["outcome"]["text"], text, "{}", database.name);
        assert_eq!(report["attendance"], team.get(&server, "attendance").await["cases"]);
        let csv = table(&server, &team, "report.csv").await;
        assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
        assert!(csv.text().contains("\"'=HYPERLINK(\"\"x\"\")"), "{}", csv.text());
        let page = table(&server, &team, "report.html").await;
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("script"), "{policy}");
        assert!(page.text().contains("Dr &lt;b&gt;Chair&lt;/b&gt;") && !page.text().contains("<script"));
        assert!(page.text().contains("<title>Meeting report</title>"));
        server.stop().await;
    }
}

/// Whoever is cut off with the server was there until the server was last known to run.
#[tokio::test]
async fn a_crash_leaves_nobody_present_for_ever() {
    // The case was taken up while they were there.
    crash("2023-11-14T22:13:30Z", 50).await;
}

/// A host who is not in the room may do so by the API alone.
#[tokio::test]
async fn a_case_that_is_taken_up_when_everybody_has_left_ends_with_the_sitting() {
    crash("2023-11-14T22:15:00Z", 0).await;
}

async fn crash(taken_up: &str, seconds: i64) {
    for (database, server) in Server::on_each().await {
        let team = Team::new(&server).await;
        let person = team.person(&server, "Dr One", "chair", None).await;
        let (case, _) = team.case(&server, "A-1").await;
        // What a server leaves behind that was killed at its last sign of life.
        let (began, last) = (1_700_000_000_000_i64, 1_700_000_060_000_i64);
        let left_behind = format!(
            "INSERT INTO server_runs (id, beat_at_ms) VALUES ('run_gone', {last}); \
             INSERT INTO presence (participant, run_id, meeting_id, invitation_id, joined_at_ms) \
             VALUES ('PA_gone', 'run_gone', '{0}', '{1}', {began}); \
             INSERT INTO sittings (meeting_id, occurrence, began_at_ms) VALUES ('{0}', '2026-12-01T08:30:00', {began}); \
             UPDATE cases SET stage = 'current', times = '[{{\"from\":\"{taken_up}\",\"to\":null}}]'",
            team.meeting, person.invitation
        );
        server.meddle(&database, left_behind.leak()).await;
        let is_ready = async || team.kinds(&server).await.iter().any(|kind| kind == "attendance.ready");
        wait_until(is_ready, async || format!("{}: {:?}", database.name, team.kinds(&server).await)).await;
        assert_eq!(team.get(&server, "quorum").await["present"], 0, "{}", database.name);
        let (ended, _) = done(&server, Request::get(&case), &team.key, 200).await;
        assert_eq!(
            (&ended["stage"], &ended["timer"]["seconds"]),
            (&json!("done"), &json!(seconds)),
            "{}",
            database.name
        );
        let attendance = team.get(&server, "attendance").await;
        assert_eq!(attendance["cases"][0]["people"][0]["seconds"], seconds, "{}", database.name);
        server.stop().await;
    }
}

/// It would run on, and those who come now would count as present for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_that_another_occurrence_left_open_ends_when_the_next_one_begins() {
    let engine = engine();
    for (database, server) in Server::on_each().await {
        let team = Team::under_way(&server).await;
        let person = team.person(&server, "Dr One", "chair", None).await;
        let (case, _) = team.case(&server, "A-1").await;
        team.next(&server).await;
        server.meddle(&database, "UPDATE cases SET occurrence = '2023-11-14T22:13:20'").await;
        let member = enter(&server, &engine, &team, &person).await;
        team.wait_present(&server, 1).await;
        let (ended, _) = done(&server, Request::get(&case), &team.key, 200).await;
        assert_eq!(
            (&ended["stage"], &ended["timer"]["runs_since"]),
            (&json!("done"), &Value::Null),
            "{}",
            database.name
        );
        let attendance = team.get(&server, "attendance?occurrence=2023-11-14T22:13:20").await;
        assert_eq!(attendance["cases"][0]["people"][0]["seconds"], 0, "{}: {attendance}", database.name);
        let log = server.app.store().audit_after(0).await.unwrap();
        assert!(log.iter().any(|entry| entry.action == "case.finished" && entry.actor == "system"));
        // One of this occurrence does not end because somebody comes.
        let (own, _) = team.case(&server, "B-2").await;
        team.next(&server).await;
        let _second = enter(&server, &engine, &team, &person).await;
        member.leave().await;
        team.wait_present(&server, 1).await;
        assert_eq!(done(&server, Request::get(&own), &team.key, 200).await.0["stage"], "current", "{}", database.name);
        server.stop().await;
    }
}

/// A server that could not write for a minute is taken for dead by those that share its database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_declared_gone_with_a_server_that_lives_is_present_again() {
    let engine = engine();
    for (database, server) in Server::on_each().await {
        let team = Team::under_way(&server).await;
        let person = team.person(&server, "Dr One", "chair", None).await;
        let member = enter(&server, &engine, &team, &person).await;
        team.wait_present(&server, 1).await;
        let declared_dead = "UPDATE presence SET left_at_ms = joined_at_ms + 1; DELETE FROM server_runs";
        server.meddle(&database, declared_dead).await;
        team.wait_present(&server, 1).await;
        let case = team.case(&server, "A-1").await.0;
        team.next(&server).await;
        member.leave().await;
        team.wait_present(&server, 0).await;
        assert_eq!(act(&server, "POST", &format!("{case}/finish"), &json!(null), &team.key).await.status, 200);
        let attendance = team.get(&server, "attendance").await;
        assert!(present(&attendance)[0].2, "{}: {attendance}", database.name);
        server.stop().await;
    }
}

/// Nobody joins in these seconds, and yet the quorum is another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_that_changes_without_anybody_coming_is_told() {
    let engine = engine();
    let server = Server::start(|config: &mut Config| {
        config.api.key = Some("key".into());
        config.api.secret = Some(Secret::new(crate::harness::SECRET));
    })
    .await;
    let team = Team::under_way(&server).await;
    let person = team.person(&server, "Dr One", "core", Some("Oncology")).await;
    let _member = enter(&server, &engine, &team, &person).await;
    team.wait_present(&server, 1).await;
    let told = async || {
        let events = server.app.store().events_of(&team.meeting, 0, 500).await.unwrap();
        events.into_iter().rfind(|event| event.kind == "quorum.changed").map(|event| event.body)
    };
    assert_eq!(told().await.unwrap()["is_reached"], false);
    let change = json!({"required_specialties": ["oncology"]});
    assert_eq!(act(&server, "PATCH", &team.path, &change, &team.key).await.status, 200);
    let is_told = async || told().await.is_some_and(|body| body["is_reached"] == true);
    wait_until(is_told, async || format!("{:?}", told().await)).await;
    server.stop().await;
}
