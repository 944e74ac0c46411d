//! The load generator against the real server: everybody joins, and every packet arrives.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise, helpers included")]

use clap::Parser;
use consilium_benches::load;
use consilium_benches::load::options::Options;
use consilium_benches::load::report::Report;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const KEY: &str = "load";
const SECRET: &str = "a secret of enough length to be a secret";
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A server process with a data directory of its own; both are gone at the end.
struct Server {
    process: Child,
    folder: PathBuf,
    url: String,
}

impl Server {
    fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("consilium-load-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let listen = format!("127.0.0.1:{}", free_port());
        let process = Command::new(env!("CARGO_BIN_EXE_consilium"))
            .arg("serve")
            .current_dir(&folder)
            .env_clear()
            .env("CONSILIUM_API_KEY", KEY)
            .env("CONSILIUM_API_SECRET", SECRET)
            .env("CONSILIUM_DATA_DIR", folder.join("data"))
            .env("CONSILIUM_HTTP__LISTEN", &listen)
            .env("CONSILIUM_OPS__LISTEN", format!("127.0.0.1:{}", free_port()))
            .env("CONSILIUM_MEDIA__BIND", r#"["127.0.0.1"]"#)
            .env("CONSILIUM_MEDIA__WORKERS", "1")
            .env("CONSILIUM_MEDIA__UDP_PORT", "0")
            .env("CONSILIUM_LOG__FILTER", "warn")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, folder, url: format!("http://{listen}") };
        let started = Instant::now();
        while TcpStream::connect(&listen).is_err() {
            assert!(started.elapsed() < START_PATIENCE, "the server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn load(&self, arguments: &[&str]) -> Report {
        let pid = self.process.id().to_string();
        let common = ["--url", &self.url, "--api-key", KEY, "--api-secret", SECRET, "--pid", &pid];
        let options = Options::parse_from(["consilium-load"].iter().chain(arguments).chain(&common));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(load::run(options)).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Free now; whoever takes it first has it.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn in_two_small_meetings_every_packet_arrives() {
    let server = Server::start("mesh");
    let report = server.load(&["mesh", "--rooms", "2", "--people", "3", "--duration", "2", "--warm-up", "1"]);
    assert_eq!((report.members, report.joins.succeeded, report.joins.failures.len()), (6, 6, 0));
    let media = report.media.unwrap();
    assert_eq!((media.paths_expected, media.paths_seen), (24, 24), "audio and video of two others for each of six");
    // 50 packets of audio and about 160 of video per second, to two others each.
    assert!(media.packets_received > 2 * 6 * 2 * 150, "{media:?}");
    assert_eq!((media.packets_expected, media.duplicates, media.refused), (media.packets_received, 0, 0));
    assert!(media.delay_ms.p50 > 0.0 && media.delay_ms.p50 <= media.delay_ms.p99, "{media:?}");
    let of_server = report.server.unwrap();
    assert!(of_server.cpu_us_per_packet > 0.0 && of_server.resident_bytes > 1 << 20, "{of_server:?}");
    assert!(report.generator.busy_ratio > 0.0, "{:?}", report.generator);
}

#[test]
fn what_receivers_throw_away_is_sent_again() {
    let server = Server::start("nack");
    let arguments = ["fan", "--subscribers", "3", "--loss", "0.05", "--nack", "--duration", "2", "--warm-up", "1"];
    let media = server.load(&arguments).media.unwrap();
    assert!(media.thrown_away > 10 && media.reordered > 10, "{media:?}");
    assert!(media.loss_percent < 1.0, "{media:?}");
}

#[test]
fn people_come_and_go() {
    let server = Server::start("joins");
    let report = server.load(&["joins", "--rate", "10", "--people", "3", "--hold", "0.5", "--duration", "2"]);
    assert_eq!((report.joins.attempted, report.joins.succeeded), (20, 20), "{:?}", report.joins);
    assert!(report.joins.p50_ms > 0.0 && report.joins.p50_ms <= report.joins.max_ms);
    assert!(report.server.unwrap().cpu_ms_per_join > 0.0);
}

#[test]
fn those_who_leave_take_no_figures_with_them() {
    let server = Server::start("churn");
    let arguments = ["churn", "--rooms", "1", "--people", "4", "--rate", "4", "--duration", "3", "--warm-up", "0.5"];
    let report = server.load(&arguments);
    assert!(report.joins.succeeded >= 4, "{:?}", report.joins);
    let media = report.media.unwrap();
    // Everything goes to three others, but for the moments in which somebody comes in.
    assert!(media.packets_received > media.packets_sent * 2, "{media:?}");
    assert!(media.loss_percent < 1.0, "{media:?}");
}

#[test]
fn nobody_can_join_a_server_that_is_not_there() {
    let url = format!("http://127.0.0.1:{}", free_port());
    let options = Options::parse_from(["consilium-load", "fan", "--subscribers", "1", "--url", &url]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(load::run(options)).unwrap_err();
    assert!(error.to_string().starts_with("nobody could join"), "{error}");
}
