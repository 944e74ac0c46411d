//! The lobby and what hosts do: who waits has nothing, who is admitted comes in, and what a host decides holds from that moment
//! on, whatever a token says. On each database.

use crate::harness::{Request, Server, wait_until};
use crate::invitations::{ENTER, invite, link, meeting};
use crate::meetings::{PATH, done};
use crate::socket::Socket;
use consilium::identity::Scope;
use consilium::ids::MeetingId;
use consilium::live::sweep::sweep;
use consilium::moment::Moment;
use consilium::store::events::NewEvent;
use livekit_protocol::DisconnectReason;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const LOBBY: &str = "/api/v1/lobby";

/// A meeting that goes on, and a key for it.
struct Held<'a> {
    server: &'a Server,
    key: String,
    meeting: Value,
    etag: String,
}

/// Somebody who was invited.
struct Invited {
    id: String,
    link: Value,
}

impl<'a> Held<'a> {
    async fn new(server: &'a Server, lobby: &str) -> Self {
        let key = server.api_key(&[Scope::MeetingsWrite]).await;
        let (meeting, etag) = meeting(server, &key, lobby).await;
        Self { server, key, meeting, etag }
    }

    fn id(&self) -> &str {
        self.meeting["id"].as_str().unwrap()
    }

    async fn invite(&self, role: &str) -> Invited {
        let (made, _) = invite(self.server, &self.key, &self.meeting, json!({"name": "Dr X", "role": role})).await;
        Invited { id: made["id"].as_str().unwrap().to_owned(), link: link(&made) }
    }

    /// Uses the link: the status and the body.
    async fn arrive(&self, who: &Invited) -> (u16, Value) {
        let answer = self.server.http(&Request::json("POST", ENTER, &who.link)).await;
        (answer.status, answer.json())
    }

    async fn token(&self, who: &Invited) -> String {
        let (status, body) = self.arrive(who).await;
        assert_eq!(status, 200, "{body}");
        body["token"].as_str().unwrap().to_owned()
    }

    /// The way of who has to wait.
    async fn ticket(&self, who: &Invited) -> String {
        let (status, body) = self.arrive(who).await;
        assert_eq!((status, &body["status"], &body["token"]), (202, &json!("waiting"), &Value::Null), "{body}");
        body["ticket"].as_str().unwrap().to_owned()
    }

    async fn look(&self, ticket: &str) -> Value {
        done(self.server, Request::get(LOBBY), ticket, 200).await.0
    }

    async fn refusal(&self, who: &Invited) -> String {
        let (status, body) = self.arrive(who).await;
        assert!(status >= 400, "{body}");
        body["code"].as_str().unwrap().to_owned()
    }

    /// What a host, or a key, does about somebody: the status, and the code of a refusal.
    async fn act(&self, by: &str, who: &Invited, act: &str, body: Value) -> (u16, String) {
        let path = format!("{PATH}/{}/participants/{}/{act}", self.id(), who.id);
        self.post(by, &path, body).await
    }

    async fn room(&self, by: &str, act: &str) -> (u16, String) {
        self.post(by, &format!("{PATH}/{}/room/{act}", self.id()), json!({})).await
    }

    async fn post(&self, by: &str, path: &str, body: Value) -> (u16, String) {
        let answer = self.server.http(&Request::json("POST", path, &body).bearer(by)).await;
        let code = if answer.status < 400 { String::new() } else { answer.problem() };
        (answer.status, code)
    }

    async fn state(&self) -> Value {
        done(self.server, Request::get(&format!("{PATH}/{}/room", self.id())), &self.key, 200).await.0
    }

    async fn participant(&self, who: &Invited) -> Value {
        let path = format!("{PATH}/{}/participants", self.id());
        let (all, _) = done(self.server, Request::get(&path), &self.key, 200).await;
        let mut items = all["items"].as_array().unwrap().iter();
        items.find(|item| item["invitation"] == who.id.as_str()).cloned().unwrap_or_default()
    }

    /// Events of the meeting so far.
    async fn kinds(&self) -> Vec<String> {
        let events = self.server.app.store().events_of(self.id(), 0, 500).await.unwrap();
        events.into_iter().map(|event| event.kind).collect()
    }
}

const NOTHING: (u16, String) = (204, String::new());

#[tokio::test]
async fn who_waits_has_no_way_to_media_until_a_host_admits_them() {
    for (database, server) in Server::on_each().await {
        let held = Held::new(&server, "guests").await;
        let (chair, guest) = (held.invite("chair").await, held.invite("guest").await);
        let host = held.token(&chair).await;
        let _room = Socket::join(&server, &host).await.unwrap();
        let connections = async |expected: &str| {
            let shows = async || media(&server).await == expected;
            wait_until(shows, async || format!("{} connections of {expected}", media(&server).await)).await;
        };
        connections("1").await;

        let ticket = held.ticket(&guest).await;
        assert_eq!(held.look(&ticket).await["state"], "waiting", "{}", database.name);
        // The ticket opens nothing, and a token that the guest should not have opens nothing either.
        assert!(Socket::join(&server, &ticket).await.is_err());
        let made = made_token(&server, &held, &guest);
        let shut = Socket::join(&server, &made).await.err().unwrap();
        assert_eq!(shut, "A host has to let you in. Use your link again.");
        let waiting = held.participant(&guest).await;
        assert_eq!((&waiting["standing"], &waiting["is_at_the_door"]), (&json!("waiting"), &json!(true)));
        assert_eq!(waiting["is_present"], false);
        assert_eq!((&held.state().await["waiting"], &held.state().await["participants"]), (&json!(1), &json!(1)));
        assert_eq!(media(&server).await, "1", "waiting costs no media");

        // Another guest cannot admit, nor can the one who waits.
        let core = held.token(&held.invite("core").await).await;
        assert_eq!(held.act(&core, &guest, "admit", json!({})).await, (403, "not_host".into()));
        assert_eq!(held.act(&ticket, &guest, "admit", json!({})).await, (401, "unauthenticated".into()));
        assert_eq!(held.act(&host, &guest, "admit", json!({})).await, NOTHING);
        assert_eq!(held.act(&host, &guest, "admit", json!({})).await, NOTHING, "once is enough");
        let admitted = held.look(&ticket).await;
        assert_eq!(admitted["state"], "admitted");
        let inside = Socket::join(&server, admitted["token"].as_str().unwrap()).await.unwrap();
        assert_eq!(inside.join.participant.as_ref().unwrap().identity, guest.id);
        assert_eq!(inside.join.participant.as_ref().unwrap().attributes["role"], "guest");
        assert_eq!(held.participant(&guest).await["is_present"], true);
        connections("2").await;

        let kinds = held.kinds().await;
        let of_lobby: Vec<_> = kinds.iter().filter(|kind| kind.starts_with("lobby.")).collect();
        assert_eq!(of_lobby, ["lobby.knocked", "lobby.admitted"]);
        assert_eq!(held.look(&ticket).await["state"], "admitted");
        let audit = server.app.store().audit_after(0).await.unwrap();
        let used = audit.iter().filter(|entry| entry.action == "invitation.used" && entry.subject == guest.id);
        assert_eq!(used.count(), 1, "the lobby is a way in like any other, and looking twice is entering once");
        let told = format!("{:?}", server.app.store().events_after(0, 500).await.unwrap());
        assert!(!told.contains("Dr X") && !told.contains(&ticket[3..]), "{told}");
        server.app.store().verify_audit().await.unwrap().unwrap();
        server.stop().await;
    }
}

/// Connections that the media workers expect or have.
async fn media(server: &Server) -> String {
    let metrics = server.ops("/metrics").await;
    let mut lines = metrics.text().lines();
    lines.find_map(|line| line.strip_prefix("consilium_media_peers ")).unwrap().to_owned()
}

/// What a host of another kind could make with the API secret: a token of the guest's, valid in every way.
fn made_token(server: &Server, held: &Held<'_>, who: &Invited) -> String {
    use consilium_signaling::access::{Claims, VideoGrants};
    let video = VideoGrants { room: held.id().into(), room_join: true, ..VideoGrants::default() };
    let claims = Claims { identity: who.id.clone(), video, ..Claims::default() };
    server.app.keys().sign(&claims, std::time::SystemTime::now(), crate::harness::MINUTE).unwrap()
}

#[tokio::test]
async fn whoever_is_denied_reads_why_and_can_knock_again_later() {
    for (_, server) in Server::on_each().await {
        let held = Held::new(&server, "everyone").await;
        let core = held.invite("core").await;
        assert_eq!(held.act(&held.key, &core, "admit", json!({})).await, (409, "not_waiting".into()));
        assert_eq!(held.act(&held.key, &core, "deny", json!({})).await, (409, "not_waiting".into()));
        let ticket = held.ticket(&core).await;
        let denial = json!({"message": "Your case is at ten."});
        assert_eq!(held.act(&held.key, &core, "deny", denial).await, NOTHING);
        let state = held.look(&ticket).await;
        assert_eq!((&state["state"], &state["message"]), (&json!("denied"), &json!("Your case is at ten.")));
        assert_eq!(held.refusal(&core).await, "entry_denied");
        let told = format!("{:?}", server.app.store().audit_after(0).await.unwrap());
        assert!(told.contains("lobby.denied") && !told.contains("at ten"));
        // A host may think better of it.
        assert_eq!(held.act(&held.key, &core, "admit", json!({})).await, NOTHING);
        assert!(Socket::join(&server, &held.token(&core).await).await.is_ok());
        for wrong in [json!({"message": null}), json!({"message": ""}), json!({"message": "x".repeat(200)}), json!([])]
        {
            assert_eq!(
                held.act(&held.key, &core, "deny", wrong.clone()).await,
                (422, "invalid_body".into()),
                "{wrong}"
            );
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn everybody_who_waits_is_admitted_at_once_and_who_left_is_not() {
    let server = Server::closed().await;
    let held = Held::new(&server, "everyone").await;
    let mut tickets = Vec::new();
    for _ in 0..3 {
        let who = held.invite("core").await;
        tickets.push((held.ticket(&who).await, who));
    }
    let (left, gone) = tickets.pop().unwrap();
    done(&server, Request::delete(LOBBY), &left, 204).await;
    assert_eq!(server.http(&Request::get(LOBBY).bearer(&left)).await.problem(), "ticket_invalid");
    assert_eq!(held.state().await["waiting"], 2);
    let path = format!("{PATH}/{}/participants/admit-all", held.id());
    let (answer, _) = done(&server, Request::json("POST", &path, &json!({})), &held.key, 200).await;
    assert_eq!(answer["admitted"], 2);
    for (ticket, _) in &tickets {
        assert_eq!(held.look(ticket).await["state"], "admitted");
    }
    // Leaving is no way around the lobby: who comes again knocks again.
    held.ticket(&gone).await;
    // A new ticket takes the place of the old.
    let again = held.ticket(&gone).await;
    assert_eq!(held.look(&again).await["state"], "waiting");
    let knocks = held.kinds().await.iter().filter(|kind| *kind == "lobby.knocked").count();
    assert_eq!(knocks, 4, "three, and one again; not two for a reload");
    for forged in ["", "lt.", "lt.inv_00000000000000000000000000.AAAA", &again[3..], &format!("{again}A")] {
        let answer = server.http(&Request::get(LOBBY).bearer(forged)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (401, "ticket_invalid"), "{forged}");
    }
    server.stop().await;
}

#[tokio::test]
async fn whoever_was_sent_out_does_not_come_back_with_the_old_token() {
    for (database, server) in Server::on_each().await {
        let held = Held::new(&server, "nobody").await;
        let (chair, core) = (held.invite("chair").await, held.invite("core").await);
        let (host, token) = (held.token(&chair).await, held.token(&core).await);
        let mut inside = Socket::join(&server, &token).await.unwrap();
        assert_eq!(held.act(&host, &chair, "remove", json!({})).await, (409, "is_host".into()));
        assert_eq!(held.act(&host, &core, "remove", json!({})).await, NOTHING);
        assert_eq!(inside.sent_away().await, DisconnectReason::ParticipantRemoved, "{}", database.name);
        let shut = Socket::join(&server, &token).await.err().unwrap();
        assert_eq!(shut, "A host has to let you in. Use your link again.");
        // The policy lets everybody in; a host's decision counts more.
        held.ticket(&core).await;
        assert_eq!(held.act(&host, &core, "admit", json!({})).await, NOTHING);
        let mut inside = Socket::join(&server, &token).await.unwrap();
        assert_eq!(held.act(&host, &core, "remove", json!({"ban": true})).await, NOTHING);
        assert_eq!(inside.sent_away().await, DisconnectReason::ParticipantRemoved);
        assert_eq!(held.refusal(&core).await, "entry_banned");
        let shut = Socket::join(&server, &token).await.err().unwrap();
        assert_eq!(shut, "The host has removed you from this meeting.");
        server.stop().await;
    }
}

#[tokio::test]
async fn an_observer_who_is_out_for_one_case_is_let_in_by_the_next() {
    for (database, server) in Server::on_each().await {
        let held = Held::new(&server, "nobody").await;
        let observer = held.invite("observer").await;
        let token = held.token(&observer).await;
        let mut inside = Socket::join(&server, &token).await.unwrap();
        let body = json!({"until": "next_case"});
        assert_eq!(held.act(&held.key, &observer, "to-lobby", body).await, NOTHING);
        assert_eq!(inside.sent_away().await, DisconnectReason::ParticipantRemoved);
        assert!(Socket::join(&server, &token).await.is_err());
        let reads = async |what: &str| {
            let path = format!("{PATH}/{}/{what}", held.id());
            let answer = server.http(&Request::get(&path).bearer(&token)).await;
            if answer.status < 400 { String::new() } else { answer.problem() }
        };
        for what in ["cases", "events", "room"] {
            assert_eq!(reads(what).await, "not_admitted", "{}: {what}", database.name);
        }
        let ticket = held.ticket(&observer).await;
        assert_eq!(held.look(&ticket).await["state"], "awaiting_next_case");
        // Nobody is asked to admit who comes back by themselves, and "all" does not mean them.
        assert!(!held.kinds().await.contains(&"lobby.knocked".to_owned()), "{}", database.name);
        let path = format!("{PATH}/{}/participants/admit-all", held.id());
        assert_eq!(done(&server, Request::json("POST", &path, &json!({})), &held.key, 200).await.0["admitted"], 0);

        start_case(&server, &held).await;
        let admitted = async || held.look(&ticket).await["state"] == "admitted";
        wait_until(admitted, async || format!("{}: {}", database.name, held.look(&ticket).await)).await;
        assert!(Socket::join(&server, &token).await.is_ok());
        assert_eq!(reads("cases").await, "");
        assert_eq!(held.act(&held.key, &observer, "remove", json!({"ban": true})).await, NOTHING);
        assert_eq!(reads("cases").await, "entry_banned", "{}", database.name);
        server.stop().await;
    }
}

#[tokio::test]
async fn who_is_sent_to_the_lobby_waits_there_again_and_who_is_removed_does_not() {
    for (database, server) in Server::on_each().await {
        let held = Held::new(&server, "nobody").await;
        let core = held.invite("core").await;
        let token = held.token(&core).await;
        let back = async |link: &Value| server.http(&Request::json("POST", LOBBY, link)).await;
        let not_waiting = async || back(&core.link).await.problem() == "not_waiting";
        assert!(not_waiting().await, "nobody has sent them");

        let mut inside = Socket::join(&server, &token).await.unwrap();
        assert_eq!(held.act(&held.key, &core, "to-lobby", json!({})).await, NOTHING);
        assert_eq!(inside.sent_away().await, DisconnectReason::ParticipantRemoved);
        assert_eq!(held.participant(&core).await["is_at_the_door"], false);
        let waiting = back(&core.link).await;
        let body = waiting.json();
        assert_eq!((waiting.status, &body["status"]), (202, &json!("waiting")), "{}: {body}", database.name);
        assert_eq!(held.participant(&core).await["is_at_the_door"], true);
        assert_eq!(held.kinds().await.last().unwrap(), "lobby.knocked", "hosts are told that they stand there");
        let ticket = body["ticket"].as_str().unwrap();
        assert!(not_waiting().await, "once is enough, and the ticket stays good");
        assert_eq!(held.look(ticket).await["state"], "waiting");
        assert_eq!(held.act(&held.key, &core, "admit", json!({})).await, NOTHING);
        let again = held.look(ticket).await["token"].as_str().unwrap().to_owned();
        let mut inside = Socket::join(&server, &again).await.unwrap();
        assert!(not_waiting().await);

        let body = json!({"until": "next_case"});
        assert_eq!(held.act(&held.key, &core, "to-lobby", body).await, NOTHING);
        inside.sent_away().await;
        let body = back(&core.link).await.json();
        assert_eq!(held.look(body["ticket"].as_str().unwrap()).await["state"], "awaiting_next_case");

        assert_eq!(held.act(&held.key, &core, "remove", json!({})).await, NOTHING);
        assert!(not_waiting().await, "{}", database.name);
        assert_eq!(held.participant(&core).await["is_at_the_door"], false);
        assert_eq!(held.act(&held.key, &core, "remove", json!({"ban": true})).await, NOTHING);
        assert_eq!(back(&core.link).await.problem(), "entry_banned");
        for forged in ["", "inv_00000000000000000000000000.AAAA", ticket] {
            assert_eq!(back(&json!({"link_secret": forged})).await.problem(), "link_invalid", "{forged}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn who_is_sent_out_after_a_case_began_stays_out_for_it() {
    for (database, server) in Server::on_each().await {
        let held = Held::new(&server, "nobody").await;
        let (early, late) = (held.invite("observer").await, held.invite("observer").await);
        let out = async |who: &Invited| {
            assert_eq!(held.act(&held.key, who, "to-lobby", json!({"until": "next_case"})).await, NOTHING);
            held.ticket(who).await
        };
        let early = out(&early).await;
        let sent_at = Moment::now();
        wait_until(async || Moment::now() > sent_at, async || "the clock stands".into()).await;
        let begun_at = Moment::now();
        let late = out(&late).await;
        // The server hears of the case when both are out.
        start_case_at(&server, &held, begun_at).await;
        let admitted = async || held.look(&early).await["state"] == "admitted";
        wait_until(admitted, async || format!("{}: {}", database.name, held.look(&early).await)).await;
        assert_eq!(held.look(&late).await["state"], "awaiting_next_case", "{}", database.name);
        server.stop().await;
    }
}

async fn start_case(server: &Server, held: &Held<'_>) {
    start_case_at(server, held, Moment::now()).await;
}

async fn start_case_at(server: &Server, held: &Held<'_>, at: Moment) {
    let mut write = server.app.store().write().await.unwrap();
    let body = json!({"meeting": held.id()});
    let event = NewEvent { kind: "case.started", subject: held.id(), body };
    write.append_event(at, &event).await.unwrap();
    write.commit().await.unwrap();
}

#[tokio::test]
async fn a_locked_meeting_takes_whom_a_host_admits_and_nobody_else() {
    let server = Server::closed().await;
    let held = Held::new(&server, "guests").await;
    let [chair, inside, late, guest] =
        [held.invite("chair").await, held.invite("core").await, held.invite("core").await, held.invite("guest").await];
    let (host, token, late_token) = (held.token(&chair).await, held.token(&inside).await, held.token(&late).await);
    let _room = Socket::join(&server, &host).await.unwrap();
    let _member = Socket::join(&server, &token).await.unwrap();
    let ticket = held.ticket(&guest).await;
    assert_eq!(held.room(&token, "lock").await, (403, "not_host".into()));
    assert_eq!(held.room(&host, "lock").await, NOTHING);
    assert_eq!(held.room(&host, "lock").await, NOTHING);
    assert_eq!(held.kinds().await.iter().filter(|kind| *kind == "meeting.locked").count(), 1);
    assert_eq!(held.state().await["is_locked"], true);
    assert_eq!(Socket::join(&server, &late_token).await.err().unwrap(), "This meeting is locked.");
    assert_eq!(held.refusal(&late).await, "meeting_locked");
    // Whoever is inside may lose the connection.
    let _again = Socket::join(&server, &token).await.unwrap();
    assert_eq!(held.act(&host, &guest, "admit", json!({})).await, NOTHING);
    assert!(Socket::join(&server, held.look(&ticket).await["token"].as_str().unwrap()).await.is_ok());
    assert_eq!(held.room(&host, "unlock").await, NOTHING);
    assert!(Socket::join(&server, &late_token).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn a_full_meeting_takes_nobody_more_and_a_larger_one_does() {
    let server = Server::closed().await;
    let held = Held::new(&server, "nobody").await;
    let path = format!("{PATH}/{}", held.id());
    let small = Request::json("PATCH", &path, &json!({"capacity": 2})).header("If-Match", &held.etag);
    let (_, etag) = done(&server, small, &held.key, 200).await;
    let [one, two, three, chair] =
        [held.invite("core").await, held.invite("core").await, held.invite("core").await, held.invite("chair").await];
    let early = held.token(&three).await;
    let _one = Socket::join(&server, &held.token(&one).await).await.unwrap();
    let _two = Socket::join(&server, &held.token(&two).await).await.unwrap();
    assert_eq!(held.refusal(&three).await, "meeting_full");
    assert_eq!(Socket::join(&server, &early).await.err().unwrap(), "the room is full");
    // A host gets a token all the same, to make room with.
    let host = held.token(&chair).await;
    assert_eq!(held.act(&host, &two, "remove", json!({})).await, NOTHING);
    wait_until(async || server.app.rooms().stats().snapshot().participants < 2, async || "nobody left".into()).await;
    let _three = Socket::join(&server, &early).await.unwrap();
    let larger = Request::json("PATCH", &path, &json!({"capacity": 3})).header("If-Match", &etag);
    done(&server, larger, &held.key, 200).await;
    let joins = async || Socket::join(&server, &host).await.is_ok();
    wait_until(joins, async || "the room does not know of its new capacity".into()).await;
    server.stop().await;
}

#[tokio::test]
async fn the_meeting_goes_on_without_its_host_and_a_chair_hands_over() {
    for (database, server) in Server::on_each().await {
        let held = Held::new(&server, "guests").await;
        let [chair, core, guest] = [held.invite("chair").await, held.invite("core").await, held.invite("guest").await];
        let (host, member) = (held.token(&chair).await, held.token(&core).await);
        let room = Socket::join(&server, &host).await.unwrap();
        let mut inside = Socket::join(&server, &member).await.unwrap();
        assert_eq!(held.act(&member, &guest, "role", json!({"role": "core"})).await, (403, "not_host".into()));
        assert_eq!(held.act(&host, &chair, "role", json!({"role": "core"})).await, (409, "last_chair".into()));
        assert_eq!(held.act(&host, &core, "role", json!({"role": "chair"})).await, NOTHING, "{}", database.name);
        assert_eq!(inside.told_of(&core.id).await.attributes["role"], "chair");
        assert_eq!(held.participant(&chair).await["role"], "coordinator");
        // The old token still is the chair's who was; the chair now is another.
        assert_eq!(held.act(&host, &core, "role", json!({"role": "core"})).await, (403, "not_chair".into()));
        drop(room);
        let ticket = held.ticket(&guest).await;
        assert_eq!(held.act(&member, &guest, "admit", json!({})).await, NOTHING);
        assert_eq!(held.look(&ticket).await["state"], "admitted");

        // Without any host in it, who need not wait comes in, and who has to wait waits.
        drop(inside);
        let without_host = async || held.state().await["has_host"] == false;
        wait_until(without_host, async || held.state().await.to_string()).await;
        let (another, stranger) = (held.invite("core").await, held.invite("guest").await);
        let _member = Socket::join(&server, &held.token(&another).await).await.unwrap();
        let ticket = held.ticket(&stranger).await;
        assert_eq!(held.look(&ticket).await["state"], "waiting");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_role_that_was_taken_away_is_gone_from_the_room_and_the_api_at_once() {
    let server = Server::closed().await;
    let held = Held::new(&server, "nobody").await;
    let [chair, other, guest] =
        [held.invite("chair").await, held.invite("coordinator").await, held.invite("guest").await];
    let (host, was_host) = (held.token(&chair).await, held.token(&other).await);
    let mut inside = Socket::join(&server, &was_host).await.unwrap();
    assert!(inside.join.participant.as_ref().unwrap().permission.as_ref().unwrap().can_publish);
    assert_eq!(held.act(&host, &other, "role", json!({"role": "observer"})).await, NOTHING);
    let told = inside.told_of(&other.id).await;
    assert_eq!(told.attributes["role"], "observer");
    assert!(!told.permission.unwrap().can_publish, "the grants went with the role");
    assert_eq!(held.act(&was_host, &guest, "mute", json!({})).await, (403, "not_host".into()));
    assert_eq!(held.room(&was_host, "end").await, (403, "not_host".into()));
    // The media side has no administrators among people, whatever they were.
    let twirp = Request::post("/twirp/livekit.RoomService/ListParticipants", "application/json", "{}");
    assert_eq!(server.http(&twirp.bearer(&was_host)).await.status, 403);
    // Joining anew with the old token brings nothing back.
    drop(inside);
    let again = Socket::join(&server, &was_host).await.unwrap();
    assert!(!again.join.participant.as_ref().unwrap().permission.as_ref().unwrap().can_publish);
    // A token that somebody edited is none.
    let (claimed, signature) = was_host.rsplit_once('.').unwrap();
    let forged = format!("{claimed}.{}{}", if signature.starts_with('A') { "B" } else { "A" }, &signature[1..]);
    assert!(Socket::join(&server, &forged).await.is_err());
    assert_eq!(held.room(&forged, "end").await, (401, "unauthenticated".into()));
    server.stop().await;
}

#[tokio::test]
async fn a_host_who_once_stood_at_the_door_stays_inside_without_the_role() {
    for (database, server) in Server::on_each().await {
        let held = Held::new(&server, "everyone").await;
        let (left, waiting) = (held.invite("core").await, held.invite("core").await);
        let ticket = held.ticket(&left).await;
        done(&server, Request::delete(LOBBY), &ticket, 204).await;
        let ticket = held.ticket(&waiting).await;
        // By the invitation, which does not look at the door.
        for who in [&left, &waiting] {
            let path = format!("/api/v1/invitations/{}", who.id);
            let change = Request::json("PATCH", &path, &json!({"role": "coordinator"})).header("If-Match", "*");
            done(&server, change, &held.key, 200).await;
        }
        let by_ticket = held.look(&ticket).await["token"].as_str().unwrap().to_owned();
        for (who, token) in [(&left, held.token(&left).await), (&waiting, by_ticket)] {
            let mut inside = Socket::join(&server, &token).await.unwrap();
            assert_eq!(held.act(&held.key, who, "role", json!({"role": "core"})).await, NOTHING);
            assert_eq!(inside.told_of(&who.id).await.attributes["role"], "core", "{}", database.name);
            assert_eq!(held.participant(who).await["standing"], "admitted");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn revoking_an_invitation_ends_what_it_opened() {
    let server = Server::closed().await;
    let held = Held::new(&server, "guests").await;
    let (core, guest) = (held.invite("core").await, held.invite("guest").await);
    let mut inside = Socket::join(&server, &held.token(&core).await).await.unwrap();
    let ticket = held.ticket(&guest).await;
    for who in [&core, &guest] {
        let path = format!("/api/v1/invitations/{}", who.id);
        done(&server, Request::delete(&path).header("If-Match", "*"), &held.key, 204).await;
    }
    assert_eq!(inside.sent_away().await, DisconnectReason::ParticipantRemoved);
    assert_eq!(server.http(&Request::get(LOBBY).bearer(&ticket)).await.problem(), "ticket_invalid");
    server.stop().await;
}

#[tokio::test]
async fn a_renewed_link_ends_what_the_one_before_opened() {
    for (database, server) in Server::on_each().await {
        let held = Held::new(&server, "guests").await;
        let (mut core, guest) = (held.invite("core").await, held.invite("guest").await);
        let token = held.token(&core).await;
        let mut inside = Socket::join(&server, &token).await.unwrap();
        let ticket = held.ticket(&guest).await;
        let renew = async |who: &Invited| {
            let path = format!("/api/v1/invitations/{}/link", who.id);
            let request = Request::json("POST", &path, &json!(null)).header("If-Match", "*");
            link(&done(&server, request, &held.key, 200).await.0)
        };
        core.link = renew(&core).await;
        renew(&guest).await;
        assert_eq!(inside.sent_away().await, DisconnectReason::ParticipantRemoved, "{}", database.name);
        assert!(Socket::join(&server, &token).await.is_err());
        let path = format!("{PATH}/{}/cases", held.id());
        let cases = Request::get(&path);
        assert_eq!(server.http(&cases.clone().bearer(&token)).await.problem(), "unauthenticated");
        assert_eq!(server.http(&Request::get(LOBBY).bearer(&ticket)).await.problem(), "ticket_invalid");
        // At once, within the second of the renewal.
        let token = held.token(&core).await;
        assert!(Socket::join(&server, &token).await.is_ok(), "{}", database.name);
        done(&server, cases, &token, 200).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn what_a_host_ends_is_over_for_all_until_a_host_begins_anew() {
    for (database, server) in Server::on_each().await {
        let held = Held::new(&server, "guests").await;
        let [chair, core, guest] = [held.invite("chair").await, held.invite("core").await, held.invite("guest").await];
        let (host, member) = (held.token(&chair).await, held.token(&core).await);
        let mut sockets = [Socket::join(&server, &host).await.unwrap(), Socket::join(&server, &member).await.unwrap()];
        let ticket = held.ticket(&guest).await;
        assert_eq!(held.room(&host, "end").await, NOTHING);
        for socket in &mut sockets {
            assert_eq!(socket.sent_away().await, DisconnectReason::RoomDeleted, "{}", database.name);
        }
        assert_eq!(Socket::join(&server, &member).await.err().unwrap(), "This meeting has ended.");
        assert_eq!(held.refusal(&core).await, "meeting_ended");
        assert_eq!(held.refusal(&guest).await, "meeting_ended");
        assert_eq!(server.http(&Request::get(LOBBY).bearer(&ticket)).await.problem(), "ticket_invalid");
        assert!(held.state().await["ended_at"].is_string());
        // A host who only has a token, and locks the door, has not begun anew.
        let host = held.token(&chair).await;
        assert_eq!(held.room(&host, "lock").await, NOTHING);
        assert_eq!(held.refusal(&core).await, "meeting_ended");
        let _room = Socket::join(&server, &host).await.unwrap();
        assert!(held.state().await["ended_at"].is_null());
        assert_eq!(held.kinds().await.iter().filter(|kind| *kind == "meeting.reopened").count(), 1);
        assert_eq!(held.state().await["is_locked"], true, "{}", database.name);
        assert_eq!(held.room(&host, "unlock").await, NOTHING);
        assert!(Socket::join(&server, &member).await.is_ok());
        server.stop().await;
    }
}

#[tokio::test]
async fn outside_its_time_a_meeting_is_open_to_hosts_and_where_a_host_is() {
    let server = Server::closed().await;
    let key = server.api_key(&[Scope::MeetingsWrite]).await;
    let mut wanted = crate::meetings::under_way();
    let later = Moment::now().plus(Duration::from_secs(3_600)).to_rfc3339();
    (wanted["start"], wanted["recurrence"]) = (json!(later[..19]), Value::Null);
    let (meeting, etag) = done(&server, Request::json("POST", PATH, &wanted), &key, 201).await;
    let held = Held { server: &server, key, meeting, etag };
    let [chair, core] = [held.invite("chair").await, held.invite("core").await];
    assert_eq!(held.refusal(&core).await, "meeting_not_open");
    assert_eq!(
        Socket::join(&server, &made_token(&server, &held, &core)).await.err().unwrap(),
        "This meeting is not open yet."
    );
    assert_eq!(held.state().await["is_open"], false);
    let _room = Socket::join(&server, &held.token(&chair).await).await.unwrap();
    assert!(Socket::join(&server, &held.token(&core).await).await.is_ok());
    assert_eq!(held.state().await["is_open"], true);
    server.stop().await;
}

#[tokio::test]
async fn a_link_of_a_meeting_that_is_past_says_that_it_is_over_and_not_that_it_will_open() {
    let server = Server::closed().await;
    let key = server.api_key(&[Scope::MeetingsWrite]).await;
    let mut wanted = crate::meetings::under_way();
    let before = Moment::from_ms(Moment::now().ms() - 7 * 3_600_000).to_rfc3339();
    (wanted["start"], wanted["recurrence"]) = (json!(before[..19]), Value::Null);
    let (meeting, etag) = done(&server, Request::json("POST", PATH, &wanted), &key, 201).await;
    let held = Held { server: &server, key, meeting, etag };
    let core = held.invite("core").await;
    assert_eq!(held.refusal(&core).await, "meeting_ended");
    let shut = Socket::join(&server, &made_token(&server, &held, &core)).await.err().unwrap();
    assert_eq!(shut, "This meeting has ended.");
    server.stop().await;
}

#[tokio::test]
async fn a_meeting_that_everybody_has_left_is_over_after_half_an_hour() {
    for (database, server) in Server::on_each().await {
        let held = Held::new(&server, "guests").await;
        let [core, guest, banned] = [held.invite("core").await, held.invite("guest").await, held.invite("core").await];
        let (store, rooms) = (server.app.store(), server.app.rooms());
        let sweep_in = async |minutes: u64| {
            let now = Moment::now().plus(Duration::from_secs(minutes * 60));
            sweep(store, rooms, now).await.unwrap();
        };
        let ticket = held.ticket(&guest).await;
        assert_eq!(held.act(&held.key, &banned, "remove", json!({"ban": true})).await, NOTHING);
        sweep_in(29).await;
        assert_eq!(held.look(&ticket).await["state"], "waiting", "{}", database.name);
        // As long as anybody is in the room, it goes on, also without a host.
        let member = Socket::join(&server, &held.token(&core).await).await.unwrap();
        sweep_in(31).await;
        sweep_in(60).await;
        assert_eq!(held.look(&ticket).await["state"], "waiting");
        drop(member);
        wait_until(async || rooms.occupied().await.is_empty(), async || "the member stays".into()).await;
        sweep_in(91).await;
        assert_eq!(server.http(&Request::get(LOBBY).bearer(&ticket)).await.problem(), "ticket_invalid");
        assert!(held.kinds().await.contains(&"meeting.closed".to_owned()));
        assert!(store.gathering(&MeetingId::parse(held.id()).unwrap()).await.unwrap().is_none());
        // What was decided is forgotten with it.
        held.token(&banned).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn who_listens_hears_of_the_admission_at_once_and_then_no_more() {
    for (database, server) in Server::on_each().await {
        let held = Held::new(&server, "everyone").await;
        let core = held.invite("core").await;
        let ticket = held.ticket(&core).await;
        let path = format!("{LOBBY}/events");
        let admitted_at = async {
            // Once the listener is there; the stream itself is read below, to its end.
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(held.act(&held.key, &core, "admit", json!({})).await, NOTHING);
            Instant::now()
        };
        let listen = async {
            let answer = server.http(&Request::get(&path).bearer(&ticket)).await;
            (answer, Instant::now())
        };
        let (admitted_at, (answer, heard_at)) = tokio::join!(admitted_at, listen);
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
        let states: Vec<Value> = answer
            .text()
            .lines()
            .filter_map(|line| line.strip_prefix("data: ").map(|data| serde_json::from_str(data).unwrap()))
            .collect();
        let words: Vec<_> = states.iter().map(|state| state["state"].as_str().unwrap()).collect();
        assert_eq!(words, ["waiting", "admitted"], "{}", database.name);
        assert!(heard_at.duration_since(admitted_at) < Duration::from_secs(1), "the page follows within a second");
        assert!(Socket::join(&server, states[1]["token"].as_str().unwrap()).await.is_ok());
        server.stop().await;
    }
}
