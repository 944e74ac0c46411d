//! A receiver of webhooks that answers as it is told, and remembers everything.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use consilium_signaling::access::ApiKeys;
use serde_json::Value;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    /// What it was answered with.
    pub(crate) status: u16,
}

impl Received {
    pub(crate) fn body(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    /// As a receiver checks it: the token is of this key, and holds the hash of exactly this body.
    pub(crate) fn is_signed_with(&self, key: &str, secret: &str) -> bool {
        use base64::Engine;
        let token = self.headers["authorization"].to_str().unwrap();
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.bytes);
        let hash = base64::engine::general_purpose::STANDARD.encode(hash);
        ApiKeys::single(key, secret).verify(token, SystemTime::now()).is_ok_and(|claims| claims.sha256 == hash)
    }
}

#[derive(Default)]
struct Shared {
    received: Vec<Received>,
    /// The next answers; then always the last.
    answers: VecDeque<u16>,
}

#[derive(Clone)]
pub(crate) struct Receiver {
    shared: Arc<Mutex<Shared>>,
    address: SocketAddr,
}

impl Receiver {
    /// Answers with these statuses, one after the other, and then with the last of them.
    pub(crate) async fn start(answers: &[u16]) -> Self {
        let shared = Arc::new(Mutex::new(Shared { answers: answers.iter().copied().collect(), ..Shared::default() }));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(receive).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { shared, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn answer_with(&self, status: u16) {
        self.shared.lock().unwrap().answers = [status].into();
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.lock().unwrap().received.clone()
    }

    /// Those that it took.
    pub(crate) fn taken(&self) -> Vec<Received> {
        self.received().into_iter().filter(|received| received.status < 300).collect()
    }
}

async fn receive(State(shared): State<Arc<Mutex<Shared>>>, headers: HeaderMap, bytes: Bytes) -> StatusCode {
    let mut shared = shared.lock().unwrap();
    let status = match shared.answers.len() {
        0 | 1 => shared.answers.front().copied().unwrap_or(200),
        _ => shared.answers.pop_front().unwrap(),
    };
    shared.received.push(Received { headers, bytes, status });
    StatusCode::from_u16(status).unwrap()
}
