//! Mails to those who are invited: what they get, and what becomes of a mail that is not taken.

use crate::databases::Database;
use crate::harness::{Request, Server, wait_until};
use crate::mailbox::{Mail, Mailbox, Mood};
use crate::meetings::{PATH, done, weekly};
use consilium::config::{MailTls, PublicUrl, Secret};
use consilium::identity::Scope;
use consilium::store::Place;
use consilium::store::readers::{ABSENT, Reader};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const MAILS: &str = "/api/v1/mails";

async fn server(mailbox: &Mailbox, database: Option<&Database>) -> Server {
    Server::start(|config| {
        config.api.key = Some("key".into());
        config.api.secret = Some(Secret::new(crate::harness::SECRET));
        if let Some(Database { place: Place::Postgres { url, .. }, .. }) = database {
            config.store.url = Some(url.clone());
        }
        config.http.public_url = PublicUrl::new("https://meet.example.org");
        config.mail.host = Some(mailbox.address.ip().to_string());
        config.mail.port = mailbox.address.port();
        config.mail.tls = MailTls::None;
        config.mail.from = Some("mdt@hospital.example".into());
    })
    .await
}

async fn meeting(server: &Server, key: &str) -> String {
    let mut wanted = weekly();
    // Meetings that are over are not mailed.
    wanted["start"] = json!("2098-12-02T08:30:00");
    let (made, _) = done(server, Request::json("POST", PATH, &wanted), key, 201).await;
    format!("{PATH}/{}", made["id"].as_str().unwrap())
}

async fn invite(server: &Server, key: &str, meeting: &str, address: &str) -> Value {
    let path = format!("{meeting}/invitations");
    let body = json!({"name": "Dr Siân \"One\"", "role": "core", "email": address});
    done(server, Request::json("POST", &path, &body), key, 201).await.0
}

async fn change(server: &Server, key: &str, method: &str, path: &str, body: &Value, status: u16) {
    done(server, Request::json(method, path, body).header("If-Match", "*"), key, status).await;
}

/// Waits until so many have come, and sorts nothing: the last are the newest.
async fn mails(mailbox: &Mailbox, count: usize) -> Vec<Mail> {
    wait_until(async || mailbox.mails().len() >= count, async || format!("{:?}", mailbox.mails())).await;
    let mails = mailbox.mails();
    assert_eq!(mails.len(), count, "{mails:?}");
    mails
}

#[tokio::test]
async fn who_is_invited_hears_of_each_change_that_matters() {
    for database in crate::databases::databases().await {
        let mailbox = Mailbox::start(Mood::Takes).await;
        let server = server(&mailbox, Some(&database)).await;
        let key = server.api_key(&[Scope::MeetingsWrite]).await;
        let meeting = meeting(&server, &key).await;
        let invitation = invite(&server, &key, &meeting, "one@nhs.net").await;
        let page = format!("https://meet.example.org/m/{}", meeting.rsplit('/').next().unwrap());
        let link = format!("{page}#{}", invitation["link_secret"].as_str().unwrap());

        let first = mails(&mailbox, 1).await.remove(0);
        assert_eq!((first.to.as_str(), first.header("Auto-Submitted").as_str()), ("one@nhs.net", "auto-generated"));
        assert_eq!(first.header("Subject"), "Invitation: Lung MDT", "{}", database.name);
        assert!(first.header("From").ends_with("<mdt@hospital.example>"), "{}", first.text);
        let calendar = first.calendar();
        assert!(first.text.contains("text/calendar; charset=utf-8; method=REQUEST"), "{}", first.text);
        for line in ["METHOD:REQUEST\n", "SEQUENCE:0\n", "mailto:one@nhs.net\n", &format!("\nURL:{link}\n")] {
            assert!(calendar.contains(line), "{line} is not in {calendar}");
        }

        // A new title is no news for a calendar; a new time is, and the link is still in it.
        change(&server, &key, "PATCH", &meeting, &json!({"capacity": 60}), 200).await;
        change(&server, &key, "PATCH", &meeting, &json!({"start": "2098-12-02T09:30:00"}), 200).await;
        let moved = mails(&mailbox, 2).await.remove(1);
        assert_eq!(moved.header("Subject"), "Updated invitation: Lung MDT");
        let calendar = moved.calendar();
        for line in ["SEQUENCE:1\n", "DTSTART;TZID=Europe/London:20981202T093000\n", &format!("\nURL:{link}\n")] {
            assert!(calendar.contains(line), "{line} is not in {calendar}");
        }

        // Whoever is invited elsewhere is cancelled here first.
        let one = format!("/api/v1/invitations/{}", invitation["id"].as_str().unwrap());
        change(&server, &key, "PATCH", &one, &json!({"email": "two@nhs.net"}), 200).await;
        let both = mails(&mailbox, 4).await;
        let mut to: Vec<_> = both[2..].iter().map(|mail| (mail.to.clone(), mail.calendar())).collect();
        to.sort();
        assert!(to[0].0 == "one@nhs.net" && to[0].1.contains("METHOD:CANCEL\n"), "{to:?}");
        assert!(!to[0].1.contains("https://"), "no way in: {}", to[0].1);
        assert!(to[1].0 == "two@nhs.net" && to[1].1.contains("METHOD:REQUEST\n"), "{to:?}");

        change(&server, &key, "DELETE", &format!("{meeting}/occurrences/2098-12-09T09:30:00"), &json!(null), 204).await;
        let without = mails(&mailbox, 5).await.remove(4).calendar();
        assert!(without.contains("EXDATE;TZID=Europe/London:20981209T093000\n"), "{without}");
        let second = invite(&server, &key, &meeting, "three@nhs.net").await;
        mails(&mailbox, 6).await;
        let second = format!("/api/v1/invitations/{}", second["id"].as_str().unwrap());
        change(&server, &key, "DELETE", &second, &json!(null), 204).await;
        let removed = mails(&mailbox, 7).await.remove(6);
        assert!(removed.to == "three@nhs.net" && removed.calendar().contains("STATUS:CANCELLED\n"), "{removed:?}");
        change(&server, &key, "DELETE", &meeting, &json!(null), 200).await;
        let over = mails(&mailbox, 8).await.remove(7);
        assert_eq!((over.to.as_str(), over.header("Subject").as_str()), ("two@nhs.net", "Cancelled: Lung MDT"));

        // The mailbox has them a moment before the server knows.
        let delivered = format!("{MAILS}?state=delivered");
        let listed = async || done(&server, Request::get(&delivered), &key, 200).await.0;
        let is_complete = async || listed().await["items"].as_array().unwrap().len() == 8;
        wait_until(is_complete, async || listed().await.to_string()).await;
        let list = listed().await;
        assert!(!list.to_string().contains("nhs.net") && !list.to_string().contains("Lung"), "{list}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_mail_server_that_is_busy_or_away_gets_the_mail_later() {
    let mailbox = Mailbox::start(Mood::Refuses(451)).await;
    let server = server(&mailbox, None).await;
    let key = server.api_key(&[Scope::MeetingsWrite]).await;
    let meeting = meeting(&server, &key).await;
    invite(&server, &key, &meeting, "one@nhs.net").await;
    let state = async || done(&server, Request::get(MAILS), &key, 200).await.0["items"][0].clone();
    wait_until(async || mailbox.recipients() >= 2, async || format!("{}", state().await)).await;
    let waiting = state().await;
    assert_eq!((&waiting["state"], &waiting["failure"]), (&json!("pending"), &json!("smtp_451")), "{waiting}");
    mailbox.set(Mood::Takes);
    mails(&mailbox, 1).await;
    wait_until(async || state().await["state"] == "delivered", async || state().await.to_string()).await;
    assert!(state().await["attempts"].as_u64().unwrap() >= 3, "{}", state().await);
    server.stop().await;
}

#[tokio::test]
async fn a_mailbox_that_does_not_exist_is_a_dead_letter_until_somebody_tries_again() {
    let mailbox = Mailbox::start(Mood::Refuses(550)).await;
    let server = server(&mailbox, None).await;
    let key = server.api_key(&[Scope::MeetingsWrite]).await;
    let meeting = meeting(&server, &key).await;
    invite(&server, &key, &meeting, "gone@nhs.net").await;
    let dead = format!("{MAILS}?state=dead");
    let list = async || done(&server, Request::get(&dead), &key, 200).await.0["items"].clone();
    wait_until(async || list().await != json!([]), async || "no dead letter".into()).await;
    let letter = list().await[0].clone();
    assert_eq!((&letter["failure"], &letter["attempts"]), (&json!("smtp_550"), &json!(1)), "{letter}");
    assert_eq!(mailbox.recipients(), 1, "it is not tried again");
    let one = format!("{MAILS}/{}", letter["id"].as_str().unwrap());
    assert_eq!(done(&server, Request::get(&one), &key, 200).await.0, letter);

    mailbox.set(Mood::Takes);
    let again = format!("{one}/retry");
    done(&server, Request::post(&again, "application/json", ""), &key, 200).await;
    let mail = mails(&mailbox, 1).await.remove(0);
    assert!(mail.header("Message-ID").contains(letter["id"].as_str().unwrap()), "{}", mail.header("Message-ID"));
    wait_until(async || list().await == json!([]), async || list().await.to_string()).await;

    let reader = server.api_key(&[Scope::MeetingsRead]).await;
    let refused = server.http(&Request::post(&again, "application/json", "").bearer(&reader)).await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "missing_scope"));
    server.stop().await;
}

#[tokio::test]
async fn a_mail_that_is_sent_again_takes_no_link_to_where_nobody_is_invited() {
    let mailbox = Mailbox::start(Mood::Takes).await;
    let server = server(&mailbox, None).await;
    let key = server.api_key(&[Scope::MeetingsWrite]).await;
    let meeting = meeting(&server, &key).await;
    let invitation = invite(&server, &key, &meeting, "one@nhs.net").await;
    mails(&mailbox, 1).await;
    let one = format!("/api/v1/invitations/{}", invitation["id"].as_str().unwrap());
    change(&server, &key, "PATCH", &one, &json!({"email": "two@nhs.net"}), 200).await;
    mails(&mailbox, 3).await;
    let listed = async || done(&server, Request::get(MAILS), &key, 200).await.0["items"].clone();
    let is_told = async || listed().await.as_array().unwrap().iter().all(|mail| mail["state"] == "delivered");
    wait_until(is_told, async || listed().await.to_string()).await;
    let first = listed().await[2].clone();
    assert_eq!(first["kind"], "request");
    let path = format!("{MAILS}/{}", first["id"].as_str().unwrap());
    done(&server, Request::post(&format!("{path}/retry"), "application/json", ""), &key, 200).await;
    let state = async || done(&server, Request::get(&path), &key, 200).await.0["state"].clone();
    wait_until(async || state().await == "superseded", async || state().await.to_string()).await;
    mails(&mailbox, 3).await;
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_sends_no_mails_stops_nobody_else_from_it() {
    for database in crate::databases::databases().await {
        let Place::Postgres { url, .. } = &database.place else { continue };
        let mailbox = Mailbox::start(Mood::Takes).await;
        let server = server(&mailbox, Some(&database)).await;
        let other = Server::start(|config| {
            config.api.key = Some("key".into());
            config.api.secret = Some(Secret::new(crate::harness::SECRET));
            config.store.url = Some(url.clone());
        })
        .await;
        assert_ne!(other.app.store().position(Reader::Mail).await.unwrap(), ABSENT, "the first follows still");
        let key = other.api_key(&[Scope::MeetingsWrite]).await;
        let meeting = meeting(&other, &key).await;
        invite(&other, &key, &meeting, "one@nhs.net").await;
        mails(&mailbox, 1).await;
        other.stop().await;
        server.stop().await;
    }
}

#[tokio::test]
async fn a_mail_server_that_says_nothing_holds_up_nobody() {
    let mailbox = Mailbox::start(Mood::Silent).await;
    let server = server(&mailbox, None).await;
    let key = server.api_key(&[Scope::MeetingsWrite]).await;
    let meeting = meeting(&server, &key).await;
    let invitation = invite(&server, &key, &meeting, "one@nhs.net").await;
    // What was not told yet is not told any more.
    let one = format!("/api/v1/invitations/{}", invitation["id"].as_str().unwrap());
    let state = async || done(&server, Request::get(MAILS), &key, 200).await.0["items"].clone();
    wait_until(async || state().await[0]["attempts"] == 1, async || state().await.to_string()).await;
    change(&server, &key, "DELETE", &one, &json!(null), 204).await;
    wait_until(async || state().await[1]["state"] == "superseded", async || state().await.to_string()).await;
    // The others find no place, as long as it says nothing: whoever never heard of it need not hear that it is off.
    for number in 0..4 {
        invite(&server, &key, &meeting, &format!("busy{number}@nhs.net")).await;
    }
    let late = invite(&server, &key, &meeting, "late@nhs.net").await;
    let of_late = async || {
        let all = state().await;
        let ours = all.as_array().unwrap().iter().filter(|mail| mail["invitation"] == late["id"]);
        ours.map(|mail| mail["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    wait_until(async || of_late().await == ["pending"], async || state().await.to_string()).await;
    let one = format!("/api/v1/invitations/{}", late["id"].as_str().unwrap());
    change(&server, &key, "DELETE", &one, &json!(null), 204).await;
    wait_until(async || of_late().await == ["superseded"], async || state().await.to_string()).await;
    let start = Instant::now();
    server.stop().await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
