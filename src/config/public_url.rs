//! How browsers reach this server: scheme, host and port, and nothing more. Cookies, redirects and the check of where a
//! request comes from depend on it.

use serde::{Deserialize, Serialize};

/// An origin as browsers write it: `https://meet.example.org`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Without TLS only for this host itself: elsewhere, everybody on the way could read a session.
    pub fn new(text: &str) -> Option<Self> {
        let url = reqwest::Url::parse(text).ok()?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let is_nobodys = url.username().is_empty() && url.password().is_none();
        let is_private = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        (is_bare && is_nobodys && is_private).then(|| Self(url.origin().ascii_serialization()))
    }

    pub fn origin(&self) -> &str {
        &self.0
    }

    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https:")
    }
}

/// Whether the host of a URL is this one, by name or address.
pub(crate) fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl<'de> Deserialize<'de> for PublicUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let reason = "must be https://HOST or https://HOST:PORT; http only for this host itself";
        Self::new(&text).ok_or_else(|| serde::de::Error::custom(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_kept_as_browsers_write_it() {
        for (text, origin) in [
            ("https://Meet.Example.org/", "https://meet.example.org"),
            ("https://meet.example.org:443", "https://meet.example.org"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(PublicUrl::new(text).as_ref().map(PublicUrl::origin), Some(origin), "{text}");
        }
        for wrong in
            ["", "meet.example.org", "http://meet.example.org", "https://a.b/c", "https://u:p@a.b", "ftp://localhost"]
        {
            assert_eq!(PublicUrl::new(wrong), None, "{wrong}");
        }
    }
}
