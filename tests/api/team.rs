//! A meeting with its people, for the tests of what a team does in it.

use crate::harness::{Answer, MINUTE, Request, SECRET, Server, wait_until};
use crate::meetings::{PATH, done, under_way, weekly};
use consilium::identity::Scope;
use consilium_benches::load::engine::Engine;
use consilium_benches::load::plan::Plan;
use consilium_benches::load::seam::MemberId;
use consilium_benches::load::signal::{Endpoint, Expected, Member, Mode, Ticket, join};
use consilium_signaling::access::{Claims, VideoGrants};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// A meeting that requires oncology and surgery, and an API key that may change it.
pub(crate) struct Team {
    pub(crate) key: String,
    pub(crate) meeting: String,
    /// Of the meeting's resources.
    pub(crate) path: String,
}

/// Somebody who is invited, with their token.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) invitation: String,
    pub(crate) token: String,
}

impl Team {
    /// On fixed days.
    pub(crate) async fn new(server: &Server) -> Self {
        Self::of(server, &weekly()).await
    }

    /// At this moment, so that everybody may come in.
    pub(crate) async fn under_way(server: &Server) -> Self {
        Self::of(server, &under_way()).await
    }

    async fn of(server: &Server, wanted: &Value) -> Self {
        let key = server.api_key(&[Scope::MeetingsWrite]).await;
        let (meeting, _) = done(server, Request::json("POST", PATH, wanted), &key, 201).await;
        let meeting = meeting["id"].as_str().unwrap().to_owned();
        Self { key, path: format!("{PATH}/{meeting}"), meeting }
    }

    pub(crate) async fn person(&self, server: &Server, name: &str, role: &str, specialty: Option<&str>) -> Person {
        let body = json!({"name": name, "role": role, "specialty": specialty, "site": "Royal"});
        let path = format!("{}/invitations", self.path);
        let (invitation, _) = done(server, Request::json("POST", &path, &body), &self.key, 201).await;
        let link = json!({"link_secret": invitation["link_secret"]});
        let entered = server.http(&Request::json("POST", "/api/v1/join/invitation", &link)).await;
        let invitation = invitation["id"].as_str().unwrap().to_owned();
        let token = match entered.status {
            200 => entered.json()["token"].as_str().unwrap().to_owned(),
            // It is on a fixed day that has not come: the token is one that they had when a host was there.
            _ => {
                assert_eq!(entered.problem(), "meeting_not_open", "{}", entered.text());
                let video = VideoGrants { room: self.meeting.clone(), room_join: true, ..VideoGrants::default() };
                let claims = Claims { identity: invitation.clone(), video, ..Claims::default() };
                server.app.keys().sign(&claims, SystemTime::now(), MINUTE).unwrap()
            }
        };
        Person { invitation, token }
    }

    /// The path of a new case, and its ETag.
    pub(crate) async fn case(&self, server: &Server, reference: &str) -> (String, String) {
        let body = json!({"reference": reference});
        let path = format!("{}/cases", self.path);
        let answer = server.http(&Request::json("POST", &path, &body).bearer(&self.key)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        (answer.header("location").to_owned(), answer.header("etag").to_owned())
    }

    /// Goes one case further, whatever the current one is, and returns the list.
    pub(crate) async fn next(&self, server: &Server) -> Value {
        let (list, _) = done(server, Request::get(&format!("{}/cases", self.path)), &self.key, 200).await;
        let path = format!("{}/cases/next", self.path);
        done(server, Request::json("POST", &path, &json!({"after": list["current"]})), &self.key, 200).await.0
    }

    pub(crate) async fn get(&self, server: &Server, what: &str) -> Value {
        done(server, Request::get(&format!("{}/{what}", self.path)), &self.key, 200).await.0
    }

    /// Kinds of this meeting's events so far.
    pub(crate) async fn kinds(&self, server: &Server) -> Vec<String> {
        let events = server.app.store().events_of(&self.meeting, 0, 500).await.unwrap();
        events.into_iter().map(|event| event.kind).collect()
    }

    pub(crate) async fn wait_present(&self, server: &Server, present: u64) {
        let is_so = async || self.get(server, "quorum").await["present"] == present;
        wait_until(is_so, async || format!("not {present}: {}", self.get(server, "quorum").await)).await;
    }
}

/// Something done to a resource as it is.
pub(crate) async fn act(server: &Server, method: &str, path: &str, body: &Value, token: &str) -> Answer {
    server.http(&Request::json(method, path, body).header("If-Match", "*").bearer(token)).await
}

/// The media of participants who are played.
pub(crate) fn engine() -> Engine {
    Engine::start(Plan::camera(), None).unwrap()
}

/// Joins the meeting's room as a client does: WebSocket, ICE, DTLS. Nobody else is told to be there.
pub(crate) async fn enter(server: &Server, engine: &Engine, team: &Team, person: &Person) -> Member {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let endpoint = Endpoint {
        url: format!("http://{}", server.app.http_addr()),
        api_key: "key".into(),
        api_secret: SECRET.into(),
        mode: Mode::Single,
        join_timeout: Duration::from_secs(30),
    };
    let ticket = Ticket {
        room: team.meeting.clone(),
        identity: person.invitation.clone(),
        member: MemberId(number),
        publish: Vec::new(),
        expect: Expected::default(),
        adaptive_stream: false,
        seed: u64::from(number) + 1,
    };
    join(&endpoint, ticket, engine.handle().clone()).await.unwrap()
}
