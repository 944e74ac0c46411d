//! Outcomes by API, on each database: drafted, confirmed by the chair in person, locked, amended.

use crate::harness::{Request, Server};
use crate::meetings::done;
use crate::team::{Team, act};
use serde_json::{Value, json};

#[tokio::test]
async fn a_case_that_was_decided_beforehand_is_passed_over() {
    for (database, server) in Server::on_each().await {
        let team = Team::new(&server).await;
        let chair = team.person(&server, "Dr Chair", "chair", None).await;
        let (decided, _) = team.case(&server, "A-1").await;
        team.case(&server, "B-2").await;
        let outcome = format!("{decided}/outcome");
        assert_eq!(act(&server, "PUT", &outcome, &json!({"text": "Surgery"}), &chair.token).await.status, 200);
        let confirm = format!("{outcome}/confirm");
        assert_eq!(act(&server, "POST", &confirm, &json!(null), &chair.token).await.status, 200);
        let list = team.next(&server).await;
        assert_eq!(list["current"], list["items"][1]["id"], "{}: {list}", database.name);
        assert_eq!(list["items"][0]["stage"], "waiting");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_list_with_an_outcome_that_is_confirmed_stays_where_it_was_confirmed() {
    for (database, server) in Server::on_each().await {
        let team = Team::new(&server).await;
        let chair = team.person(&server, "Dr Chair", "chair", None).await;
        let (decided, _) = team.case(&server, "A-1").await;
        team.case(&server, "B-2").await;
        let outcome = format!("{decided}/outcome");
        assert_eq!(act(&server, "PUT", &outcome, &json!({"text": "Surgery"}), &chair.token).await.status, 200);
        let confirm = format!("{outcome}/confirm");
        assert_eq!(act(&server, "POST", &confirm, &json!(null), &chair.token).await.status, 200);
        let change = json!({"start": "2026-12-01T09:15:00"});
        assert_eq!(act(&server, "PATCH", &team.path, &change, &team.key).await.status, 200);
        let before = team.get(&server, "cases?occurrence=2026-12-01T08:30:00").await;
        assert_eq!(before["items"].as_array().unwrap().len(), 2, "{}: {before}", database.name);
        assert!(!team.kinds(&server).await.contains(&"case.list_moved".to_owned()));
        server.stop().await;
    }
}

#[tokio::test]
async fn the_chairs_confirmation_locks_the_outcome_and_a_later_edit_is_refused() {
    for (database, server) in Server::on_each().await {
        let team = Team::new(&server).await;
        let chair = team.person(&server, "Dr Chair", "chair", None).await;
        let coordinator = team.person(&server, "Co Ordinator", "coordinator", None).await;
        let (case, _) = team.case(&server, "A-1").await;
        let outcome = format!("{case}/outcome");
        let confirm = format!("{outcome}/confirm");
        let amendments = format!("{outcome}/amendments");
        let amendment = json!({"text": "PET first.", "reason": "The report came late."});

        let (none, tag) = done(&server, Request::get(&outcome), &coordinator.token, 200).await;
        assert_eq!((&none["state"], &none["text"]), (&json!("none"), &Value::Null), "{}", database.name);
        let early = act(&server, "POST", &confirm, &json!(null), &chair.token).await;
        assert_eq!((early.status, early.problem().as_str()), (409, "outcome_empty"));
        let draft = |text: &str, tag: &str| {
            Request::json("PUT", &outcome, &json!({ "text": text })).header("If-Match", tag.to_owned())
        };
        let (_, second) = done(&server, draft("Surgery", &tag), &coordinator.token, 200).await;
        let lost = server.http(&draft("Something else", &tag).bearer(&team.key)).await;
        assert_eq!((lost.status, lost.problem().as_str()), (412, "stale"), "nobody overwrites what they did not see");
        let (drafted, third) = done(&server, draft("Lobectomy", &second), &coordinator.token, 200).await;
        assert_eq!((&drafted["state"], &drafted["text"]), (&json!("draft"), &json!("Lobectomy")));
        let early = server.http(&Request::json("POST", &amendments, &amendment).bearer(&chair.token)).await;
        assert_eq!(early.problem(), "outcome_not_confirmed");

        // What the chair confirms is what the chair saw.
        let unseen = Request::json("POST", &confirm, &json!(null)).header("If-Match", second.clone());
        assert_eq!(server.http(&unseen.bearer(&chair.token)).await.problem(), "stale");
        for token in [&team.key, &coordinator.token] {
            let answer = act(&server, "POST", &confirm, &json!(null), token).await;
            assert_eq!((answer.status, answer.problem().as_str()), (403, "not_chair"), "{}", database.name);
        }
        let seen = Request::json("POST", &confirm, &json!(null)).header("If-Match", third);
        let (confirmed, locked) = done(&server, seen, &chair.token, 200).await;
        assert_eq!((&confirmed["state"], &confirmed["confirmed_by"]), (&json!("confirmed"), &json!(chair.invitation)));

        for token in [&team.key, &coordinator.token, &chair.token] {
            for tag in ["*", locked.as_str(), second.as_str()] {
                let answer = server.http(&draft("Nothing", tag).bearer(token)).await;
                assert_eq!((answer.status, answer.problem().as_str()), (409, "outcome_confirmed"), "{tag}");
            }
        }
        assert_eq!(act(&server, "POST", &confirm, &json!(null), &chair.token).await.problem(), "outcome_confirmed");
        let about = act(&server, "PATCH", &case, &json!({"reference": "Z-9"}), &team.key).await;
        assert_eq!(about.problem(), "outcome_confirmed", "nor does it become the outcome of another case");
        assert_eq!(act(&server, "DELETE", &case, &json!(null), &team.key).await.problem(), "outcome_confirmed");

        for token in [&team.key, &coordinator.token] {
            let answer = server.http(&Request::json("POST", &amendments, &amendment).bearer(token)).await;
            assert_eq!(answer.problem(), "not_chair", "{}", database.name);
        }
        let unexplained = json!({"text": "PET first."});
        let answer = server.http(&Request::json("POST", &amendments, &unexplained).bearer(&chair.token)).await;
        assert_eq!(answer.problem(), "invalid_body");
        let request = Request::json("POST", &amendments, &amendment).header("Idempotency-Key", "once");
        let (amended, _) = done(&server, request.clone(), &chair.token, 201).await;
        let (again, _) = done(&server, request, &chair.token, 201).await;
        assert_eq!(amended, again, "{}: sent twice, amended once", database.name);
        let (read, _) = done(&server, Request::get(&case), &chair.token, 200).await;
        assert_eq!(read["outcome"], amended, "everybody sees it");
        assert_eq!((&amended["text"], &amended["state"]), (&json!("Lobectomy"), &json!("confirmed")));
        assert_eq!(amended["amendments"].as_array().unwrap().len(), 1);
        assert_eq!(amended["amendments"][0]["by"], json!(chair.invitation));

        let kinds = team.kinds(&server).await;
        for (kind, count) in [("outcome.drafted", 2), ("outcome.confirmed", 1), ("outcome.amended", 1)] {
            assert_eq!(kinds.iter().filter(|seen| *seen == kind).count(), count, "{kind}: {kinds:?}");
        }
        let log = server.app.store().audit_after(0).await.unwrap();
        let by = log.iter().find(|entry| entry.action == "outcome.confirmed").map(|entry| entry.actor.clone());
        assert_eq!(by.as_deref(), Some(chair.invitation.as_str()));
        let told = format!("{log:?} {:?}", server.app.store().events_after(0, 500).await.unwrap());
        for secret in ["Lobectomy", "PET first", "came late", "A-1", "Dr Chair"] {
            assert!(!told.contains(secret), "{}: {secret} is told", database.name);
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_chair_who_is_none_any_more_confirms_nothing() {
    let server = Server::closed().await;
    let team = Team::new(&server).await;
    let chair = team.person(&server, "Dr Chair", "chair", None).await;
    let (case, _) = team.case(&server, "A-1").await;
    let outcome = format!("{case}/outcome");
    assert_eq!(act(&server, "PUT", &outcome, &json!({"text": "Surgery"}), &chair.token).await.status, 200);
    let invitation = format!("/api/v1/invitations/{}", chair.invitation);
    assert_eq!(act(&server, "PATCH", &invitation, &json!({"role": "core"}), &team.key).await.status, 200);
    let answer = act(&server, "POST", &format!("{outcome}/confirm"), &json!(null), &chair.token).await;
    assert_eq!((answer.status, answer.problem().as_str()), (403, "not_chair"));
    server.stop().await;
}
