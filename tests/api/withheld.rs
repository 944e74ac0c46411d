//! Requests whose body comes long after their headers: what the caller may do counts when it is done.

use crate::harness::Server;
use crate::meetings::PATH;
use crate::team::{Team, act};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(20);

/// A request that was authenticated, and the body of which the server waits for.
struct Withheld {
    stream: TcpStream,
    body: String,
}

impl Withheld {
    async fn begin(server: &Server, method: &str, path: &str, token: &str, body: &Value) -> Self {
        let (address, body) = (server.app.http_addr(), body.to_string());
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nIf-Match: *\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // It is said when the body is first looked for, which is after the caller was.
        let mut begun = String::new();
        while !begun.ends_with("\r\n\r\n") {
            let mut byte = [0];
            tokio::time::timeout(PATIENCE, stream.read_exact(&mut byte)).await.expect("an answer in time").unwrap();
            begun.push(char::from(byte[0]));
        }
        assert!(begun.starts_with("HTTP/1.1 100 "), "{begun}");
        Self { stream, body }
    }

    /// The whole answer.
    async fn send(mut self) -> String {
        self.stream.write_all(self.body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = self.stream.read_to_string(&mut answer);
        tokio::time::timeout(PATIENCE, read).await.expect("an answer in time").unwrap();
        answer
    }
}

#[tokio::test]
async fn who_lost_a_role_while_the_body_was_on_its_way_does_nothing_with_it() {
    for (database, server) in Server::on_each().await {
        let team = Team::under_way(&server).await;
        let chair = team.person(&server, "Dr Chair", "chair", None).await;
        let coordinator = team.person(&server, "Co Ordinator", "coordinator", None).await;
        let core = team.person(&server, "Dr Core", "core", None).await;
        let (case, _) = team.case(&server, "A-1").await;
        let of = |person: &str, what: &str| format!("{PATH}/{}/participants/{person}/{what}", team.meeting);
        let role = |role: &str| json!({ "role": role });
        let (ban, draft) = (json!({"ban": true}), json!({"text": "Surgery"}));

        let path = of(&core.invitation, "to-lobby");
        let kept = Withheld::begin(&server, "POST", &path, &coordinator.token, &json!({})).await.send().await;
        assert!(kept.starts_with("HTTP/1.1 204 "), "{}: {kept}", database.name);

        let path = of(&core.invitation, "remove");
        let removal = Withheld::begin(&server, "POST", &path, &coordinator.token, &ban).await;
        let outcome = format!("{case}/outcome");
        let drafted = Withheld::begin(&server, "PUT", &outcome, &coordinator.token, &draft).await;
        let path = of(&chair.invitation, "role");
        let taken_back = Withheld::begin(&server, "POST", &path, &chair.token, &role("chair")).await;
        for (who, lower) in [(&coordinator, "observer"), (&core, "chair"), (&core, "core")] {
            let answer = act(&server, "POST", &of(&who.invitation, "role"), &role(lower), &team.key).await;
            // The last of them would leave the meeting without a chair.
            let expected = if lower == "core" { 409 } else { 204 };
            assert_eq!(answer.status, expected, "{lower}: {}", answer.text());
        }
        for (withheld, code) in [(removal, "not_host"), (drafted, "not_host"), (taken_back, "not_chair")] {
            let answer = withheld.send().await;
            assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains(code), "{}: {answer}", database.name);
        }
        let path = of(&core.invitation, "remove");
        let removal = Withheld::begin(&server, "POST", &path, &chair.token, &ban).await;
        let invitation = format!("/api/v1/invitations/{}", chair.invitation);
        assert_eq!(act(&server, "DELETE", &invitation, &json!(null), &team.key).await.status, 204);
        let answer = removal.send().await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{}: {answer}", database.name);
        let kinds = team.kinds(&server).await;
        assert!(!kinds.iter().any(|kind| kind == "participant.removed" || kind.starts_with("outcome.")), "{kinds:?}");
        server.stop().await;
    }
}
