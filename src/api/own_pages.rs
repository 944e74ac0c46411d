//! Whether a request that uses a session comes from our own pages. Browsers say where a request comes from
//! (`Sec-Fetch-Site`, before it `Origin`), and a page of somebody else cannot add a header of ours without being asked
//! first, which we never allow. Either would do; both are wanted, so that the failure of one opens nothing.

use crate::config::PublicUrl;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName};

/// Any value will do.
pub(super) const HEADER: HeaderName = HeaderName::from_static("consilium-request");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Where this site is.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) public_url: Option<PublicUrl>,
    /// Whether browsers come over TLS.
    pub(super) is_secure: bool,
}

pub(super) fn sent(headers: &HeaderMap, site: &Site) -> bool {
    headers.contains_key(HEADER) && is_same_origin(headers, site)
}

fn is_same_origin(headers: &HeaderMap, site: &Site) -> bool {
    if let Some(from) = headers.get(FETCH_SITE) {
        return from == "same-origin";
    }
    let Some(origin) = headers.get(ORIGIN).and_then(|value| value.to_str().ok()) else { return false };
    match &site.public_url {
        Some(url) => origin == url.origin(),
        // Without a name of its own, the server is what it was called by.
        None => {
            let host = headers.get(HOST).and_then(|value| value.to_str().ok());
            origin.split_once("://").is_some_and(|(_, authority)| host == Some(authority))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_with(pairs: &[(&'static str, &'static str)], public_url: Option<&str>) -> bool {
        let headers =
            pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
        let public_url = public_url.map(|url| PublicUrl::new(url).unwrap());
        sent(&headers, &Site { public_url, is_secure: false })
    }

    #[test]
    fn our_pages_say_so_twice() {
        let ours = ("consilium-request", "1");
        for good in [
            &[ours, ("sec-fetch-site", "same-origin")][..],
            &[ours, ("origin", "https://meet.example.org"), ("host", "127.0.0.1:8080")],
        ] {
            assert!(sent_with(good, Some("https://meet.example.org")), "{good:?}");
        }
        assert!(sent_with(&[ours, ("origin", "http://localhost:8080"), ("host", "localhost:8080")], None));
        for bad in [
            &[ours][..],
            &[("sec-fetch-site", "same-origin")],
            &[ours, ("sec-fetch-site", "same-site"), ("origin", "https://meet.example.org")],
            &[ours, ("sec-fetch-site", "cross-site")],
            &[ours, ("sec-fetch-site", "none")],
            &[ours, ("origin", "null")],
            &[ours, ("origin", "https://meet.example.org.evil.test")],
            &[ours, ("origin", "http://meet.example.org")],
            &[ours, ("origin", "https://evil.test"), ("host", "evil.test")],
        ] {
            assert!(!sent_with(bad, Some("https://meet.example.org")), "{bad:?}");
        }
        assert!(!sent_with(&[ours, ("origin", "http://evil.test"), ("host", "localhost:8080")], None));
        assert!(!sent_with(&[ours, ("origin", "null"), ("host", "null")], None));
    }
}
