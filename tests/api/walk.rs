//! The walk through the REST API that README.md offers to paste, pasted.

use crate::harness::{Request, Server};
use crate::meetings::{PATH, done};
use consilium::identity::Scope;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

const README: &str = include_str!("../../README.md");

/// The first block of shell in a section.
fn block(section: &str) -> &'static str {
    let (_, rest) = README.split_once(&format!("\n## {section}\n")).expect("the section");
    let (_, rest) = rest.split_once("\n```sh\n").expect("a block");
    rest.split_once("\n```\n").expect("its end").0
}

/// As a user would, where nobody has built anything but the program is installed.
async fn paste(script: &'static str, server: &Server) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_consilium"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command
        .args(["-e", "-u", "-c", script])
        .current_dir(&server.data_dir)
        .env_clear()
        .envs([("PATH", path), ("SERVER", format!("http://{}", server.app.http_addr()))])
        .env("CONSILIUM_DATA_DIR", &server.data_dir)
        .stdin(Stdio::null());
    // The server answers on this runtime meanwhile.
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// An answer as the walk prints it: the body, if any, and the status.
fn answer(line: &str) -> (Value, u16) {
    let (body, status) = line.rsplit_once(' ').expect(line);
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).expect(line) };
    (body, status.parse().expect(line))
}

#[tokio::test]
async fn the_walk_in_the_readme_does_what_it_says() {
    let server = Server::closed().await;
    let output = paste(block("Scheduling by API"), &server).await;
    let (told, complaints) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && complaints.is_empty(), "{told}\n{complaints}");
    let lines: Vec<&str> = told.lines().collect();
    let [listed, occurrences, changed, link, waiting, admitted, let_in, ref discussed @ .., calendar, cancelled] =
        lines[..]
    else {
        panic!("{told}")
    };

    let (page, status) = answer(listed);
    let meeting = &page["items"][0];
    assert_eq!((status, &meeting["title"], &page["next"]), (200, &json!("Lung MDT"), &Value::Null));
    assert_eq!(meeting["required_specialties"], json!(["Oncology", "Radiology", "Surgery"]));
    let (window, status) = answer(occurrences);
    assert_eq!((status, window["items"].as_array().unwrap().len()), (200, 4), "{window}");
    let (longer, status) = answer(changed);
    assert_eq!((status, &longer["id"], &longer["duration_minutes"]), (200, &meeting["id"], &json!(90)));

    let room = meeting["id"].as_str().unwrap();
    let (page, secret) = link.split_once('#').expect(link);
    assert_eq!(page, format!("The chair opens http://{}/m/{room}", server.app.http_addr()));
    // As the page does.
    let entry = Request::json("POST", "/api/v1/join/invitation", &json!({"link_secret": secret}));
    let entered = server.http(&entry).await.json();
    let claims = server.app.keys().verify(entered["token"].as_str().unwrap(), SystemTime::now()).unwrap();
    assert_eq!((claims.join_room(), claims.name.as_str()), (Ok(room), "Dr One"));
    assert_eq!(claims.attributes["role"], "chair");
    let (waiting, status) = answer(waiting);
    let guest = &waiting["items"][0];
    assert_eq!((status, &guest["standing"], &guest["role"]), (200, &json!("waiting"), &json!("guest")));
    assert_eq!(answer(admitted), (Value::Null, 204));
    let (let_in, status) = answer(let_in);
    assert_eq!((status, &let_in["state"]), (200, &json!("admitted")), "{let_in}");
    let claims = server.app.keys().verify(let_in["token"].as_str().unwrap(), SystemTime::now()).unwrap();
    assert_eq!((claims.identity.as_str(), claims.name.as_str()), (guest["invitation"].as_str().unwrap(), "Dr Two"));
    let [first, second, refused, table @ ..] = discussed else { panic!("{told}") };
    for confirmed in [first, second] {
        let (outcome, status) = answer(confirmed);
        assert_eq!((status, &outcome["state"], &outcome["text"]), (200, &json!("confirmed"), &json!("Surgery")));
    }
    let (problem, status) = answer(refused);
    assert_eq!((status, &problem["code"]), (409, &json!("outcome_confirmed")));
    let [head, rows @ .., status] = table else { panic!("{told}") };
    assert_eq!((status.trim(), head.split(',').next()), ("200", Some("occurrence")), "{told}");
    for reference in ["L-2027-001", "L-2027-002"] {
        assert!(rows.iter().any(|row| row.contains(reference)), "{reference}: {told}");
    }
    assert_eq!(calendar.trim(), "200");
    let calendar = std::fs::read_to_string(server.data_dir.join("lung-mdt.ics")).unwrap();
    assert!(calendar.starts_with("BEGIN:VCALENDAR\r\n") && calendar.contains("\r\nCONFERENCE;"), "{calendar}");
    assert_eq!(answer(cancelled), (Value::Null, 204));

    // What it did, as another caller sees it.
    let key = server.api_key(&[Scope::MeetingsRead]).await;
    let window = format!("{PATH}/{room}/occurrences?from=2027-01-01T00:00:00Z&to=2027-02-01T00:00:00Z");
    let (window, _) = done(&server, Request::get(&window), &key, 200).await;
    let taking_place = |item: &&Value| item["is_cancelled"] == false;
    let days: Vec<_> = window["items"].as_array().unwrap().iter().filter(taking_place).collect();
    let days: Vec<_> = days.iter().map(|item| item["ends_at"].as_str().unwrap()).collect();
    assert_eq!(days, ["2027-01-05T10:00:00Z", "2027-01-19T10:00:00Z", "2027-01-26T10:00:00Z"]);
    let path = format!("{PATH}/{room}/invitations");
    let (invited, _) = done(&server, Request::get(&path), &key, 200).await;
    let people: Vec<_> = invited["items"].as_array().unwrap().iter().map(|one| (&one["name"], &one["role"])).collect();
    assert_eq!(people, [(&json!("Dr One"), &json!("chair"))]);
    server.app.store().verify_audit().await.unwrap().unwrap();
    server.stop().await;
}
