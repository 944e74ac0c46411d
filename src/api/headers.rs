//! The security headers of every answer.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

/// Devices are for our own page alone.
const PERMISSIONS: &str =
    "camera=(self), microphone=(self), display-capture=(self), autoplay=(self), fullscreen=(self), geolocation=()";

/// Adds the headers where a handler did not set its own.
pub async fn security_headers(request: Request, next: Next) -> Response {
    let policy = content_security_policy(request.headers());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    }
    response
}

/// Not every browser in use takes `'self'` to cover the WebSocket of the same host, so the host is named. Only a Host
/// header that is a plain authority is repeated: it could otherwise end the directive and start another.
fn content_security_policy(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let host = host.filter(|host| {
        host.parse::<Authority>().is_ok()
            && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']'))
    });
    let socket = host.map(|host| format!(" ws://{host} wss://{host}")).unwrap_or_default();
    format!(
        "default-src 'self'; connect-src 'self'{socket}; img-src 'self' data: blob:; media-src 'self' blob: \
         mediastream:; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(host: &'static str) -> String {
        content_security_policy(&HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]))
    }

    #[test]
    fn the_host_may_open_its_own_websocket() {
        assert!(
            policy("meet.example.org:8443")
                .contains("connect-src 'self' ws://meet.example.org:8443 wss://meet.example.org:8443;")
        );
        assert!(policy("[::1]:8080").contains("ws://[::1]:8080 "));
    }

    #[test]
    fn a_hostile_host_header_adds_nothing_to_the_policy() {
        for host in ["a;script-src *", "a b", "*", "user@host", "a'b"] {
            assert!(policy(host).contains("connect-src 'self';"), "{host}");
        }
    }
}
