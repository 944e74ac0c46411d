//! How events leave: a POST with a signature, to an address that may be called, without following anywhere else. What the
//! other side answers is not read beyond its status.

use super::address::{Reach, check_url};
use super::endpoint::Endpoint;
use crate::ids::WebhookId;
use crate::outbox::courier::Carrier;
use crate::outbox::{Channel, Delivery, Failure, Outcome};
use crate::store::{Store, StoreError};
use crate::vault::{Purpose, Vault};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use consilium_signaling::access::{ApiKeys, Claims};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use reqwest::{Client, StatusCode, redirect};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const MEDIA_TYPE: &str = "application/webhook+json";
/// Tells attempts of one delivery apart from deliveries of one event.
const DELIVERY: HeaderName = HeaderName::from_static("consilium-delivery");
/// From the name to the status.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A signature is good for as long as the request may take, and a clock that is wrong by a minute.
const SIGNATURE_TTL: Duration = Duration::from_secs(300);

#[derive(Debug, thiserror::Error)]
#[error("webhooks cannot be sent: {0}")]
pub struct SenderError(String);

pub struct Sender {
    store: Store,
    vault: Vault,
    reach: Reach,
    client: Client,
}

impl Sender {
    pub fn new(store: Store, vault: Vault, reach: Reach) -> Result<Self, SenderError> {
        let client = Client::builder()
            // A redirection or a proxy would be another address than the one that was checked.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(Resolver { reach }))
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("consilium/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| SenderError(error.to_string()))?;
        Ok(Self { store, vault, reach, client })
    }

    async fn send(&self, delivery: &Delivery) -> Result<Outcome, Failure> {
        let Some(id) = WebhookId::parse(&delivery.target) else { return Ok(Outcome::Refused("damaged".into())) };
        let endpoint = match self.store.webhook(&id).await {
            Ok(endpoint) => endpoint,
            Err(StoreError::NotFound) => return Ok(Outcome::Superseded),
            Err(error) => {
                tracing::warn!(%error, "an event was not sent");
                return Err("store".into());
            }
        };
        if !endpoint.is_enabled {
            // It was taken a moment before it was held, and stays held.
            return Err("disabled".into());
        }
        // What was permitted may not be any more.
        let url = check_url(&endpoint.url, self.reach).map_err(|_| "address")?;
        let signature = self.sign(&endpoint, &delivery.content).ok_or("secret")?;
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, MEDIA_TYPE)
            .header(AUTHORIZATION, signature)
            .header(DELIVERY, delivery.id.as_str())
            .body(delivery.content.clone());
        // The error repeats the URL, so only its kind is told.
        let response = request.send().await.map_err(|error| failure(&error))?;
        Ok(match response.status() {
            status if status.is_success() => Outcome::Delivered,
            // RFC 9110 section 15.5.11: it will not come back.
            StatusCode::GONE => Outcome::Refused("status_410".into()),
            status => Outcome::Failed(format!("status_{}", status.as_u16()).into()),
        })
    }

    /// A token of the endpoint's key that holds the hash of the body: `None` where the secret does not open.
    fn sign(&self, endpoint: &Endpoint, body: &str) -> Option<String> {
        let id = endpoint.id.as_str();
        let secret = self.vault.open(Purpose::Webhook, id, &endpoint.sealed_secret)?;
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
        let claims = Claims { sha256: STANDARD.encode(hash), ..Claims::default() };
        ApiKeys::single(id, secret).sign(&claims, SystemTime::now(), SIGNATURE_TTL).ok()
    }
}

impl Carrier for Sender {
    const CHANNEL: Channel = Channel::Webhook;

    async fn carry(&self, delivery: &Delivery) -> Outcome {
        self.send(delivery).await.unwrap_or_else(Outcome::Failed)
    }
}

fn failure(error: &reqwest::Error) -> Failure {
    match () {
        () if error.is_timeout() => "timeout".into(),
        () if error.is_connect() => "unreachable".into(),
        () => "broken".into(),
    }
}

/// Resolves names, and leaves out what may not be called: what is connected to is what was checked.
struct Resolver {
    reach: Reach,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.reach;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let permitted: Vec<SocketAddr> = found.filter(|address| reach.covers(address.ip())).collect();
            if permitted.is_empty() {
                return Err("no address of this name may be called".into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}
