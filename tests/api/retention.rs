//! What is over goes, and nothing else, on each database; and the audit log still proves what is left of it.

use crate::databases::databases;
use crate::harness::{Request, Server};
use crate::store::change;
use crate::team::{Team, act, engine, enter};
use consilium::moment::Moment;
use consilium::retention::{Kind, Removed, Rules, apply};
use consilium::store::Store;
use consilium::store::audit::Break;
use consilium::store::readers::Reader;
use serde_json::json;
use std::time::Duration;

const FOR_EVER: Rules = Rules { events_days: 0, presence_days: 0, cases_days: 0, meetings_days: 0, audit_days: 0 };

fn days(number: u64) -> Duration {
    Duration::from_secs(number * 86_400)
}

/// What a round removes of one kind.
async fn removed(store: &Store, rules: &Rules, now: Moment, kind: Kind) -> i64 {
    let removed = apply(store, rules, "test", now).await.unwrap();
    removed.iter().find(|one| one.kind == kind).map_or(0, |one| one.rows)
}

#[tokio::test]
async fn events_go_from_the_front_and_their_numbers_stay() {
    for database in databases().await {
        let store = database.open().await;
        // Nobody mails, so nobody has to have read them.
        store.unfollow(Reader::Mail).await.unwrap();
        // One a millisecond, from the second on.
        for number in 1..=20 {
            change(&store, number).await.unwrap();
        }
        let rules = Rules { events_days: 1, ..FOR_EVER };
        let now = Moment::from_ms(1_011).plus(days(1));
        assert_eq!(apply(&store, &FOR_EVER, "test", now).await.unwrap(), []);
        let all = apply(&store, &rules, "test", now).await.unwrap();
        assert_eq!(all, [Removed { kind: Kind::Events, rows: 10 }], "{}", database.name);
        assert_eq!(removed(&store, &rules, now, Kind::Events).await, 0, "{}: twice", database.name);
        let left: Vec<_> = store.events_after(0, 500).await.unwrap().iter().map(|event| event.sequence).collect();
        assert_eq!(left, (11..=20).collect::<Vec<_>>(), "{}", database.name);
        assert_eq!(store.events_pruned().await.unwrap(), 10);
        assert_eq!(removed(&store, &rules, now.plus(days(9)), Kind::Events).await, 10);
        assert_eq!(change(&store, 21).await.unwrap(), 21, "{}: no number is given twice", database.name);
        let log = store.audit_after(0).await.unwrap();
        let told: Vec<_> = log.iter().filter(|entry| entry.action == "retention.applied").collect();
        assert_eq!(told.len(), 2, "{}: one entry for each batch", database.name);
        assert!(told[0].details.contains("\"kind\":\"events\"") && told[0].details.contains("\"removed\":10"));
    }
}

#[tokio::test]
async fn an_audit_log_that_was_cut_by_the_rule_holds_and_one_that_was_cut_by_hand_does_not() {
    for database in databases().await {
        let store = database.open().await;
        for number in 1..=8 {
            change(&store, number).await.unwrap();
        }
        let rules = Rules { audit_days: 1, ..FOR_EVER };
        let whole = store.verify_audit().await.unwrap().unwrap();
        assert_eq!(removed(&store, &rules, Moment::from_ms(1_004).plus(days(1)), Kind::Audit).await, 3);
        let head = store.verify_audit().await.unwrap().unwrap();
        assert_eq!(head.sequence, whole.sequence + 1, "{}: with the entry that says so", database.name);
        let log = store.audit_after(0).await.unwrap();
        assert_eq!((log[0].sequence, log.last().unwrap().action.as_str()), (4, "audit.pruned"), "{}", database.name);
        // Again, over the first cut; and of everything but what says that it was cut.
        assert_eq!(removed(&store, &rules, Moment::from_ms(1_006).plus(days(1)), Kind::Audit).await, 2);
        store.verify_audit().await.unwrap().unwrap();
        let now = Moment::from_ms(2_000).plus(days(9));
        assert_eq!(removed(&store, &rules, now, Kind::Audit).await, 5);
        store.verify_audit().await.unwrap().unwrap();
        change(&store, 9).await.unwrap();
        let sound = store.verify_audit().await.unwrap().unwrap();
        let first = store.audit_after(0).await.unwrap().remove(0).sequence;
        // Whoever cuts by hand, and moves the anchor along, has no entry that says so.
        let by_hand = format!(
            "UPDATE log_heads SET sequence = {first}, hash = (SELECT hash FROM audit WHERE sequence = {first}) \
             WHERE name = 'audit_pruned'; DELETE FROM audit WHERE sequence = {first}"
        );
        database.meddle(by_hand.leak()).await;
        assert_eq!(store.verify_audit().await.unwrap(), Err(Break::Cut(first)), "{}: {sound}", database.name);
        database.meddle("UPDATE log_heads SET sequence = 0 WHERE name = 'audit_pruned'").await;
        assert!(store.verify_audit().await.unwrap().is_err(), "{}", database.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn meetings_go_with_everything_that_belongs_to_them_and_stays_go_before_attendance() {
    let engine = engine();
    for (database, server) in Server::on_each().await {
        let (team, endless) = (Team::new(&server).await, Team::new(&server).await);
        // Both have everything that a meeting can have; one of them ends.
        for team in [&team, &endless] {
            let chair = team.person(&server, "Dr Chair", "chair", Some("Oncology")).await;
            let (case, _) = team.case(&server, "A-1").await;
            let member = enter(&server, &engine, team, &chair).await;
            team.wait_present(&server, 1).await;
            team.next(&server).await;
            let outcome = format!("{case}/outcome");
            for (method, path, body, status) in [
                ("PUT", outcome.clone(), json!({"text": "Surgery"}), 200),
                ("POST", format!("{outcome}/confirm"), json!(null), 200),
                ("POST", format!("{outcome}/amendments"), json!({"text": "x", "reason": "y"}), 201),
            ] {
                assert_eq!(act(&server, method, &path, &body, &chair.token).await.status, status, "{path}");
            }
            team.next(&server).await;
            member.leave().await;
            team.wait_present(&server, 0).await;
            let moved = format!("{}/occurrences/2026-12-08T08:30:00", team.path);
            assert_eq!(act(&server, "DELETE", &moved, &json!(null), &team.key).await.status, 204);
        }
        assert_eq!(act(&server, "PATCH", &team.path, &json!({"recurrence": null}), &team.key).await.status, 200);
        let store = server.app.store();
        let now = Moment::from_rfc3339("2026-12-01T09:30:00Z").unwrap().max(Moment::now()).plus(days(30));
        let rules =
            |presence_days, cases_days, meetings_days| Rules { presence_days, cases_days, meetings_days, ..FOR_EVER };

        let before = endless.get(&server, "attendance").await;
        assert!(removed(store, &rules(29, 0, 0), now, Kind::Presence).await >= 2, "{}", database.name);
        assert_eq!(endless.get(&server, "attendance").await, before, "{}: kept with the case", database.name);
        assert_eq!(removed(store, &rules(0, 0, 31), now, Kind::Meetings).await, 0, "{}: not yet", database.name);
        // Its outcome is kept for longer, and with it the meeting.
        assert_eq!(removed(store, &rules(0, 40, 29), now, Kind::Meetings).await, 0, "{}", database.name);
        assert_eq!(team.get(&server, "report").await["cases"][0]["outcome"]["text"], "Surgery", "{}", database.name);
        assert_eq!(removed(store, &rules(0, 29, 0), now, Kind::Cases).await, 2, "{}", database.name);
        assert!(endless.get(&server, "cases").await["items"].as_array().unwrap().is_empty());
        assert_eq!(removed(store, &rules(0, 0, 29), now, Kind::Meetings).await, 1, "{}", database.name);
        let gone = server.http(&Request::get(&team.path).bearer(&team.key)).await;
        assert_eq!((gone.status, gone.problem().as_str()), (404, "not_found"));
        store.verify_audit().await.unwrap().unwrap();
        server.stop().await;
    }
}

#[tokio::test]
async fn a_case_is_as_old_as_the_last_that_became_of_it() {
    for (database, server) in Server::on_each().await {
        let team = Team::new(&server).await;
        for reference in ["A-1", "B-2", "C-3"] {
            team.case(&server, reference).await;
        }
        // All were made in 2001. None was talked about; one was decided in 2033, one is on a list of 2049.
        let aged = "UPDATE cases SET created_at_ms = 1000000000000, occurrence = '2001-09-11T08:30:00'; \
            UPDATE cases SET outcome = 'x', outcome_confirmed_at_ms = 2000000000000, outcome_confirmed_by = \
            'inv_00000000000000000000000000' WHERE reference = 'B-2'; \
            UPDATE cases SET occurrence = '2049-12-28T08:30:00' WHERE reference = 'C-3'";
        server.meddle(&database, aged).await;
        let store = server.app.store();
        let rules = Rules { cases_days: 1, ..FOR_EVER };
        for (now, gone) in [
            ("2001-09-12T08:00:00Z", 0),
            ("2001-09-13T09:00:00Z", 1),
            ("2033-05-19T03:00:00Z", 0),
            ("2033-05-19T04:00:00Z", 1),
            ("2049-12-29T08:00:00Z", 0),
            ("2049-12-30T09:00:00Z", 1),
        ] {
            let now = Moment::from_rfc3339(now).unwrap();
            assert_eq!(removed(store, &rules, now, Kind::Cases).await, gone, "{}: {now:?}", database.name);
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn an_event_that_is_yet_to_be_mailed_stays_however_old_it_is() {
    for database in databases().await {
        let store = database.open().await;
        for number in 1..=5 {
            change(&store, number).await.unwrap();
        }
        let rules = Rules { events_days: 1, ..FOR_EVER };
        let now = Moment::from_ms(1_000).plus(days(9));
        assert_eq!(removed(&store, &rules, now, Kind::Events).await, 0, "{}", database.name);
        let mut write = store.write().await.unwrap();
        write.set_position(Reader::Mail, 3).await.unwrap();
        write.commit().await.unwrap();
        assert_eq!(removed(&store, &rules, now, Kind::Events).await, 3, "{}", database.name);
    }
}

#[tokio::test]
async fn a_listener_who_was_away_for_too_long_is_told_so() {
    let server = Server::closed().await;
    let team = Team::new(&server).await;
    team.case(&server, "A-1").await;
    let now = Moment::now().plus(days(31));
    assert!(removed(server.app.store(), &Rules { events_days: 30, ..FOR_EVER }, now, Kind::Events).await > 0);
    let ask = async |after: i64| {
        let path = format!("{}/events?follow=false&after={after}", team.path);
        server.http(&Request::get(&path).bearer(&team.key)).await.status
    };
    assert_eq!(ask(0).await, 410);
    assert_eq!(ask(server.app.store().last_event().await.unwrap()).await, 200);
    server.stop().await;
}
