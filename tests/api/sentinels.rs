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

    let cases = format!("{one}/cases");
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
        (&cases, case(), "reference", json!("Wombat")),
        (&cases, case(), "notes", json!("Wombat\u{202e}")),
        (&cases, case(), "occurrence", json!(1)),
        (&cases, case(), "wombat", json!("wombat")),
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
    discuss(server, &one, key, &tokens[0]).await;
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

fn case() -> Value {
    json!({"reference": "wombat-1", "notes": named("notes")})
}

/// A case from the list to the report, and who listens to it.
async fn discuss(server: &Process, meeting: &str, key: &str, chair: &str) {
    let cases = format!("{meeting}/cases");
    let one = server.json("POST", &cases, &case(), key, 201).await.header("location").to_owned();
    let other = server.json("POST", &cases, &case(), key, 201).await.header("location").to_owned();
    let outcome = format!("{one}/outcome");
    let amendment = json!({"text": named("amendment"), "reason": named("reason")});
    for (method, path, body, token, status) in [
        ("PATCH", one.clone(), case(), key, 200),
        ("DELETE", other, json!(null), key, 204),
        ("POST", format!("{cases}/next"), json!({}), chair, 200),
        ("PUT", outcome.clone(), json!({"text": named("draft")}), chair, 200),
        ("POST", format!("{outcome}/confirm"), json!(null), chair, 200),
        ("PUT", outcome.clone(), json!({"text": named("late draft")}), chair, 409),
        ("POST", format!("{outcome}/amendments"), amendment, chair, 201),
        ("POST", format!("{one}/finish"), json!(null), chair, 200),
    ] {
        server.json(method, &path, &body, token, status).await;
    }
    for what in ["report", "report.csv", "report.html", "attendance.csv"] {
        let answer = Request::get(&format!("{meeting}/{what}")).bearer(chair).send(server.http).await;
        assert_eq!(answer.status, 200, "{what}");
        assert!(answer.text().to_lowercase().contains(SENTINEL), "{what}");
        let headers = format!("{:?}", answer.headers);
        assert!(!headers.to_lowercase().contains(SENTINEL), "{what}: {headers}");
    }
    let events = format!("{meeting}/events?after=0&follow=false");
    let heard = Request::get(&events).bearer(chair).send(server.http).await;
    assert!(heard.text().contains("event: outcome.confirmed"), "{}", heard.text());
    assert_silent("what a listener hears", heard.text(), &[]);
}

fn assert_silent(what: &str, text: &str, secrets: &[String]) {
    assert!(!text.to_lowercase().contains(SENTINEL), "a name is in {what}: {text}");
    assert!(!secrets.iter().any(|secret| text.contains(secret.as_str())), "a secret is in {what}: {text}");
}

/// The same for people who sign in, and for what somebody types who does not get it right.
async fn tell_accounts(server: &Process, key: &str) -> Vec<String> {
    let account = json!({"login": "wombat", "name": named("user"), "role": "member", "email": "wombat@example.org",
        "organisation": named("organisation")});
    let made = server.json("POST", "/api/v1/users", &account, key, 201).await;
    let password = made.json()["password"].as_str().unwrap().to_owned();
    let sign_in = async |login: &str, password: &str| {
        let body = json!({"login": login, "password": password});
        let request = Request::json("POST", "/api/v1/session", &body);
        request.header("Sec-Fetch-Site", "same-origin").header("Consilium-Request", "1").send(server.http).await
    };
    assert_eq!(sign_in("wombat", "a wrong password of wombat").await.status, 401);
    assert_eq!(sign_in("wombat2", &password).await.status, 401);
    let signed_in = sign_in("wombat", &password).await;
    let cookie = signed_in.cookies[0].split(';').next().unwrap().to_owned();
    let session = Request::get("/api/v1/session").header("Cookie", cookie.clone()).send(server.http).await;
    assert!(session.text().to_lowercase().contains(SENTINEL), "the names arrived");
    let change = json!({"name": named("new user"), "is_disabled": true});
    server.json("PATCH", made.header("location"), &change, key, 200).await;
    vec![password, cookie.split_once('=').unwrap().1.to_owned()]
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
    let key = api_key(&folder.0, "Wombat key", &["meetings:write", "webhooks:admin", "users:admin"]);
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
    secrets.extend(tell_accounts(&server, &key).await);
    assert!(secrets.iter().all(|secret| secret.len() >= 20), "{secrets:?}");
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
        .chain(["case.created", "case.updated", "case.removed", "case.started", "case.finished"])
        .chain(["outcome.drafted", "outcome.confirmed", "outcome.amended"])
    {
        assert!(events.iter().any(|event| event.kind == kind), "no event {kind}");
        assert!(audit.iter().any(|entry| entry.action == kind), "no audit entry {kind}");
    }
    for action in ["invitation.used", "user.created", "user.updated", "session.started", "session.refused"] {
        assert!(audit.iter().any(|entry| entry.action == action), "no audit entry {action}");
    }
    events.iter().for_each(|event| assert_silent("an event", &format!("{event:?}"), &secrets));
    audit.iter().for_each(|entry| assert_silent("an audit entry", &format!("{entry:?}"), &secrets));
    store.close().await;
    let log = server.stop();
    assert!(log.iter().any(|line| line.contains("stopped")) && log.iter().any(|line| line.contains("\"TRACE\"")));
    log.iter().for_each(|line| assert_silent("the log", line, &secrets));
}
