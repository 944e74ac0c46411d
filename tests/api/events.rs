//! Events of a meeting as a listener gets them: in order, without gaps, live, and again from where it left off.

use crate::harness::{Request, Server};
use crate::meetings::done;
use crate::team::{Team, act};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(20);

/// One who listens.
struct Listener {
    stream: TcpStream,
    text: String,
    status: u16,
}

/// One event, as it came.
#[derive(Debug)]
struct Heard {
    id: i64,
    kind: String,
    data: Value,
}

impl Listener {
    async fn open(server: &Server, team: &Team, query: &str, token: &str, last: Option<i64>) -> Self {
        let path = format!("{}/events{query}", team.path);
        let mut request = Request::get(&path).bearer(token);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last.to_string());
        }
        let mut stream = TcpStream::connect(server.app.http_addr()).await.unwrap();
        stream.write_all(&request.bytes(server.app.http_addr())).await.unwrap();
        let mut listener = Self { stream, text: String::new(), status: 0 };
        while !listener.text.contains("\r\n\r\n") {
            assert!(listener.read().await, "{}", listener.text);
        }
        let (head, rest) = listener.text.split_once("\r\n\r\n").unwrap();
        listener.status = head.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(listener.status != 200 || head.to_lowercase().contains("content-type: text/event-stream"), "{head}");
        listener.text = rest.to_owned();
        listener
    }

    /// `false` at the end.
    async fn read(&mut self) -> bool {
        let mut bytes = [0; 4_096];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut bytes)).await.expect("something comes");
        let read = read.unwrap_or(0);
        self.text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        read > 0
    }

    /// `None` when the stream has ended.
    async fn next(&mut self) -> Option<Heard> {
        loop {
            // Chunked coding puts lengths on lines of their own, which are no fields of an event.
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(str::trim));
                if let (Some(id), Some(kind), Some(data)) = (field("id:"), field("event:"), field("data:")) {
                    let data = serde_json::from_str(data).unwrap();
                    return Some(Heard { id: id.parse().unwrap(), kind: kind.to_owned(), data });
                }
            }
            if !self.read().await {
                return None;
            }
        }
    }

    async fn rest(mut self) -> Vec<Heard> {
        let mut all = Vec::new();
        while let Some(heard) = self.next().await {
            all.push(heard);
        }
        all
    }
}

async fn draft(server: &Server, team: &Team, case: &str, number: usize) {
    let body = json!({ "text": format!("draft {number}") });
    assert_eq!(act(server, "PUT", &format!("{case}/outcome"), &body, &team.key).await.status, 200);
}

#[tokio::test]
async fn what_was_missed_comes_first_and_then_what_happens_in_order_and_without_gaps() {
    for (database, server) in Server::on_each().await {
        let (team, other) = (Team::new(&server).await, Team::new(&server).await);
        let (case, _) = team.case(&server, "A-1").await;
        let mut live = Listener::open(&server, &team, "?after=0", &team.key, None).await;
        let mut only_new = Listener::open(&server, &team, "", &team.key, None).await;
        assert_eq!(live.next().await.unwrap().kind, "meeting.created", "{}", database.name);
        let second = live.next().await.unwrap();
        assert_eq!((second.kind.as_str(), &second.data["sequence"]), ("case.created", &json!(second.id)));
        assert_eq!(second.data["body"]["case"], json!(case.rsplit('/').next().unwrap()));
        // More than one page, with another meeting's in between.
        for number in 0..130 {
            draft(&server, &team, &case, number).await;
            if number % 10 == 0 {
                other.case(&server, &format!("B-{number}")).await;
            }
        }
        let mut last = second.id;
        for _ in 0..60 {
            let heard = live.next().await.unwrap();
            assert!(heard.id > last && heard.kind == "outcome.drafted" && heard.data["subject"] == json!(team.meeting));
            last = heard.id;
        }
        assert_eq!(only_new.next().await.unwrap().kind, "outcome.drafted", "{}", database.name);
        // The connection is lost; the next one goes on where it ended.
        drop(live);
        let again = Listener::open(&server, &team, "?after=0&follow=false", &team.key, Some(last)).await;
        let missed = again.rest().await;
        assert_eq!(missed.len(), 70, "{}", database.name);
        let stored = server.app.store().events_of(&team.meeting, last, 500).await.unwrap();
        let sequences: Vec<_> = stored.iter().map(|event| event.sequence).collect();
        assert_eq!(missed.iter().map(|heard| heard.id).collect::<Vec<_>>(), sequences, "{}", database.name);
        assert!(missed.iter().zip(&stored).all(|(heard, event)| heard.data["body"] == event.body));
        server.stop().await;
    }
}

#[tokio::test]
async fn who_has_heard_nothing_yet_knows_where_to_go_on() {
    let server = Server::closed().await;
    let team = Team::new(&server).await;
    let (case, _) = team.case(&server, "A-1").await;
    let mut listener = Listener::open(&server, &team, "", &team.key, None).await;
    while !listener.text.contains("\n\n") {
        assert!(listener.read().await, "{}", listener.text);
    }
    let number = listener.text.lines().find_map(|line| line.strip_prefix("id:")).unwrap().trim().parse().unwrap();
    assert!(!listener.text.contains("data:"), "it is no event: {}", listener.text);
    // The connection is lost, and something happens before the next.
    drop(listener);
    draft(&server, &team, &case, 1).await;
    let again = Listener::open(&server, &team, "?follow=false", &team.key, Some(number)).await;
    let missed: Vec<_> = again.rest().await.into_iter().map(|heard| heard.kind).collect();
    assert_eq!(missed, ["outcome.drafted"]);
    server.stop().await;
}

#[tokio::test]
async fn a_listener_that_opens_while_things_happen_misses_nothing() {
    let server = Server::closed().await;
    let team = Team::new(&server).await;
    let (case, _) = team.case(&server, "A-1").await;
    let writing = async {
        for number in 0..120 {
            draft(&server, &team, &case, number).await;
        }
    };
    let listening = async {
        let mut heard = Vec::new();
        let mut last = 0;
        // Each connection is cut after a few events.
        while heard.len() < 122 {
            let query = format!("?after={last}");
            let mut listener = Listener::open(&server, &team, &query, &team.key, None).await;
            for _ in 0..7 {
                if heard.len() < 122 {
                    last = listener.next().await.unwrap().id;
                    heard.push(last);
                }
            }
        }
        heard
    };
    let ((), heard) = tokio::join!(writing, listening);
    let stored = server.app.store().events_of(&team.meeting, 0, 500).await.unwrap();
    assert_eq!(heard, stored.iter().map(|event| event.sequence).collect::<Vec<_>>());
    server.stop().await;
}

#[tokio::test]
async fn everybody_hears_what_is_for_them() {
    let server = Server::closed().await;
    let team = Team::new(&server).await;
    let chair = team.person(&server, "Dr Chair", "chair", None).await;
    let core = team.person(&server, "Dr Core", "core", None).await;
    team.case(&server, "A-1").await;
    let kinds = async |token: &str| {
        let listener = Listener::open(&server, &team, "?after=0&follow=false", token, None).await;
        listener.rest().await.into_iter().map(|heard| heard.kind).collect::<Vec<_>>()
    };
    let all = ["meeting.created", "invitation.created", "invitation.created", "case.created"];
    assert_eq!(kinds(&team.key).await, all);
    assert_eq!(kinds(&chair.token).await, all);
    assert_eq!(kinds(&core.token).await, ["meeting.created", "case.created"]);

    let other = Team::new(&server).await;
    let path = format!("{}/events", other.path);
    assert_eq!(server.http(&Request::get(&path).bearer(&core.token)).await.problem(), "not_found");
    let path = format!("{}/events", team.path);
    let ask = async |query: &str, header: Option<&str>| {
        let path = format!("{path}{query}");
        let mut request = Request::get(&path).bearer(&core.token);
        if let Some(value) = header {
            request = request.header("Last-Event-ID", value);
        }
        let answer = server.http(&request).await;
        (answer.status, answer.problem())
    };
    assert_eq!(ask("?after=9999", None).await, (410, "events_gone".into()), "of another database");
    assert_eq!(ask("?after=-1", None).await, (400, "invalid_query".into()));
    assert_eq!(ask("?after=x", None).await, (400, "invalid_query".into()));
    assert_eq!(ask("", Some("x")).await, (400, "invalid_header".into()));
    assert_eq!(server.http(&Request::get(&path)).await.problem(), "unauthenticated");
    server.stop().await;
}

#[tokio::test]
async fn who_is_uninvited_hears_no_more_and_a_server_that_stops_says_so() {
    let server = Server::closed().await;
    let team = Team::new(&server).await;
    let person = team.person(&server, "Dr One", "core", None).await;
    let (case, _) = team.case(&server, "A-1").await;
    let mut listener = Listener::open(&server, &team, "", &person.token, None).await;
    let mut host = Listener::open(&server, &team, "", &team.key, None).await;
    draft(&server, &team, &case, 1).await;
    assert_eq!(listener.next().await.unwrap().kind, "outcome.drafted");
    let invitation = format!("/api/v1/invitations/{}", person.invitation);
    done(&server, Request::delete(&invitation).header("If-Match", "*"), &team.key, 204).await;
    // The next look at who listens ends it, which is at the next event after two seconds.
    let ended = async { while listener.next().await.is_some() {} };
    let happening = async {
        for number in 2.. {
            draft(&server, &team, &case, number).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        () = ended => {}
        () = happening => {}
        () = tokio::time::sleep(PATIENCE) => panic!("who is uninvited still hears"),
    }
    assert_eq!(host.next().await.unwrap().kind, "outcome.drafted");
    assert_eq!(Listener::open(&server, &team, "", &person.token, None).await.status, 401);
    let started = std::time::Instant::now();
    server.stop().await;
    while host.next().await.is_some() {}
    assert!(started.elapsed() < Duration::from_secs(4), "listeners do not hold the server up");
}

#[tokio::test]
async fn one_person_cannot_take_every_place() {
    let server = Server::closed().await;
    let team = Team::new(&server).await;
    let (one, other) =
        (team.person(&server, "Dr One", "core", None).await, team.person(&server, "Dr Two", "core", None).await);
    let mut open = Vec::new();
    let refused = loop {
        let listener = Listener::open(&server, &team, "", &one.token, None).await;
        match listener.status {
            200 => open.push(listener),
            status => break status,
        }
        assert!(open.len() < 100, "there is no bound");
    };
    assert_eq!((refused, open.len()), (429, 8));
    assert_eq!(Listener::open(&server, &team, "", &other.token, None).await.status, 200);
    server.stop().await;
}
