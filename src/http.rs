//! Accepts HTTP connections, with bounds and deadlines. It knows neither routes nor what they do.
//!
//! axum's own accept loop has no bound on connections and no deadline for request headers, so this is hyper's connection
//! below axum's router.

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tower::ServiceExt;

/// A client that does not finish its request's head in this time, or leaves a connection idle for longer, loses it.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest head of a request, in bytes. Join requests carry a description in the URL: 64 KiB of it (hyper's own bound on
/// a URL is 65,534 bytes), and room for the other headers, of which a token is one.
const HEADER_LEN_MAX: usize = 160 * 1024;
/// Longest time that a handler may take. WebSockets are upgraded long before.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests under way may take to finish when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after an accept that failed for want of file descriptors or memory, which the next one would too.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on TCP {address} for {purpose}: {source}")]
pub struct ListenError {
    pub purpose: &'static str,
    pub address: SocketAddr,
    pub source: std::io::Error,
}

/// A bound listener that does not answer yet.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    pub async fn bind(purpose: &'static str, address: SocketAddr) -> Result<Self, ListenError> {
        let error = |source| ListenError { purpose, address, source };
        let listener = TcpListener::bind(address).await.map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        Ok(Self { listener, address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to answer.
    pub fn serve(self, router: Router, connections_max: usize) -> HttpServer {
        let (stop, stopped) = watch::channel(());
        let router = router.layer(axum::middleware::from_fn(within_deadline));
        HttpServer { stop, task: tokio::spawn(accept(self.listener, router, connections_max, stopped)) }
    }
}

/// Owns the task that accepts, and through it every connection.
pub struct HttpServer {
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Takes no more connections and lets requests under way finish, for [`DRAIN_TIMEOUT`] at most.
    pub async fn shutdown(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the HTTP listener's task failed");
        }
    }
}

async fn accept(listener: TcpListener, router: Router, connections_max: usize, mut stopped: watch::Receiver<()>) {
    let permits = Arc::new(Semaphore::new(connections_max));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            // The semaphore is never closed.
            let permit = permits.clone().acquire_owned().await.ok()?;
            Some((permit, listener.accept().await))
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            _ = stopped.changed() => None,
        };
        let Some((permit, accepted)) = accepted else { break };
        match accepted {
            Ok((stream, peer)) => {
                let (router, stopped) = (router.clone(), stopped.clone());
                connections.spawn(async move {
                    let _permit = permit;
                    if let Err(error) = serve_connection(stream, peer, router, stopped).await {
                        tracing::debug!(%error, "an HTTP connection ended early");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections were cut off at shutdown");
    }
    connections.shutdown().await;
}

/// Ends when the client is done, or was upgraded, or after the request under way once the server stops.
async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    mut stopped: watch::Receiver<()>,
) -> Result<(), hyper::Error> {
    // Signalling is small messages, each awaited by a person.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_header_size(HEADER_LEN_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        // Fails when the sender is dropped, which is the signal.
        _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

async fn within_deadline(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    async fn server(connections_max: usize) -> (HttpServer, SocketAddr) {
        let listener = Listener::bind("a test", SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let address = listener.address();
        let router = Router::new().route("/", axum::routing::get(async || "here"));
        (listener.serve(router, connections_max), address)
    }

    async fn answer(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        // A connection that is reset has answered all that it will.
        let _ = stream.read_to_end(&mut text).await;
        String::from_utf8(text).unwrap()
    }

    /// Time passes whenever nobody has anything to do.
    #[tokio::test(start_paused = true)]
    async fn a_head_that_never_ends_loses_its_connection_and_makes_room_for_others() {
        let (server, address) = server(1).await;
        for pause in [Duration::from_secs(3_600), Duration::from_secs(1)] {
            let start = Instant::now();
            let mut slow = TcpStream::connect(address).await.unwrap();
            slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX: ").await.unwrap();
            let (mut reader, mut writer) = slow.split();
            // One byte now and then does not keep it open either.
            let trickle = async {
                loop {
                    tokio::time::sleep(pause).await;
                    if writer.write_all(b"x").await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            };
            let mut rest = Vec::new();
            tokio::select! {
                _ = reader.read_to_end(&mut rest) => {}
                () = trickle => {}
            }
            let took = start.elapsed();
            assert!((HEADER_READ_TIMEOUT..HEADER_READ_TIMEOUT + Duration::from_secs(5)).contains(&took), "{took:?}");
            assert!(!String::from_utf8_lossy(&rest).contains(" 200 "));
        }
        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        assert!(answer(&mut next).await.ends_with("here"));
        server.shutdown().await;
    }

    #[tokio::test]
    async fn a_head_without_bound_is_refused_before_it_is_read() {
        let (server, address) = server(1).await;
        let mut endless = TcpStream::connect(address).await.unwrap();
        endless.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX: ").await.unwrap();
        let chunk = vec![b'x'; 64 * 1024];
        let mut sent = 0;
        // The kernel's buffers take some more before the writer notices.
        while endless.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
            assert!(sent < 64 << 20, "the server reads on and on");
        }
        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        assert!(answer(&mut next).await.ends_with("here"));
        server.shutdown().await;
    }
}
