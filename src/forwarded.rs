//! Who is calling where a proxy stands in front: the address that a trusted proxy names takes the place of its own, once and
//! before anything looks. Everybody else's word about addresses is ignored, for it is an attacker's to choose.

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::Response;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What proxies add the address to that they were called from, at the end.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Addresses of proxies that are believed.
#[derive(Clone, Default)]
pub struct Proxies {
    trusted: Arc<[IpAddr]>,
}

impl Proxies {
    pub fn new(trusted: &[IpAddr]) -> Self {
        Self { trusted: trusted.iter().map(IpAddr::to_canonical).collect() }
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.trusted.contains(&address.to_canonical())
    }

    /// The last address in the chain that is no trusted proxy's; the caller's own where the chain breaks off or is nonsense.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        let values = headers.get_all(X_FORWARDED_FOR);
        let lines: Vec<&str> = values.iter().filter_map(|value| value.to_str().ok()).collect();
        let mut named = lines.iter().rev().flat_map(|line| line.rsplit(','));
        while self.trust(client) {
            match named.next().and_then(|text| text.trim().parse().ok()) {
                Some(address) => client = address,
                None => break,
            }
        }
        client
    }
}

/// Middleware of all routes.
pub async fn name_client(State(proxies): State<Proxies>, mut request: Request, next: Next) -> Response {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>().copied() {
        let client = proxies.client(peer.ip(), request.headers());
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(client, peer.port())));
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let proxies = Proxies::new(&["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, line.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_trusted_proxy_says_who_calls_and_nobody_else_does() {
        assert_eq!(client("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        // What the client itself wrote comes first, and is not looked at.
        assert_eq!(client("10.0.0.1", &["203.0.113.9, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["203.0.113.9", "198.51.100.7"]), "198.51.100.7");
        // Two proxies in a row.
        assert_eq!(client("::1", &["203.0.113.9, 198.51.100.7, 10.0.0.1"]), "198.51.100.7");
        for nonsense in [&[][..], &[""], &["unknown"], &["10.0.0.1:x"]] {
            assert_eq!(client("10.0.0.1", nonsense), "10.0.0.1");
        }
    }
}
