//! A server of its own for each test, and requests over real sockets, byte by byte.

use crate::databases::{Database, databases};
use consilium::app::App;
use consilium::config::{Config, Secret};
use consilium::identity::Scope;
use consilium::moment::Moment;
use consilium::store::Place;
use consilium_signaling::access::{Claims, VideoGrants};
use serde_json::Value;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const SECRET: &str = "a secret of enough length to be a secret";
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// A server on ports of its own, with a data directory that goes with it.
pub(crate) struct Server {
    pub(crate) app: App,
    pub(crate) data_dir: PathBuf,
}

impl Server {
    pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let data_dir = std::env::temp_dir().join(format!("consilium-api-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&data_dir);
        let ephemeral = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = Config { data_dir: data_dir.clone(), ..Config::default() };
        config.http.listen = ephemeral;
        config.ops.listen = ephemeral;
        config.media.udp_port = 0;
        config.media.workers = 1;
        config.media.bind = vec![Ipv4Addr::LOCALHOST.into()];
        change(&mut config);
        Self { app: App::start(&config).await.unwrap(), data_dir }
    }

    pub(crate) async fn open() -> Self {
        Self::start(|_| ()).await
    }

    /// With configured credentials, as in production.
    pub(crate) async fn closed() -> Self {
        Self::start(|config| {
            config.api.key = Some("key".into());
            config.api.secret = Some(Secret::new(SECRET));
        })
        .await
    }

    /// The same on each database.
    pub(crate) async fn on_each() -> Vec<(Database, Self)> {
        Self::on_each_with(|_| ()).await
    }

    pub(crate) async fn on_each_with(change: impl Fn(&mut Config)) -> Vec<(Database, Self)> {
        let mut servers = Vec::new();
        for database in databases().await {
            let url = match &database.place {
                Place::Postgres { url, .. } => Some(url.clone()),
                Place::Sqlite { .. } => None,
            };
            let server = Self::start(|config| {
                config.api.key = Some("key".into());
                config.api.secret = Some(Secret::new(SECRET));
                config.store.url = url;
                change(config);
            });
            servers.push((database, server.await));
        }
        servers
    }

    pub(crate) async fn http(&self, request: &Request<'_>) -> Answer {
        request.send(self.app.http_addr()).await
    }

    pub(crate) async fn ops(&self, path: &str) -> Answer {
        Request::get(path).send(self.app.ops_addr()).await
    }

    pub(crate) fn token(&self, video: VideoGrants) -> String {
        let claims = Claims { identity: "dr-1".into(), video, ..Claims::default() };
        self.app.keys().sign(&claims, SystemTime::now(), MINUTE).unwrap()
    }

    /// A key of the REST API.
    pub(crate) async fn api_key(&self, scopes: &[Scope]) -> String {
        let mut write = self.app.store().write().await.unwrap();
        let name = "test".parse().unwrap();
        let (_, secret) = write.create_api_key("test", name, scopes.to_vec(), None, Moment::now()).await.unwrap();
        write.commit().await.unwrap();
        secret.expose()
    }

    pub(crate) async fn stop(self) {
        self.app.shutdown().await.unwrap();
        let _ = std::fs::remove_dir_all(&self.data_dir);
    }
}

#[derive(Clone, Default)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) body: Vec<u8>,
}

impl<'a> Request<'a> {
    pub(crate) fn get(path: &'a str) -> Self {
        Self { method: "GET", path, ..Self::default() }
    }

    pub(crate) fn post(path: &'a str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { method: "POST", path, body: body.into(), ..Self::default() }.header("Content-Type", content_type)
    }

    pub(crate) fn json(method: &'a str, path: &'a str, body: &Value) -> Self {
        Self { method, ..Self::post(path, "application/json", body.to_string()) }
    }

    pub(crate) fn delete(path: &'a str) -> Self {
        Self { method: "DELETE", path, ..Self::default() }
    }

    pub(crate) fn header(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    pub(crate) async fn send(&self, address: SocketAddr) -> Answer {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&self.bytes(address)).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        Answer::parse(&bytes)
    }

    pub(crate) fn bytes(&self, address: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        [head.into_bytes(), self.body.clone()].concat()
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    /// Of the headers, those that may come twice.
    pub(crate) cookies: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let headers: Vec<_> = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let cookies = headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value.clone()).collect();
        Self { status, headers: headers.into_iter().collect(), cookies, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The code of a refusal, which is a problem as it should be.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status, "{body}");
        assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
        body["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Workers publish their figures now and then.
pub(crate) async fn wait_until(condition: impl AsyncFn() -> bool, explain: impl AsyncFn() -> String) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "{}", explain().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
