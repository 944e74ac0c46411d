//! The store, on each database.

use crate::databases::databases;
use consilium::moment::Moment;
use consilium::store::audit::{Break, Detail, NewEntry};
use consilium::store::events::NewEvent;
use consilium::store::idempotency::Remembered;
use consilium::store::{MigrationError, Store, StoreError};
use serde_json::json;

/// One change: an event and an audit row.
pub(crate) async fn change(store: &Store, number: i64) -> Result<i64, StoreError> {
    let now = Moment::from_ms(1_000 + number);
    let mut write = store.write().await?;
    let event = NewEvent { kind: "test.happened", subject: "mtg_1", body: json!({"number": number}) };
    let sequence = write.append_event(now, &event).await?;
    let details = [("number", Detail::Number(number))];
    write.append_audit(now, &NewEntry { actor: "test", action: "test.done", subject: "s", details: &details }).await?;
    write.commit().await?;
    Ok(sequence)
}

#[tokio::test]
async fn what_was_not_committed_never_happened() {
    for database in databases().await {
        let store = database.open().await;
        let mut write = store.write().await.unwrap();
        let event = NewEvent { kind: "test.happened", subject: "a", body: json!(null) };
        write.append_event(Moment::from_ms(1), &event).await.unwrap();
        drop(write);
        assert_eq!(store.events_after(0, 10).await.unwrap(), [], "{}", database.name);
        assert_eq!(change(&store, 7).await.unwrap(), 1, "{}: the number was not used up", database.name);
        let events = store.events_after(0, 10).await.unwrap();
        assert_eq!(events.len(), 1, "{}", database.name);
        assert_eq!((events[0].kind.as_str(), &events[0].body), ("test.happened", &json!({"number": 7})));
        assert_eq!(store.events_of("mtg_1", 0, 10).await.unwrap(), events);
        assert_eq!(store.events_of("mtg_2", 0, 10).await.unwrap(), []);
        store.close().await;
        assert_eq!(database.open().await.last_event().await.unwrap(), 1, "{}: and survives", database.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_on_several_servers_leave_one_order_without_gaps() {
    const WRITERS: i64 = 8;
    const CHANGES: i64 = 12;
    for database in databases().await {
        let servers = [database.open().await, database.open().await];
        let mut told = servers[0].committed();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = servers[(writer % 2) as usize].clone();
                tokio::spawn(async move {
                    let mut seen = Vec::new();
                    for number in 0..CHANGES {
                        seen.push(change(&store, writer * 100 + number).await.unwrap());
                        // Whoever sees an event sees all before it.
                        let events = store.events_after(0, 500).await.unwrap();
                        let sequences: Vec<_> = events.iter().map(|event| event.sequence).collect();
                        assert_eq!(sequences, (1..=sequences.len() as i64).collect::<Vec<_>>());
                    }
                    seen
                })
            })
            .collect();
        let mut all = Vec::new();
        for writer in writers {
            all.extend(writer.await.unwrap());
        }
        all.sort_unstable();
        assert_eq!(all, (1..=WRITERS * CHANGES).collect::<Vec<_>>(), "{}", database.name);
        assert!(*told.borrow_and_update() > 0, "whoever waits is told");
        let head = servers[1].verify_audit().await.unwrap().unwrap();
        assert_eq!(head.sequence, WRITERS * CHANGES, "{}", database.name);
    }
}

#[tokio::test]
async fn an_audit_log_that_was_tampered_with_is_found_out() {
    let attempts: [(&'static str, Break); 7] = [
        ("UPDATE audit SET actor = 'someone' WHERE sequence = 3", Break::Changed(3)),
        ("UPDATE audit SET at_ms = at_ms + 1 WHERE sequence = 1", Break::Changed(1)),
        ("UPDATE audit SET details = '{\"number\":4}' WHERE sequence = 5", Break::Changed(5)),
        ("DELETE FROM audit WHERE sequence = 2", Break::Missing(2)),
        ("DELETE FROM audit WHERE sequence = 5", Break::End { found: 4, expected: 5 }),
        ("DELETE FROM audit", Break::End { found: 0, expected: 5 }),
        (
            "UPDATE audit SET previous_hash = (SELECT hash FROM audit WHERE sequence = 1) WHERE sequence = 3",
            Break::Changed(3),
        ),
    ];
    for (statement, expected) in attempts {
        for database in databases().await {
            let store = database.open().await;
            for number in 1..=5 {
                change(&store, number).await.unwrap();
            }
            let head = store.verify_audit().await.unwrap().unwrap();
            assert_eq!(head.sequence, 5);
            database.meddle(statement).await;
            assert_eq!(store.verify_audit().await.unwrap(), Err(expected.clone()), "{}: {statement}", database.name);
        }
    }
}

#[tokio::test]
async fn a_link_of_another_chain_does_not_fit() {
    for database in databases().await {
        let store = database.open().await;
        change(&store, 1).await.unwrap();
        change(&store, 2).await.unwrap();
        // A sound row, taken from where it follows the same number of others.
        let other = databases().await.remove(0);
        let donor = other.open().await;
        change(&donor, 9).await.unwrap();
        change(&donor, 2).await.unwrap();
        let entry = donor.audit_after(1).await.unwrap().remove(0);
        let statement = format!(
            "UPDATE audit SET previous_hash = '{}', hash = '{}' WHERE sequence = 2",
            entry.previous_hash, entry.hash
        );
        database.meddle(statement.leak()).await;
        assert_eq!(store.verify_audit().await.unwrap(), Err(Break::Unlinked(2)), "{}", database.name);
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    for database in databases().await {
        database.open().await.close().await;
        database.open().await.close().await;
        database.meddle("INSERT INTO schema_migrations VALUES (999, 'future', 'x', 1)").await;
        let error = Store::open(&database.place).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Migration(MigrationError::Newer { found: 999, .. })),
            "{}: {error}",
            database.name
        );
    }
}

#[tokio::test]
async fn two_servers_that_start_together_make_one_schema() {
    for database in databases().await {
        let (one, other) = tokio::join!(Store::open(&database.place), Store::open(&database.place));
        change(&one.unwrap(), 1).await.unwrap();
        assert_eq!(other.unwrap().last_event().await.unwrap(), 1, "{}", database.name);
    }
}

#[tokio::test]
async fn a_writer_waits_until_another_server_has_finished() {
    for database in databases().await {
        let (one, other) = (database.open().await, database.open().await);
        let mut write = one.write().await.unwrap();
        let event = NewEvent { kind: "test.happened", subject: "a", body: json!(1) };
        assert_eq!(write.append_event(Moment::from_ms(1), &event).await.unwrap(), 1);
        let mut waiting = std::pin::pin!(change(&other, 2));
        let early = tokio::time::timeout(std::time::Duration::from_millis(200), &mut waiting).await;
        assert!(early.is_err(), "{}: two wrote at once", database.name);
        // Who only reads does not wait, and does not see what is not committed.
        assert_eq!(other.last_event().await.unwrap(), 0, "{}", database.name);
        write.commit().await.unwrap();
        assert_eq!(waiting.await.unwrap(), 2, "{}", database.name);
    }
}

#[tokio::test]
async fn an_answer_is_remembered_for_a_day_and_by_its_caller() {
    let hour = std::time::Duration::from_secs(3_600);
    for database in databases().await {
        let store = database.open().await;
        let made = Moment::from_ms(1_000);
        let answer = Remembered { request_hash: "hash".into(), sealed_answer: "sealed".into() };
        let mut write = store.write().await.unwrap();
        write.remember("caller", "key", &answer, made).await.unwrap();
        let (before, after) = (made.plus(hour * 24 - hour / 60), made.plus(hour * 24));
        assert_eq!(write.remembered("caller", "key", before).await.unwrap(), Some(answer.clone()), "{}", database.name);
        assert_eq!(write.remembered("other", "key", before).await.unwrap(), None);
        assert_eq!(write.remembered("caller", "key", after).await.unwrap(), None);
        // The name may be used again, and what is over is swept with the next.
        let next = Remembered { request_hash: "next".into(), ..answer };
        write.remember("caller", "key", &next, after).await.unwrap();
        write.remember("caller", "second", &next, after.plus(hour * 48)).await.unwrap();
        assert_eq!(write.remembered("caller", "key", made).await.unwrap(), None, "{}: swept", database.name);
        write.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_store_that_is_gone_says_so() {
    for database in databases().await {
        let store = database.open().await;
        store.health().await.unwrap();
        store.close().await;
        assert!(matches!(store.health().await, Err(StoreError::Unavailable(_))), "{}", database.name);
    }
}
