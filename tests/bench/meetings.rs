//! How long lists and searches take with 10,000 meetings and 100,000 invitations in SQLite, over HTTP, while somebody
//! writes: `cargo bench -p consilium --bench meetings`. Fails where the 99th percentile of any is 50 ms or more.

#![allow(clippy::unwrap_used, reason = "a bench stops at the first surprise")]

use consilium::app::App;
use consilium::config::{Config, Secret};
use consilium::identity::Scope;
use consilium::identity::secret::SecretHash;
use consilium::ids::{InvitationId, MeetingId};
use consilium::meetings::admission::Lobby;
use consilium::meetings::invitation::{Invitation, Role};
use consilium::meetings::meeting::{MeetingPlan, Settings};
use consilium::meetings::schedule::Wanted;
use consilium::moment::Moment;
use consilium::store::Store;
use consilium::text::Name;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const MEETINGS: usize = 10_000;
const INVITATIONS_EACH: usize = 10;
/// Requests of each kind, by this many clients at once.
const REQUESTS: usize = 1_000;
const CLIENTS: usize = 4;
/// The bound of the 99th percentile.
const BOUND: Duration = Duration::from_millis(50);
/// Changes in each second of the measurement.
const WRITES_HZ: u32 = 20;
const SPECIALTIES: [&str; 8] =
    ["Lung", "Breast", "Urology", "Haematology", "Sarcoma", "Skin", "Head and neck", "Colorectal"];

#[tokio::main]
async fn main() -> ExitCode {
    let data_dir = std::env::temp_dir().join(format!("consilium-bench-{}", std::process::id()));
    let app = App::start(&config(&data_dir)).await.unwrap();
    let began = Instant::now();
    let meetings = seed(app.store()).await;
    println!("{MEETINGS} meetings, {} invitations, written in {:.1?}", MEETINGS * INVITATIONS_EACH, began.elapsed());

    let writer = tokio::spawn(keep_writing(app.store().clone()));
    let mut is_within = true;
    println!("{:<44} {:>9} {:>9} {:>9}", "", "p50 ms", "p99 ms", "max ms");
    for (name, paths) in kinds(&meetings) {
        let mut times = measure(&app, &paths).await;
        times.sort();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        let [p50, p99, max] = [at(0.5), at(0.99), at(1.0)].map(|time| time.as_secs_f64() * 1e3);
        println!("{name:<44} {p50:>9.2} {p99:>9.2} {max:>9.2}");
        is_within &= at(0.99) < BOUND;
    }
    writer.abort();
    app.shutdown().await.unwrap();
    std::fs::remove_dir_all(&data_dir).unwrap();
    if is_within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn config(data_dir: &std::path::Path) -> Config {
    let mut config = Config { data_dir: data_dir.to_owned(), ..Config::default() };
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    (config.http.listen, config.ops.listen) = (any_port, any_port);
    config.api.key = Some("key".into());
    config.api.secret = Some(Secret::new("a secret of enough length to be a secret"));
    (config.media.workers, config.media.udp_port) = (1, 0);
    config.media.bind = vec![Ipv4Addr::LOCALHOST.into()];
    config
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Half of them series without end, the others on some day of two years.
async fn seed(store: &Store) -> Vec<MeetingId> {
    let mut write = store.write().await.unwrap();
    let mut ids = Vec::new();
    for number in 0..MEETINGS {
        let (day, hour) = (1 + number % 28, 8 + number % 10);
        let start = format!("{}-{:02}-{day:02}T{hour:02}:30:00", 2026 + number / 24 % 2, 1 + number % 12);
        let plan = MeetingPlan {
            title: name(&format!("{} MDT {number}", SPECIALTIES[number % SPECIALTIES.len()])),
            schedule: Wanted {
                start: &start,
                time_zone: "Europe/London",
                duration_minutes: 60,
                recurrence: (number % 2 == 0).then_some("FREQ=WEEKLY"),
            },
            capacity: 50,
            lobby: Lobby::Guests,
            required_specialties: vec![name("Oncology"), name("Surgery")],
            settings: Settings::default(),
        };
        let meeting = plan.check().unwrap().into_meeting("bench".into(), Moment::now());
        write.insert_meeting(&meeting).await.unwrap();
        for invited in 0..INVITATIONS_EACH {
            write.insert_invitation(&invitation(&meeting.id, invited)).await.unwrap();
        }
        ids.push(meeting.id);
    }
    write.commit().await.unwrap();
    ids
}

fn invitation(meeting: &MeetingId, number: usize) -> Invitation {
    let now = Moment::now();
    let id = InvitationId::new(now);
    Invitation {
        link_hash: SecretHash::of(id.as_str().as_bytes()),
        id,
        meeting: meeting.clone(),
        name: name(&format!("Dr Somebody {number}")),
        role: Role::ALL[number % Role::ALL.len()],
        specialty: Some(name("Oncology")),
        site: Some(name("Royal Infirmary")),
        email: None,
        link_expires_at: now.plus(Duration::from_secs(86_400)),
        revoked_at: None,
        link_renewed_at: None,
        version: 1,
        created_at: now,
    }
}

/// A running meeting server writes too.
async fn keep_writing(store: Store) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / WRITES_HZ);
    loop {
        ticks.tick().await;
        let mut write = store.write().await.unwrap();
        write.create_api_key("bench", name("written"), vec![], None, Moment::now()).await.unwrap();
        write.commit().await.unwrap();
    }
}

/// What is asked, in turn.
fn kinds(meetings: &[MeetingId]) -> Vec<(&'static str, Vec<String>)> {
    let list = "/api/v1/meetings";
    let month = |number: usize| format!("2027-{:02}-01T00:00:00Z", 1 + number % 12);
    let of = |each: &dyn Fn(usize) -> String| (0..REQUESTS).map(each).collect::<Vec<_>>();
    vec![
        ("first page of 50", of(&|_| list.to_owned())),
        ("first page of 200", of(&|_| format!("{list}?limit=200"))),
        ("page of 50 in a month", of(&|n| format!("{list}?from={}&to=2027-12-31T00:00:00Z", month(n)))),
        ("search by title, many hits", of(&|n| format!("{list}?title={}", &SPECIALTIES[n % 6]))),
        ("search by title, one hit", of(&|n| format!("{list}?title=mdt%20{}", n * 9 + 1_000))),
        ("search by title, no hit", of(&|n| format!("{list}?title=nothing{n}"))),
        ("one meeting", of(&|n| format!("{list}/{}", meetings[n * 7 % MEETINGS]))),
        ("invitations of a meeting", of(&|n| format!("{list}/{}/invitations", meetings[n * 7 % MEETINGS]))),
        (
            "occurrences of a year",
            of(&|n| {
                format!("{list}/{}/occurrences?from=2028-01-01T00:00:00Z&to=2028-12-31T00:00:00Z", meetings[n * 2])
            }),
        ),
    ]
}

async fn measure(app: &App, paths: &[String]) -> Vec<Duration> {
    let mut clients = Vec::new();
    for chunk in paths.chunks(paths.len().div_ceil(CLIENTS)) {
        let mut write = app.store().write().await.unwrap();
        // A key each, so that the limit of one is not what is measured.
        let scopes = vec![Scope::MeetingsRead];
        let (_, key) = write.create_api_key("bench", name("client"), scopes, None, Moment::now()).await.unwrap();
        write.commit().await.unwrap();
        clients.push(tokio::spawn(client(app.http_addr(), key.expose(), chunk.to_vec())));
    }
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await.unwrap());
    }
    times
}

/// One connection, one request after the other.
async fn client(address: SocketAddr, key: String, paths: Vec<String>) -> Vec<Duration> {
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    stream.get_ref().set_nodelay(true).unwrap();
    let mut times = Vec::new();
    for path in paths {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\r\n");
        let began = Instant::now();
        stream.get_mut().write_all(request.as_bytes()).await.unwrap();
        let mut length = 0;
        let mut line = String::new();
        let mut status = String::new();
        loop {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
            if status.is_empty() {
                status = line.clone();
            }
            let Some((header, value)) = line.trim_end().split_once(": ") else {
                if line == "\r\n" {
                    break;
                }
                continue;
            };
            if header.eq_ignore_ascii_case("content-length") {
                length = value.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        times.push(began.elapsed());
        assert!(status.contains(" 200 ") && body.first() == Some(&b'{'), "{path}: {status}");
    }
    times
}
