//! Names stay where they belong: words that nothing else contains go into every field of text, and then everything that
//! leaves the store and the answers is searched for them.

use crate::harness::{Answer, Request};
use consilium::store::{Place, Store};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// In every name, in whatever spelling it is told.
const SENTINEL: &str = "wombat";

/// The program as it is installed, with everything in its log that can be there.
struct Process {
    child: Child,
    log: Receiver<String>,
    seen: Vec<String>,
    folder: PathBuf,
    http: SocketAddr,
    ops: SocketAddr,
}

impl Process {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("consilium-sentinels-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let mut child = program(&folder)
            .args(["--http-listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--udp-port", "0"])
            .args(["--workers", "1", "--log", "trace"])
            .env("CONSILIUM_LOG__FORMAT", "json")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, log) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // Ends with the process.
        std::thread::spawn(move || lines.map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        let mut seen = Vec::new();
        let (http, ops) = loop {
            let line = log.recv_timeout(Duration::from_secs(30)).expect("the server gets ready");
            seen.push(line);
            let line: Value = serde_json::from_str(seen.last().unwrap()).unwrap();
            let fields = &line["fields"];
            if fields["message"] == "the server is ready" {
                let address = |name: &str| fields[name].as_str().unwrap().parse().unwrap();
                break (address("http"), address("ops"));
            }
        };
        Self { child, log, seen, folder, http, ops }
    }

    async fn json(&self, method: &str, path: &str, body: &Value, key: &str, status: u16) -> Answer {
        let answer = Request::json(method, path, body).header("If-Match", "*").bearer(key).send(self.http).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        answer
    }

    /// The whole log, of a server that has ended.
    fn stop(mut self) -> Vec<String> {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        self.seen.extend(self.log.iter());
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn program(folder: &PathBuf) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consilium"));
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

fn named(field: &str) -> String {
    format!("Wombat {field}")
}

fn meeting() -> Value {
    json!({
        "title": named("title"),
        "start": "2026-12-01T08:30:00",
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
    let secret = |made: &Answer| made.json()["link_secret"].as_str().unwrap().to_owned();
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
    server.json("DELETE", &format!("{one}/occurrences/2026-12-08T08:30:00"), &json!(null), key, 204).await;
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

fn assert_silent(what: &str, text: &str, secrets: &[String]) {
    assert!(!text.to_lowercase().contains(SENTINEL), "a name is in {what}: {text}");
    assert!(!secrets.iter().any(|secret| text.contains(secret.as_str())), "a secret is in {what}: {text}");
}

#[tokio::test]
async fn names_and_secrets_are_in_no_log_line_metric_event_or_audit_entry() {
    let server = Process::start();
    let create = ["api-key", "create", "--name", "Wombat key", "--scope", "meetings:write"];
    let made = program(&server.folder).args(create).output().unwrap();
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let mut secrets = tell_names(&server, &key).await;
    secrets.push(key);

    let metrics = Request::get("/metrics").send(server.ops).await;
    assert!(metrics.text().contains("consilium_"), "{}", metrics.text());
    assert_silent("a metric", metrics.text(), &secrets);
    let store = Store::open(&Place::Sqlite { data_dir: server.folder.join("data") }).await.unwrap();
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
