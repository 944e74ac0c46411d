//! Names stay where they belong: words that nothing else contains go into every field of text, and then everything that
//! leaves the store and the answers is searched for them.

use crate::harness::{Answer, Request, wait_until};
use crate::mailbox::{Mailbox, Mood};
use crate::process::{Folder, Process, api_key};
use crate::receiver::Receiver;
use consilium::store::{Place, Store};
use futures_util::StreamExt;
use serde_json::{Value, json};

/// In every name, in whatever spelling it is told.
const SENTINEL: &str = "wombat";

fn named(field: &str) -> String {
    format!("Wombat {field}")
}

fn meeting() -> Value {
    json!({
        "title": named("title"),
        "start": "2098-12-02T08:30:00",
        "time_zone": "Europe/London",
        "duration_minutes": 60,
        "recurrence": "FREQ=WEEKLY;BYDAY=TU",
        "required_specialties": [named("quorum")],
    })
}

fn person(role: &str) -> Value {
    json!({
        "name": named("person"),
        "role": role,
        "specialty": named("specialty"),
        "site": named("site"),
        "email": "wombat@example.org",
    })
}

/// Names in every field that takes them and in ones that do not, and every secret that came back.
async fn tell_names(server: &Process, key: &str) -> Vec<String> {
    let meetings = "/api/v1/meetings";
    let created = server.json("POST", meetings, &meeting(), key, 201).await;
    assert!(created.text().to_lowercase().contains(SENTINEL), "the names arrived");
    let one = created.header("location").to_owned();
    let invitations = format!("{one}/invitations");
    let chair = server.json("POST", &invitations, &person("chair"), key, 201).await;
    let guest = server.json("POST", &invitations, &person("guest"), key, 201).await;
    let change = json!({"title": named("new title"), "required_specialties": [named("new quorum")]});
    server.json("PATCH", &one, &change, key, 200).await;
    server.json("PATCH", chair.header("location"), &person("chair"), key, 200).await;
    for (path, status) in [
        (format!("{meetings}?title=Wombat"), 200),
        (format!("{meetings}?wombat=wombat"), 400),
        (format!("{meetings}/wombat"), 404),
        (invitations.clone(), 200),
    ] {
        assert_eq!(Request::get(&path).bearer(key).send(server.http).await.status, status, "{path}");
    }

    for (path, mut body, field, wrong) in [
        (meetings, meeting(), "title", json!(format!("Wombat\u{202e}"))),
        (meetings, meeting(), "start", json!("wombat")),
        (meetings, meeting(), "time_zone", json!("Europe/Wombat")),
        (meetings, meeting(), "recurrence", json!("FREQ=WOMBAT")),
        (meetings, meeting(), "lobby", json!("wombat")),
        (meetings, meeting(), "settings", json!({"wombat": "wombat"})),
        (meetings, meeting(), "wombat", json!("wombat")),
        (&invitations, person("guest"), "role", json!("wombat")),
        (&invitations, person("guest"), "email", json!("wombat")),
        (&invitations, person("guest"), "link_expires_at", json!("wombat")),
    ] {
        body[field] = wrong;
        server.json("POST", path, &body, key, 422).await;
    }

    let enter = "/api/v1/join/invitation";
    let secret = |made: &Answer| secret_of(made, "link_secret");
    let entered = server.json("POST", enter, &json!({"link_secret": secret(&chair)}), "", 200).await;
    let early = server.json("POST", enter, &json!({"link_secret": secret(&guest)}), "", 409).await;
    assert_eq!(early.problem(), "meeting_not_open");
    let ticket = knock_and_hear_no(server, key, enter).await;
    server.json("POST", enter, &json!({"link_secret": named("secret")}), "", 403).await;
    let open = json!({"room": "corridor", "name": named("visitor")});
    let visitor = server.json("POST", "/api/v1/join", &open, "", 200).await;
    let token = |answer: &Answer| answer.json()["token"].as_str().unwrap().to_owned();
    let tokens = [token(&entered), token(&visitor)];
    for token in &tokens {
        let url = format!("ws://{}/rtc?access_token={token}&protocol=17", server.http);
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let joined = socket.next().await.unwrap().unwrap().into_data();
        assert!(String::from_utf8_lossy(&joined).to_lowercase().contains(SENTINEL), "the name is in the room");
        socket.close(None).await.unwrap();
    }
    server.json("DELETE", &format!("{one}/occurrences/2098-12-09T08:30:00"), &json!(null), key, 204).await;
    server.json("DELETE", guest.header("location"), &json!(null), key, 204).await;
    server.json("DELETE", &one, &json!(null), key, 200).await;
    let [chair_token, visitor_token] = tokens;
    vec![secret(&chair), secret(&guest), chair_token, visitor_token, ticket]
}

/// A guest of a meeting that goes on, and a host's words for them. Returns the ticket.
async fn knock_and_hear_no(server: &Process, key: &str, enter: &str) -> String {
    let mut wanted = crate::meetings::under_way();
    wanted["title"] = json!(named("urgent title"));
    wanted["lobby"] = json!("guests");
    let created = server.json("POST", "/api/v1/meetings", &wanted, key, 201).await;
    let one = created.header("location");
    let guest = server.json("POST", &format!("{one}/invitations"), &person("guest"), key, 201).await.json();
    let waiting = server.json("POST", enter, &json!({"link_secret": guest["link_secret"]}), "", 202).await;
    let ticket = waiting.json()["ticket"].as_str().unwrap().to_owned();
    let deny = format!("{one}/participants/{}/deny", guest["id"].as_str().unwrap());
    server.json("POST", &deny, &json!({"message": named("message")}), key, 204).await;
    let state = server.json("GET", "/api/v1/lobby", &json!(null), &ticket, 200).await;
    assert!(state.text().contains("Wombat message"));
    ticket
}

fn secret_of(made: &Answer, field: &str) -> String {
    made.json()[field].as_str().unwrap().to_owned()
}

fn assert_silent(what: &str, text: &str, secrets: &[String]) {
    assert!(!text.to_lowercase().contains(SENTINEL), "a name is in {what}: {text}");
    assert!(!secrets.iter().any(|secret| text.contains(secret.as_str())), "a secret is in {what}: {text}");
}

#[tokio::test]
async fn names_and_secrets_are_in_no_log_line_metric_event_or_audit_entry() {
    let folder = Folder::new("sentinels");
    let (mailbox, receiver) = (Mailbox::start(Mood::Takes).await, Receiver::start(&[500, 200]).await);
    let (mail_host, mail_port) = (mailbox.address.ip().to_string(), mailbox.address.port().to_string());
    let environment = [
        ("CONSILIUM_HTTP__PUBLIC_URL", "https://meet.example.org"),
        ("CONSILIUM_MAIL__HOST", mail_host.as_str()),
        ("CONSILIUM_MAIL__PORT", mail_port.as_str()),
        ("CONSILIUM_MAIL__TLS", "none"),
        ("CONSILIUM_MAIL__FROM", "mdt@hospital.example"),
    ];
    let server = Process::start(&folder.0, &environment);
    let key = api_key(&folder.0, "Wombat key", &["meetings:write", "webhooks:admin"]);
    let hook = json!({"url": format!("{}?token=wombat", receiver.url())});
    let hook = server.json("POST", "/api/v1/webhooks", &hook, &key, 201).await.json();
    let feed = json!({"email": "wombat@example.org"});
    let feed = server.json("POST", "/api/v1/calendar-feeds", &feed, &key, 201).await.json();
    let mut secrets = tell_names(&server, &key).await;
    let address = feed["url"].as_str().unwrap();
    let fetched = Request::get(address.split_once(".org").unwrap().1).send(server.http).await;
    assert_eq!(fetched.status, 200, "{}", fetched.text());
    // Both doors out of the server: the names are in mails, and nowhere else.
    let told = async || {
        let kinds: Vec<_> = receiver.taken().iter().map(|one| one.body()["event"].clone()).collect();
        ["meeting.cancelled", "room_started", "participant_connection_aborted"]
            .iter()
            .all(|kind| kinds.contains(&json!(kind)))
    };
    let mailed = async || mailbox.mails().iter().any(|mail| mail.calendar().contains("METHOD:CANCEL"));
    wait_until(async || told().await && mailed().await, async || "not everything was told".into()).await;
    assert!(
        mailbox.mails().iter().any(|mail| mail.text.to_lowercase().contains(SENTINEL)),
        "the names are in the mail"
    );
    // A refusal that repeats the address is not repeated.
    mailbox.set(Mood::Refuses(550));
    let again = server.json("POST", "/api/v1/meetings", &meeting(), &key, 201).await;
    let invitations = format!("{}/invitations", again.header("location"));
    let late = server.json("POST", &invitations, &person("core"), &key, 201).await;
    let dead = async || server.json("GET", "/api/v1/mails?state=dead", &json!(null), &key, 200).await;
    wait_until(async || dead().await.json()["items"] != json!([]), async || "no dead letter".into()).await;
    secrets.extend([key.clone(), secret_of(&late, "link_secret")]);
    assert_silent("a dead letter", dead().await.text(), &secrets);
    secrets.push(address.split('/').nth_back(1).unwrap().split_once('.').unwrap().1.to_owned());
    secrets.push(hook["secret"].as_str().unwrap().to_owned());
    assert!(secrets.iter().all(|secret| secret.len() > 20), "{secrets:?}");
    for one in receiver.received() {
        assert_silent("a webhook", &String::from_utf8_lossy(&one.bytes), &secrets);
    }

    let metrics = Request::get("/metrics").send(server.ops).await;
    assert!(metrics.text().contains("consilium_"), "{}", metrics.text());
    assert_silent("a metric", metrics.text(), &secrets);
    let store = Store::open(&Place::Sqlite { data_dir: folder.0.join("data") }).await.unwrap();
    let (events, audit) = (store.events_after(0, 500).await.unwrap(), store.audit_after(0).await.unwrap());
    for kind in ["meeting.created", "meeting.updated", "meeting.occurrence_cancelled", "meeting.cancelled"]
        .into_iter()
        .chain(["invitation.created", "invitation.updated", "invitation.revoked", "lobby.knocked", "lobby.denied"])
    {
        assert!(events.iter().any(|event| event.kind == kind), "no event {kind}");
        assert!(audit.iter().any(|entry| entry.action == kind), "no audit entry {kind}");
    }
    assert!(audit.iter().any(|entry| entry.action == "invitation.used"));
    events.iter().for_each(|event| assert_silent("an event", &format!("{event:?}"), &secrets));
    audit.iter().for_each(|entry| assert_silent("an audit entry", &format!("{entry:?}"), &secrets));
    store.close().await;
    let log = server.stop();
    assert!(log.iter().any(|line| line.contains("stopped")) && log.iter().any(|line| line.contains("\"TRACE\"")));
    log.iter().for_each(|line| assert_silent("the log", line, &secrets));
}
