//! OpenID Connect: what identity providers are asked over the network, and what is believed of their answers. It knows
//! neither our routes nor SQL.
//!
//! ```text
//! fetch       requests to providers, with bounds
//! provider    one provider: discovery, the way there, the way back
//! turns       how many requests wait for a provider, and for whom
//! attempt     a sign-in that has not come back yet, as a browser keeps it
//! claims      what a provider says about somebody, in our words
//! logout      a provider's word that somebody signed out there
//! ```

pub mod attempt;
pub mod claims;
mod fetch;
pub mod logout;
mod provider;
mod turns;

pub use provider::{Failure, Provider, Reason};

use crate::config::Config;
use crate::identity::account::ProviderId;
use openidconnect::core::CoreJwsSigningAlgorithm;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How far a provider's clock may be from ours. OpenID Connect Core section 3.1.3.7 leaves it to us; both sides run NTP.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Signatures that are believed: those with a public key. One with a shared secret would say less, and `none` nothing.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// The providers of the configuration.
#[derive(Default)]
pub struct Providers {
    all: BTreeMap<ProviderId, Provider>,
}

#[derive(Debug, thiserror::Error)]
pub enum ProvidersError {
    #[error("identity providers cannot be asked: {0}")]
    Client(#[from] reqwest::Error),
    /// What `config` validates; named all the same.
    #[error("the identity provider {0} is not configured as it should be")]
    Configuration(String),
}

impl Providers {
    /// Asks nobody anything yet: a provider that is down must not keep the server from starting.
    pub fn new(config: &Config) -> Result<Self, ProvidersError> {
        let Some(public_url) = &config.http.public_url else { return Ok(Self::default()) };
        if config.identity.providers.is_empty() {
            return Ok(Self::default());
        }
        let fetcher = Arc::new(fetch::Fetcher::new()?);
        let provider = |(id, provider): (&String, _)| {
            let wrong = || ProvidersError::Configuration(id.clone());
            let id = ProviderId::new(id).ok_or_else(wrong)?;
            let made = Provider::new(id.clone(), provider, public_url, fetcher.clone()).ok_or_else(wrong)?;
            Ok((id, made))
        };
        let all: Result<_, ProvidersError> = config.identity.providers.iter().map(provider).collect();
        Ok(Self { all: all? })
    }

    pub fn get(&self, id: &ProviderId) -> Option<&Provider> {
        self.all.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.all.values()
    }
}
