//! A server that is killed in the middle of writing has lost nothing that it acknowledged.

use crate::databases::{databases, place_from};
use crate::store::change;
use consilium::store::Store;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

const PLACE: &str = "CONSILIUM_TEST_PLACE";
/// Rounds of writing, each killed after another number of writes.
const ROUNDS: [usize; 3] = [1, 25, 60];

#[tokio::test]
async fn every_acknowledged_write_survives_a_kill() {
    for database in databases().await {
        let mut last = 0;
        for writes in ROUNDS {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "killed::writes_until_killed", "--ignored", "--nocapture", "--test-threads=1"])
                .env(PLACE, database.describe())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
            let acknowledged = |line: String| line.strip_prefix("acknowledged ")?.parse::<i64>().ok();
            let mut seen: Vec<i64> = lines.by_ref().filter_map(acknowledged).take(writes).collect();
            child.kill().unwrap();
            // What it wrote to the pipe before it died counts too.
            seen.extend(lines.filter_map(acknowledged));
            assert!(!child.wait().unwrap().success());
            assert!(seen.len() >= writes, "{}: {} of {writes}", database.name, seen.len());

            let store = database.open().await;
            let mut events = Vec::new();
            loop {
                let page = store.events_after(events.len() as i64, 500).await.unwrap();
                if page.is_empty() {
                    break;
                }
                events.extend(page.into_iter().map(|event| event.sequence));
            }
            assert!(events.iter().copied().eq(1..=events.len() as i64), "{}: gaps", database.name);
            let stored = events.len() as i64;
            assert_eq!(seen.first(), Some(&(last + 1)), "{}", database.name);
            assert!(seen.iter().all(|sequence| *sequence <= stored), "{}: lost one of {seen:?}", database.name);
            // At most the one that was under way is there without having been acknowledged.
            assert!(stored - seen.last().unwrap() <= 1, "{}", database.name);
            assert_eq!(store.verify_audit().await.unwrap().unwrap().sequence, stored, "{}", database.name);
            store.close().await;
            last = stored;
        }
    }
}

/// The child of the test above.
#[tokio::test]
#[ignore = "it ends only by being killed"]
async fn writes_until_killed() {
    let Ok(place) = std::env::var(PLACE) else { return };
    let store = Store::open(&place_from(&place)).await.unwrap();
    for number in 0.. {
        let sequence = change(&store, number).await.unwrap();
        // The harness captures `println!`, this it does not.
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nacknowledged {sequence}").unwrap();
        out.flush().unwrap();
    }
}
