//! Requests to providers, with bounds: a provider that is slow, that answers without end or that sends us elsewhere is one
//! that does not answer.

use crate::config::is_loopback;
use openidconnect::http;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use std::pin::Pin;
use std::time::Duration;

/// A person waits, and waits for four requests at most.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Discovery documents and sets of keys have 2 to 20 kB.
const BODY_LEN_MAX: usize = 256 * 1024;

#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the provider does not answer: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the provider's answer is too long")]
    TooLong,
    #[error("the provider names an address without TLS")]
    InTheClear,
    #[error("the provider's answer is not HTTP: {0}")]
    Malformed(#[from] http::Error),
}

pub(super) struct Fetcher {
    client: reqwest::Client,
}

impl Fetcher {
    pub(super) fn new() -> reqwest::Result<Self> {
        // No redirects: what they lead to, nobody configured.
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(TIMEOUT).build()?;
        Ok(Self { client })
    }

    pub(super) async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, FetchError> {
        let request = reqwest::Request::try_from(request)?;
        // A discovery document names the other addresses; a secret goes there.
        if request.url().scheme() != "https" && !is_loopback(request.url()) {
            return Err(FetchError::InTheClear);
        }
        let mut response = self.client.execute(request).await?;
        let mut answer = http::Response::builder().status(response.status());
        for (name, value) in response.headers() {
            answer = answer.header(name, value);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > BODY_LEN_MAX {
                return Err(FetchError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(answer.body(body)?)
    }
}

impl<'c> AsyncHttpClient<'c> for Fetcher {
    type Error = FetchError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, FetchError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.fetch(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_secret_is_not_sent_where_others_can_read_it() {
        let fetcher = Fetcher::new().unwrap();
        // Addresses of nobody (RFC 5737): asking them would fail in another way.
        for url in ["http://198.51.100.1/token", "http://localhost.example.org/token", "http://127.0.0.1.example.org/"]
        {
            let request = http::Request::get(url).body(Vec::new()).unwrap();
            assert!(matches!(fetcher.fetch(request).await, Err(FetchError::InTheClear)), "{url}");
        }
    }
}
