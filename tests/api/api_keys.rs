//! The foundation of the REST API, shown on its first resource: authentication, scopes, pages, versions, repeated
//! requests, limits, bad input, description.

use crate::harness::{Request, SECRET, Server};
use consilium::config::Secret;
use consilium::identity::Scope;
use consilium::moment::Moment;
use serde_json::{Value, json};
use std::collections::HashSet;

const PATH: &str = "/api/v1/api-keys";

fn wanted() -> Value {
    json!({"name": "Trust calendar", "scopes": ["meetings:read"]})
}

async fn admin(server: &Server) -> String {
    server.api_key(&[Scope::KeysAdmin, Scope::MeetingsRead]).await
}

#[tokio::test]
async fn a_key_is_made_used_read_and_revoked() {
    let server = Server::closed().await;
    let admin = admin(&server).await;
    let created = server.http(&Request::json("POST", PATH, &wanted()).bearer(&admin)).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let body = created.json();
    let (id, secret) = (body["id"].as_str().unwrap(), body["secret"].as_str().unwrap());
    assert_eq!(created.header("location"), format!("{PATH}/{id}"));
    assert_eq!((&body["name"], &body["scopes"]), (&json!("Trust calendar"), &json!(["meetings:read"])));

    // It is a key, and may not do what it has no scope for.
    let refused = server.http(&Request::get(PATH).bearer(secret)).await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "missing_scope"));
    assert!(refused.json()["detail"].as_str().unwrap().contains("keys:admin"));

    let one = format!("{PATH}/{id}");
    let read = server.http(&Request::get(&one).bearer(&admin)).await;
    assert_eq!((read.status, read.header("etag")), (200, created.header("etag")));
    assert_eq!(read.json()["secret"], Value::Null);
    let unconditional = server.http(&Request::delete(&one).bearer(&admin)).await;
    assert_eq!((unconditional.status, unconditional.problem().as_str()), (428, "precondition_required"));
    let stale = server.http(&Request::delete(&one).header("If-Match", "\"v7\"").bearer(&admin)).await;
    assert_eq!((stale.status, stale.problem().as_str()), (412, "stale"));
    let revoked = server.http(&Request::delete(&one).header("If-Match", read.header("etag")).bearer(&admin)).await;
    assert_eq!((revoked.status, revoked.body.len()), (204, 0));
    assert_eq!(server.http(&Request::get(PATH).bearer(secret)).await.problem(), "unauthenticated");
    let again = server.http(&Request::delete(&one).header("If-Match", "*").bearer(&admin)).await;
    assert_eq!((again.status, again.problem().as_str()), (409, "conflict"));
    assert!(server.http(&Request::get(&one).bearer(&admin)).await.json()["revoked_at"].is_string());

    let store = server.app.store();
    let log = store.audit_after(0).await.unwrap();
    let acts: Vec<_> = log.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(acts, ["api_key.created", "api_key.created", "api_key.revoked"]);
    assert_eq!((log[2].subject.as_str(), log[1].actor.as_str()), (id, log[2].actor.as_str()));
    assert!(!log.iter().any(|entry| entry.details.contains("calendar")), "names stay out of the log");
    store.verify_audit().await.unwrap().unwrap();
    server.stop().await;
}

#[tokio::test]
async fn whoever_has_no_valid_key_learns_nothing() {
    let server = Server::closed().await;
    let admin = admin(&server).await;
    let mut write = server.app.store().write().await.unwrap();
    let past = Moment::from_ms(Moment::now().ms() - 1);
    let name = "old".parse().unwrap();
    let (_, expired) =
        write.create_api_key("test", name, vec![Scope::KeysAdmin], Some(past), Moment::now()).await.unwrap();
    write.commit().await.unwrap();
    let other_secret = format!("{}{}", &admin[..30], &server.api_key(&[Scope::KeysAdmin]).await[30..]);
    let wrong = ["Bearer", "Bearer x", "Basic eDp5", &format!("Bearer {}", &admin[..40])].map(str::to_owned);
    let forged = [format!("Bearer {other_secret}"), format!("Bearer {}", expired.expose())];
    let mut answers = HashSet::new();
    for value in wrong.into_iter().chain(forged) {
        let answer = server.http(&Request::get(PATH).header("Authorization", value.clone())).await;
        assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthenticated"), "{value}");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{value}");
        answers.insert(answer.body);
    }
    answers.insert(server.http(&Request::get(PATH)).await.body);
    assert_eq!(answers.len(), 1, "every refusal is the same");
    assert_eq!(server.http(&Request::get(PATH).bearer(&admin)).await.status, 200, "the check lets good keys in");
    server.stop().await;
}

#[tokio::test]
async fn nobody_gives_away_a_scope_that_they_do_not_have() {
    let server = Server::closed().await;
    let admin = server.api_key(&[Scope::KeysAdmin]).await;
    let refused = server.http(&Request::json("POST", PATH, &wanted()).bearer(&admin)).await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "missing_scope"));
    let own = json!({"name": "x", "scopes": ["keys:admin"]});
    assert_eq!(server.http(&Request::json("POST", PATH, &own).bearer(&admin)).await.status, 201);
    server.stop().await;
}

#[tokio::test]
async fn pages_lead_through_a_list_once() {
    let server = Server::closed().await;
    let admin = admin(&server).await;
    let mut made = vec![admin.clone()];
    for _ in 0..6 {
        made.push(server.api_key(&[]).await);
    }
    let mut seen = Vec::new();
    let mut path = format!("{PATH}?limit=3");
    let pages = loop {
        let answer = server.http(&Request::get(&path).bearer(&admin)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let page = answer.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("{PATH}?limit=3&cursor={next}"),
            None => break seen.len().div_ceil(3),
        }
    };
    let mut expected: Vec<_> = made.iter().map(|key| format!("key_{}", &key[3..29])).collect();
    expected.sort();
    expected.reverse();
    assert_eq!((seen, pages), (expected, 3));
    for (query, code) in [
        ("limit=0", "invalid_query"),
        ("limit=201", "invalid_query"),
        ("limit=-1", "invalid_query"),
        ("limit=x", "invalid_query"),
        ("limit=1&limit=2", "invalid_query"),
        ("unknown=1", "invalid_query"),
        ("cursor=x", "invalid_cursor"),
        ("cursor=WyJhcGkta2V5cyIsIngiXQ", "invalid_cursor"),
        ("cursor=%00", "invalid_cursor"),
    ] {
        let answer = server.http(&Request::get(&format!("{PATH}?{query}")).bearer(&admin)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, code), "{query}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_same_creation_sent_twice_creates_once() {
    let server = Server::closed().await;
    let (admin, other) = (admin(&server).await, admin(&server).await);
    let count =
        async || server.http(&Request::get(PATH).bearer(&admin)).await.json()["items"].as_array().unwrap().len();
    let before = count().await;
    let request = Request::json("POST", PATH, &wanted()).header("Idempotency-Key", "\"once\"");
    let (one, two) = tokio::join!(async { server.http(&request.clone().bearer(&admin)).await }, async {
        server.http(&request.clone().bearer(&admin)).await
    });
    assert_eq!((one.status, two.status), (201, 201));
    assert_eq!(
        (&one.body, one.header("etag"), one.header("location")),
        (&two.body, two.header("etag"), two.header("location"))
    );
    let replays = [&one, &two].iter().filter(|answer| answer.header("idempotent-replayed") == "true").count();
    assert_eq!((replays, count().await), (1, before + 1));

    let changed = json!({"name": "Another", "scopes": ["meetings:read"]});
    let changed = Request::json("POST", PATH, &changed).header("Idempotency-Key", "once").bearer(&admin);
    let refused = server.http(&changed).await;
    assert_eq!((refused.status, refused.problem().as_str()), (422, "idempotency_key_reused"));
    assert_eq!(count().await, before + 1);
    assert_eq!(server.http(&request.clone().bearer(&other)).await.status, 201, "keys are the caller's own");
    assert_eq!(count().await, before + 2);
    for bad in ["", &"x".repeat(200)] {
        let request = Request::json("POST", PATH, &wanted()).header("Idempotency-Key", bad).bearer(&admin);
        assert_eq!(server.http(&request).await.problem(), "invalid_header");
    }
    // The secret that the first answer held is not in the database.
    let secret = one.json()["secret"].as_str().unwrap().to_owned();
    server.app.store().close().await;
    let bytes = std::fs::read(server.data_dir.join("consilium.db")).unwrap();
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"Trust calendar") && !holds(&secret.as_bytes()[30..]));
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_fit_is_told_why() {
    let server = Server::closed().await;
    let admin = admin(&server).await;
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let named = |name: &str| json!({"name": name, "scopes": ["meetings:read"]}).to_string();
    let cases: Vec<(&str, String, u16, &str)> = vec![
        ("application/json", "{".into(), 400, "invalid_json"),
        ("application/json", String::new(), 400, "invalid_json"),
        ("application/json", "\u{feff}{}".into(), 400, "invalid_json"),
        ("application/json", deep(17), 400, "invalid_json"),
        ("application/json", deep(30_000), 400, "invalid_json"),
        ("application/json", "x".repeat(70_000), 413, "body_too_large"),
        ("text/plain", named("x"), 415, "not_json"),
        ("application/x-www-form-urlencoded", "name=x".into(), 415, "not_json"),
        ("application/json", deep(1), 422, "invalid_body"),
        ("application/json", "null".into(), 422, "invalid_body"),
        ("application/json", json!({"name": "x"}).to_string(), 422, "invalid_body"),
        ("application/json", json!({"name": 1, "scopes": ["meetings:read"]}).to_string(), 422, "invalid_body"),
        ("application/json", json!({"name": "x", "scopes": ["root"]}).to_string(), 422, "invalid_body"),
        ("application/json", json!({"name": "x", "scopes": [], "admin": true}).to_string(), 422, "invalid_body"),
        ("application/json", r#"{"name": "x", "name": "y", "scopes": ["meetings:read"]}"#.into(), 422, "invalid_body"),
        ("application/json", json!({"name": "x", "scopes": []}).to_string(), 422, "invalid_value"),
        (
            "application/json",
            json!({"name": "x", "scopes": ["meetings:read"], "expires_at": "2001-01-01T00:00:00Z"}).to_string(),
            422,
            "invalid_value",
        ),
        (
            "application/json",
            json!({"name": "x", "scopes": ["meetings:read"], "expires_at": "tomorrow"}).to_string(),
            422,
            "invalid_body",
        ),
        ("application/json", named(""), 422, "invalid_body"),
        ("application/json", named(&"x".repeat(121)), 422, "invalid_body"),
        ("application/json", named("Dr\u{202e}evil"), 422, "invalid_body"),
        ("application/json", named("a\u{0}b"), 422, "invalid_body"),
    ];
    for (content_type, body, status, code) in cases {
        let shown: String = body.chars().take(80).collect();
        let answer = server.http(&Request::post(PATH, content_type, body).bearer(&admin)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{shown}");
    }
    // Markup and SQL are texts like any other.
    for name in ["<script>alert(1)</script>", "'; DROP TABLE api_keys; --", "%_\\", "Siân ☕"] {
        let answer = server.http(&Request::post(PATH, "application/json", named(name)).bearer(&admin)).await;
        assert_eq!((answer.status, &answer.json()["name"]), (201, &json!(name)));
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let server = Server::closed().await;
    let admin = admin(&server).await;
    let absent = "key_00000000000000000000000000";
    for path in [
        format!("{PATH}/{absent}"),
        format!("{PATH}/1"),
        format!("{PATH}/..%2f..%2fetc%2fpasswd"),
        format!("{PATH}/key_' OR '1'='1").replace(' ', "%20"),
        format!("{PATH}/%00"),
        format!("{PATH}/%ff"),
        "/api/v1/nothing".into(),
        "/api/v2/meetings".into(),
        "/api/".into(),
    ] {
        let answer = server.http(&Request::get(&path).bearer(&admin)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not_found"), "{path}");
    }
    let answer = server.http(&Request::json("PUT", PATH, &wanted()).bearer(&admin)).await;
    assert_eq!((answer.status, answer.problem().as_str()), (405, "method_not_allowed"));
    server.stop().await;
}

#[tokio::test]
async fn a_caller_hears_what_is_left_and_a_stranger_is_slowed_down() {
    let server = Server::closed().await;
    let admin = admin(&server).await;
    let first = server.http(&Request::get(PATH).bearer(&admin)).await;
    assert_eq!(first.header("ratelimit-policy"), "\"caller\";q=1200;w=60");
    assert!(first.header("ratelimit").starts_with("\"caller\";r=1199;"), "{}", first.header("ratelimit"));
    let mut statuses = Vec::new();
    for _ in 0..70 {
        let answer = server.http(&Request::get(PATH).bearer("ck_wrong")).await;
        if answer.status == 429 {
            assert_eq!(answer.problem(), "too_many_requests");
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
        }
        statuses.push(answer.status);
    }
    assert!(statuses.starts_with(&[401; 60]) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(server.http(&Request::get(PATH).bearer(&admin)).await.status, 200, "others are not slowed down");
    server.stop().await;
}

#[tokio::test]
async fn a_trusted_proxy_says_who_the_stranger_is_and_nobody_else_is_believed() {
    let proxied = Server::start(|config| {
        config.api.key = Some("key".into());
        config.api.secret = Some(Secret::new(SECRET));
        config.http.trusted_proxies = vec![[127, 0, 0, 1].into()];
    })
    .await;
    let direct = Server::closed().await;
    let ask = async |server: &Server, from: &str| {
        server.http(&Request::get(PATH).bearer("ck_wrong").header("X-Forwarded-For", from)).await.status
    };
    for server in [&proxied, &direct] {
        while ask(server, "198.51.100.1").await == 401 {}
    }
    assert_eq!(ask(&proxied, "198.51.100.2").await, 401, "somebody else");
    assert_eq!(ask(&proxied, "198.51.100.2, 198.51.100.1").await, 429, "what a client claims is not believed");
    assert_eq!(ask(&direct, "198.51.100.2").await, 429, "nobody is trusted unless said");
    proxied.stop().await;
    direct.stop().await;
}

#[tokio::test]
async fn the_description_tells_every_answer_and_the_page_loads_nothing_from_elsewhere() {
    let server = Server::closed().await;
    let answer = server.http(&Request::get("/api/v1/openapi.json")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let description = answer.json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let create = &description["paths"][PATH]["post"];
    let statuses: HashSet<_> = create["responses"].as_object().unwrap().keys().map(String::as_str).collect();
    for status in ["201", "400", "401", "403", "413", "415", "422", "429", "500", "503"] {
        assert!(statuses.contains(status), "{status} is not told: {statuses:?}");
    }
    let operations = description["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap());
    let names: Vec<_> = operations.map(|(_, operation)| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "clients are made from these: {names:?}");
    assert!(names.len() >= 20 && !answer.text().contains("\"default\":null"));
    // Whatever is referred to is there.
    let text = answer.text();
    for part in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(description["components"]["schemas"][name].is_object(), "{name} is missing");
    }
    assert!(description["components"]["schemas"]["Problem"]["properties"]["code"].is_object());
    assert_eq!(
        description["paths"]["/api/v1/join"]["post"]["responses"]["401"],
        Value::Null,
        "open routes need no key"
    );

    let page = server.http(&Request::get("/api/v1/docs")).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    for path in description["paths"].as_object().unwrap().keys() {
        assert!(page.text().contains(path.as_str()), "{path} is not on the page");
    }
    assert!(!page.text().contains("http://") && !page.text().contains("https://") && !page.text().contains("<script"));
    let style = page.text().split("href=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(server.http(&Request::get(&style)).await.header("content-type"), "text/css; charset=utf-8");
    server.stop().await;
}
