//! Endpoints that are told what happens: what arrives, in which order, and what becomes of what does not.

use crate::harness::{Request, Server, wait_until};
use crate::meetings::{PATH, done, weekly};
use crate::process::{Folder, Process, api_key};
use crate::receiver::{Received, Receiver};
use consilium::identity::Scope;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const HOOKS: &str = "/api/v1/webhooks";
const SCOPES: [Scope; 2] = [Scope::MeetingsWrite, Scope::WebhooksAdmin];

/// Endpoints on this host are permitted.
async fn servers() -> Vec<(crate::databases::Database, Server)> {
    Server::on_each_with(|config| config.webhooks.private_addresses = Some(true)).await
}

async fn hook(server: &Server, key: &str, receiver: &Receiver, kinds: &[&str]) -> Value {
    let body = json!({"url": receiver.url(), "kinds": kinds});
    done(server, Request::json("POST", HOOKS, &body), key, 201).await.0
}

async fn meet(server: &Server, key: &str) -> String {
    let (made, _) = done(server, Request::json("POST", PATH, &weekly()), key, 201).await;
    made["id"].as_str().unwrap().to_owned()
}

async fn wait_for(receiver: &Receiver, what: &str, enough: impl Fn(&[Received]) -> bool) -> Vec<Received> {
    let explain = async || {
        let received = receiver.received();
        let shown: Vec<_> = received.iter().map(|one| format!("{} {}", one.status, one.body()["event"])).collect();
        format!("{what}: {shown:?}")
    };
    wait_until(async || enough(&receiver.taken()), explain).await;
    receiver.taken()
}

async fn deliveries(server: &Server, key: &str, hook: &Value, state: &str) -> Value {
    let path = format!("{HOOKS}/{}/deliveries?state={state}", hook["id"].as_str().unwrap());
    done(server, Request::get(&path), key, 200).await.0["items"].clone()
}

#[tokio::test]
async fn a_receiver_that_fails_three_times_gets_the_event_with_one_id_and_a_valid_signature() {
    for (database, server) in servers().await {
        let key = server.api_key(&SCOPES).await;
        meet(&server, &key).await;
        let receiver = Receiver::start(&[500, 503, 302, 200]).await;
        let hook = hook(&server, &key, &receiver, &[]).await;
        let meeting = meet(&server, &key).await;
        wait_for(&receiver, database.name, |taken| !taken.is_empty()).await;
        let received = receiver.received();
        assert_eq!(received.iter().map(|one| one.status).collect::<Vec<_>>(), [500, 503, 302, 200]);
        let (id, secret) = (hook["id"].as_str().unwrap(), hook["secret"].as_str().unwrap());
        for one in &received {
            assert!(
                one.is_signed_with(id, secret) && !one.is_signed_with(id, "another secret of the same length, yes")
            );
            assert_eq!(one.headers["content-type"], "application/webhook+json");
            assert_eq!(one.bytes, received[0].bytes, "the same at each attempt");
        }
        let body = received[0].body();
        assert!(body["id"].as_str().unwrap().starts_with("EV_"), "{body}");
        assert_eq!(
            (&body["event"], &body["subject"]),
            (&json!("meeting.created"), &json!(meeting)),
            "not the older one"
        );
        assert!(body["createdAt"].as_str().unwrap().parse::<u64>().is_ok(), "{body}");
        let done = async || deliveries(&server, &key, &hook, "delivered").await;
        wait_until(async || done().await != json!([]), async || done().await.to_string()).await;
        let delivery = done().await[0].clone();
        assert_eq!((&delivery["event_id"], &delivery["attempts"]), (&body["id"], &json!(4)), "{delivery}");
        // Counted after the commit that the API has shown.
        for line in ["{result=\"delivered\"} 1", "{result=\"failed\"} 3", "{result=\"dead\"} 0"] {
            let line = format!("consilium_webhook_attempts_total{line}\n");
            let metrics = async || server.ops("/metrics").await.text().to_owned();
            wait_until(async || metrics().await.contains(&line), async || line.clone()).await;
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn of_one_meeting_an_endpoint_hears_in_order_and_each_gets_the_kinds_that_it_wants() {
    for (database, server) in servers().await {
        let key = server.api_key(&SCOPES).await;
        let everything = Receiver::start(&[500, 200]).await;
        let some = Receiver::start(&[200]).await;
        hook(&server, &key, &everything, &[]).await;
        hook(&server, &key, &some, &["invitation.*", "meeting.cancelled"]).await;
        let meeting = format!("{PATH}/{}", meet(&server, &key).await);
        let invitations = format!("{meeting}/invitations");
        let body = json!({"name": "Dr One", "role": "core"});
        done(&server, Request::json("POST", &invitations, &body), &key, 201).await;
        for capacity in 10..20 {
            let change = json!({"capacity": capacity});
            done(&server, Request::json("PATCH", &meeting, &change).header("If-Match", "*"), &key, 200).await;
        }
        done(&server, Request::delete(&meeting).header("If-Match", "*"), &key, 200).await;
        let all = wait_for(&everything, database.name, |taken| taken.len() >= 13).await;
        let sequences: Vec<_> = all.iter().map(|one| one.body()["sequence"].as_i64().unwrap()).collect();
        assert_eq!(sequences, (1..=13).collect::<Vec<_>>(), "the first failed, and the others waited for it");
        let few = wait_for(&some, database.name, |taken| taken.len() >= 2).await;
        let kinds: Vec<_> = few.iter().map(|one| one.body()["event"].clone()).collect();
        assert_eq!(kinds, [json!("invitation.created"), json!("meeting.cancelled")]);
        assert_eq!(few[0].body()["id"], all[1].body()["id"], "one event has one id, whoever hears of it");
        server.stop().await;
    }
}

#[tokio::test]
async fn what_is_given_up_is_seen_and_can_be_sent_again() {
    let server = Server::start(|config| config.webhooks.attempts_max = 2).await;
    let key = server.api_key(&SCOPES).await;
    let receiver = Receiver::start(&[500]).await;
    let hook = hook(&server, &key, &receiver, &[]).await;
    meet(&server, &key).await;
    let dead = async || deliveries(&server, &key, &hook, "dead").await;
    wait_until(async || dead().await != json!([]), async || "no dead letter".into()).await;
    let letter = dead().await[0].clone();
    assert_eq!((&letter["attempts"], &letter["failure"]), (&json!(2), &json!("status_500")), "{letter}");
    assert_eq!(letter["event_id"], receiver.received()[0].body()["id"]);
    receiver.answer_with(204);
    let one = format!("{HOOKS}/{}/deliveries/{}", hook["id"].as_str().unwrap(), letter["id"].as_str().unwrap());
    let again = format!("{one}/redeliver");
    let (queued, _) = done(&server, Request::post(&again, "application/json", ""), &key, 200).await;
    assert_eq!((&queued["state"], &queued["attempts"]), (&json!("pending"), &json!(0)));
    wait_for(&receiver, "redelivered", |taken| !taken.is_empty()).await;
    wait_until(async || dead().await == json!([]), async || dead().await.to_string()).await;
    let other = again.replace(hook["id"].as_str().unwrap(), "whk_00000000000000000000000000");
    let elsewhere = server.http(&Request::post(&other, "application/json", "").bearer(&key)).await;
    assert_eq!((elsewhere.status, elsewhere.problem().as_str()), (404, "not_found"));
    // Who says that they are gone for good is believed.
    receiver.answer_with(410);
    meet(&server, &key).await;
    wait_until(async || dead().await != json!([]), async || "no dead letter".into()).await;
    assert_eq!((&dead().await[0]["attempts"], &dead().await[0]["failure"]), (&json!(1), &json!("status_410")));
    server.stop().await;
}

#[tokio::test]
async fn an_endpoint_is_changed_paused_given_a_new_secret_and_taken_away() {
    for (database, server) in servers().await {
        let key = server.api_key(&SCOPES).await;
        let receiver = Receiver::start(&[503]).await;
        let hook = hook(&server, &key, &receiver, &["meeting.*"]).await;
        let one = format!("{HOOKS}/{}", hook["id"].as_str().unwrap());
        let (read, tag) = done(&server, Request::get(&one), &key, 200).await;
        assert_eq!((&read["secret"], &read["kinds"]), (&Value::Null, &json!(["meeting.*"])), "shown once");
        meet(&server, &key).await;
        wait_until(async || !receiver.received().is_empty(), async || "nothing came".into()).await;
        let pause = json!({"is_enabled": false});
        let change = Request::json("PATCH", &one, &pause).header("If-Match", tag.clone());
        done(&server, change.clone(), &key, 200).await;
        assert_eq!(server.http(&change.bearer(&key)).await.problem(), "stale");
        meet(&server, &key).await;
        let held = deliveries(&server, &key, &hook, "held").await;
        assert_eq!(held.as_array().unwrap().len(), 1, "{}: what happens meanwhile is not told: {held}", database.name);

        let renew = format!("{one}/secret");
        let renew = Request::post(&renew, "application/json", "").header("If-Match", "*");
        let (renewed, _) = done(&server, renew, &key, 200).await;
        assert_ne!(renewed["secret"], hook["secret"]);
        receiver.answer_with(200);
        let go_on = json!({"is_enabled": true});
        done(&server, Request::json("PATCH", &one, &go_on).header("If-Match", "*"), &key, 200).await;
        let taken = wait_for(&receiver, database.name, |taken| !taken.is_empty()).await;
        let id = hook["id"].as_str().unwrap();
        assert!(taken[0].is_signed_with(id, renewed["secret"].as_str().unwrap()), "{}", database.name);
        assert!(!taken[0].is_signed_with(id, hook["secret"].as_str().unwrap()));

        done(&server, Request::delete(&one).header("If-Match", "*"), &key, 204).await;
        assert_eq!(server.http(&Request::get(&one).bearer(&key)).await.problem(), "not_found");
        let log = server.app.store().audit_after(0).await.unwrap();
        let acts: Vec<_> = log.iter().filter(|entry| entry.subject == id).map(|entry| entry.action.as_str()).collect();
        let expected =
            ["webhook.created", "webhook.updated", "webhook.secret_renewed", "webhook.updated", "webhook.deleted"];
        assert_eq!(acts, expected);
        server.stop().await;
    }
}

#[tokio::test]
async fn an_endpoint_that_is_paused_hears_nothing_even_of_what_is_sent_again() {
    for (database, server) in servers().await {
        let key = server.api_key(&SCOPES).await;
        let receiver = Receiver::start(&[410]).await;
        let hook = hook(&server, &key, &receiver, &[]).await;
        let one = format!("{HOOKS}/{}", hook["id"].as_str().unwrap());
        meet(&server, &key).await;
        let dead = async || deliveries(&server, &key, &hook, "dead").await;
        wait_until(async || dead().await != json!([]), async || "no dead letter".into()).await;
        let enable = async |is_enabled: bool| {
            let change = json!({"is_enabled": is_enabled});
            done(&server, Request::json("PATCH", &one, &change).header("If-Match", "*"), &key, 200).await
        };
        enable(false).await;
        receiver.answer_with(200);
        let again = format!("{one}/deliveries/{}/redeliver", dead().await[0]["id"].as_str().unwrap());
        let (queued, _) = done(&server, Request::post(&again, "application/json", ""), &key, 200).await;
        assert_eq!((&queued["state"], &queued["due_at"]), (&json!("held"), &Value::Null), "{}", database.name);
        let twice = server.http(&Request::post(&again, "application/json", "").bearer(&key)).await;
        assert_eq!((twice.status, twice.problem().as_str()), (409, "conflict"));
        assert_eq!(receiver.received().len(), 1, "{}: what was refused, and nothing since", database.name);
        enable(true).await;
        wait_for(&receiver, database.name, |taken| taken.len() == 1).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn an_endpoint_inside_is_refused_unless_the_operator_permits_it() {
    let server = Server::closed().await;
    let key = server.api_key(&SCOPES).await;
    let receiver = Receiver::start(&[200]).await;
    for url in [receiver.url().as_str(), "https://10.0.0.1/", "https://169.254.169.254/", "https://localhost/", "x"] {
        let answer = server.http(&Request::json("POST", HOOKS, &json!({"url": url})).bearer(&key)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid_value"), "{url}");
    }
    let body = json!({"url": "https://hooks.example.org/", "kinds": ["Everything"]});
    let answer = server.http(&Request::json("POST", HOOKS, &body).bearer(&key)).await;
    assert_eq!((answer.status, &answer.json()["errors"][0]["pointer"]), (422, &json!("/kinds")));
    let writer = server.api_key(&[Scope::MeetingsWrite]).await;
    for request in [Request::get(HOOKS), Request::json("POST", HOOKS, &json!({"url": "https://hooks.example.org/"}))] {
        let answer = server.http(&request.bearer(&writer)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (403, "missing_scope"));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_is_killed_loses_no_event() {
    const MEETINGS: usize = 6;
    let folder = Folder::new("webhooks");
    let receiver = Receiver::start(&[503]).await;
    let server = Process::start(&folder.0, &[]);
    let key = api_key(&folder.0, "test", &["meetings:write", "webhooks:admin"]);
    let hook = server.json("POST", HOOKS, &json!({"url": receiver.url()}), &key, 201).await.json();
    let mut wanted = BTreeSet::new();
    for _ in 0..MEETINGS {
        let made = server.json("POST", PATH, &weekly(), &key, 201).await.json();
        wanted.insert(made["id"].as_str().unwrap().to_owned());
    }
    // Some were tried, and perhaps some were not even put into the outbox.
    wait_until(async || receiver.received().len() >= 2, async || "nothing came".into()).await;
    server.kill();
    receiver.answer_with(200);
    let server = Process::start(&folder.0, &[]);
    let subjects = |taken: &[Received]| -> BTreeSet<String> {
        taken.iter().map(|one| one.body()["subject"].as_str().unwrap().to_owned()).collect()
    };
    // What was under way when the server died counts as lost only after a while.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(90);
    while subjects(&receiver.taken()) != wanted {
        assert!(tokio::time::Instant::now() < deadline, "{:?} of {wanted:?}", subjects(&receiver.taken()));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let (id, secret) = (hook["id"].as_str().unwrap(), hook["secret"].as_str().unwrap());
    let received = receiver.received();
    assert!(received.iter().all(|one| one.is_signed_with(id, secret)), "the secret outlived the server");
    for meeting in &wanted {
        let of_it = received.iter().filter(|one| one.body()["subject"] == **meeting);
        let ids: BTreeSet<_> = of_it.map(|one| one.body()["id"].to_string()).collect();
        assert_eq!(ids.len(), 1, "one id at each attempt, before and after");
    }
    server.stop();
}
