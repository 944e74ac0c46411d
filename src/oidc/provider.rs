//! One provider: its discovery document and keys, the way there (authorisation code with PKCE, RFC 7636) and the way back.
//! Nothing that it says is believed before its signature, issuer, audience, times and nonce are.

use super::attempt::{Attempt, LIFETIME};
use super::claims::Person;
use super::fetch::{FetchError, Fetcher};
use super::logout::{self, Logout, LogoutFlaw};
use super::turns::{Turn, Turns};
use super::{ALGORITHMS, CLOCK_SKEW};
use crate::config::{ProviderConfig, PublicUrl};
use crate::identity::account::ProviderId;
use crate::moment::Moment;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreIdToken, CoreProviderMetadata, CoreTokenResponse,
};
use openidconnect::{
    AccessToken, AuthType, AuthenticationContextClass, AuthorizationCode, ClaimsVerificationError, ClientId,
    ClientSecret, CsrfToken, DiscoveryError, EndpointMaybeSet, EndpointNotSet, EndpointSet, IssuerUrl, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, TokenResponse,
    http,
};
use serde_json::{Map, Value};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Discovery and keys are asked for again after this long; providers announce changes days before.
const KEPT: Duration = Duration::from_secs(3600);
/// A key that is not known is looked for, but not more often than this: anybody can send a token with such a key.
const REFRESHED_EVERY: Duration = Duration::from_secs(2);
/// Longest ID token that is looked at, in bytes, as for the room's own tokens.
const ID_TOKEN_LEN_MAX: usize = 64 * 1024;

type Client =
    CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointMaybeSet, EndpointMaybeSet>;

/// Why nobody signed in. The word goes to the log and to the audit log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The provider does not take the code.
    Code,
    /// What it answers to the code is not what the protocol says.
    Answer,
    NoIdToken,
    Issuer,
    Audience,
    Signature,
    Expired,
    Nonce,
    /// Not authenticated as strongly as was asked for.
    Context,
    Token,
    UserInfo,
    Subject,
    Name,
}

impl Reason {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Answer => "answer",
            Self::NoIdToken => "no_id_token",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::Nonce => "nonce",
            Self::Context => "context",
            Self::Token => "token",
            Self::UserInfo => "user_info",
            Self::Subject => "subject",
            Self::Name => "name",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// It does not answer, or nonsense; the cause is for the log.
    Unavailable(String),
    Refused(Reason),
}

/// What a discovery found.
struct Known {
    client: Client,
    metadata: CoreProviderMetadata,
    fetched: Instant,
}

pub struct Provider {
    id: ProviderId,
    config: ProviderConfig,
    issuer: IssuerUrl,
    redirect: RedirectUrl,
    fetcher: Arc<Fetcher>,
    known: RwLock<Option<Arc<Known>>>,
    turns: Turns,
}

impl Provider {
    /// `None` where the issuer is no URL, which the configuration does not let through.
    pub(super) fn new(
        id: ProviderId,
        config: &ProviderConfig,
        public_url: &PublicUrl,
        fetcher: Arc<Fetcher>,
    ) -> Option<Self> {
        let redirect = format!("{}/api/v1/session/oidc/{id}/callback", public_url.origin());
        Some(Self {
            issuer: IssuerUrl::new(config.issuer.clone()).ok()?,
            redirect: RedirectUrl::new(redirect).ok()?,
            config: config.clone(),
            id,
            fetcher,
            known: RwLock::default(),
            turns: Turns::default(),
        })
    }

    pub fn id(&self) -> &ProviderId {
        &self.id
    }

    /// What the button says.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    pub fn issuer(&self) -> &str {
        self.issuer.as_str()
    }

    /// Where the browser goes, and what it keeps meanwhile. Of each of these, `client` is on whose behalf the provider is asked.
    pub async fn begin(&self, client: IpAddr, return_to: &str, now: Moment) -> Result<(String, Attempt), Failure> {
        let known = self.known(KEPT, client).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let mut request = known.client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
        for scope in self.config.scopes.iter().filter(|scope| *scope != "openid") {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        for class in &self.config.acr_values {
            request = request.add_auth_context_value(AuthenticationContextClass::new(class.clone()));
        }
        let (url, state, nonce) = request.set_pkce_challenge(challenge).url();
        let attempt = Attempt {
            provider: self.id.clone(),
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
            return_to: return_to.to_owned(),
            expires_at_ms: now.plus(LIFETIME).ms(),
        };
        Ok((url.into(), attempt))
    }

    /// Who came back with this code.
    pub async fn finish(&self, client: IpAddr, code: &str, attempt: &Attempt, now: Moment) -> Result<Person, Failure> {
        let mut known = self.known(KEPT, client).await?;
        let turn = self.turn(client)?;
        let tokens = self.exchange(&known, code, attempt).await?;
        drop(turn);
        let id_token = tokens.id_token().ok_or(Failure::Refused(Reason::NoIdToken))?;
        let mut verified = self.verify(&known, id_token, &attempt.nonce, now);
        if verified == Err(Reason::Signature) {
            // Its keys may be newer than ours.
            known = self.known(REFRESHED_EVERY, client).await?;
            verified = self.verify(&known, id_token, &attempt.nonce, now);
        }
        let mut claims = verified.map_err(Failure::Refused)?;
        self.ask_for_more(&known, client, tokens.access_token(), &mut claims).await?;
        Person::read(&claims, &self.config.claims, &self.config.roles).map_err(Failure::Refused)
    }

    /// Who signed out at the provider, by its logout token.
    pub async fn signed_out(
        &self,
        client: IpAddr,
        token: &str,
        now: Moment,
    ) -> Result<Result<Logout, LogoutFlaw>, Failure> {
        let verify = |known: &Known| {
            let expected = logout::Expected {
                provider: &self.id,
                issuer: self.issuer.as_str(),
                client_id: &self.config.client_id,
                keys: known.metadata.jwks(),
            };
            logout::verify(token, &expected, now)
        };
        let result = verify(&*self.known(KEPT, client).await?);
        match result {
            Err(LogoutFlaw::Signature) => Ok(verify(&*self.known(REFRESHED_EVERY, client).await?)),
            result => Ok(result),
        }
    }

    async fn exchange(&self, known: &Known, code: &str, attempt: &Attempt) -> Result<CoreTokenResponse, Failure> {
        let code = AuthorizationCode::new(code.to_owned());
        let request =
            known.client.exchange_code(code).map_err(|_| Failure::Unavailable("it names no token endpoint".into()))?;
        let request = request.set_pkce_verifier(PkceCodeVerifier::new(attempt.verifier.clone()));
        request.request_async(&*self.fetcher).await.map_err(|error| match error {
            RequestTokenError::ServerResponse(_) => Failure::Refused(Reason::Code),
            RequestTokenError::Request(error) => Failure::Unavailable(error.to_string()),
            // The message may repeat the answer, which may hold a token.
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => Failure::Refused(Reason::Answer),
        })
    }

    /// The claims of a token that is believed.
    fn verify(
        &self,
        known: &Known,
        token: &CoreIdToken,
        nonce: &str,
        now: Moment,
    ) -> Result<Map<String, Value>, Reason> {
        let (now, wanted) = (now.to_chrono(), self.config.acr_values.clone());
        let verifier = known
            .client
            .id_token_verifier()
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(move || now - CLOCK_SKEW)
            .set_issue_time_verifier_fn(move |issued| match issued <= now + CLOCK_SKEW {
                true => Ok(()),
                false => Err("it was issued in the future".into()),
            })
            .set_auth_context_verifier_fn(move |class| {
                let is_wanted =
                    |class: &AuthenticationContextClass| wanted.iter().any(|wanted| wanted == class.as_str());
                match wanted.is_empty() || class.is_some_and(is_wanted) {
                    true => Ok(()),
                    false => Err("it is not of a class that was asked for".into()),
                }
            });
        token.claims(&verifier, &Nonce::new(nonce.to_owned())).map_err(|error| reason(&error))?;
        let claims = payload(&token.to_string()).ok_or(Reason::Token)?;
        // OpenID Connect Core section 3.1.3.7, 5: whom it was issued to, where that is said, is us.
        match claims.get("azp") {
            Some(party) if *party != *self.config.client_id => Err(Reason::Audience),
            _ => Ok(claims),
        }
    }

    /// Adds claims that the provider tells on request alone. What the signed token says stays.
    async fn ask_for_more(
        &self,
        known: &Known,
        client: IpAddr,
        token: &AccessToken,
        claims: &mut Map<String, Value>,
    ) -> Result<(), Failure> {
        let Some(endpoint) = known.metadata.userinfo_endpoint().filter(|_| self.config.user_info) else {
            return Ok(());
        };
        let refused = Failure::Refused(Reason::UserInfo);
        let request = http::Request::get(endpoint.as_str())
            .header(http::header::ACCEPT, "application/json")
            .header(http::header::AUTHORIZATION, format!("Bearer {}", token.secret()))
            .body(Vec::new())
            .map_err(|_| refused.clone())?;
        let _turn = self.turn(client)?;
        let answer = self.fetcher.fetch(request).await.map_err(|error| Failure::Unavailable(error.to_string()))?;
        let told: Option<Map<String, Value>> = serde_json::from_slice(answer.body()).ok();
        match told {
            // Section 5.3.2: of somebody else, it must not be used.
            Some(told) if answer.status().is_success() && told.get("sub") == claims.get("sub") => {
                for (name, value) in told {
                    claims.entry(name).or_insert(value);
                }
                Ok(())
            }
            _ => Err(refused),
        }
    }

    /// What is known, if it is not older than `age`.
    async fn known(&self, age: Duration, client: IpAddr) -> Result<Arc<Known>, Failure> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.fetched.elapsed() < age) {
            return Ok(known);
        }
        let _turn = self.turn(client)?;
        let found = CoreProviderMetadata::discover_async(self.issuer.clone(), &*self.fetcher).await;
        let metadata = found.map_err(|error| Failure::Unavailable(cause(&error)))?;
        let known = Arc::new(Known { client: self.client(&metadata), metadata, fetched: Instant::now() });
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        Ok(known)
    }

    fn client(&self, metadata: &CoreProviderMetadata) -> Client {
        let secret = self.config.client_secret.as_ref().map(|secret| ClientSecret::new(secret.expose().to_owned()));
        let id = ClientId::new(self.config.client_id.clone());
        let methods = metadata.token_endpoint_auth_methods_supported();
        // Where nothing is said it is the first (OpenID Connect Discovery section 3).
        let takes_basic = methods.is_none_or(|methods| methods.contains(&CoreClientAuthMethod::ClientSecretBasic));
        let auth_type = if takes_basic { AuthType::BasicAuth } else { AuthType::RequestBody };
        CoreClient::from_provider_metadata(metadata.clone(), id, secret)
            .set_auth_type(auth_type)
            .set_redirect_uri(self.redirect.clone())
    }

    fn turn(&self, client: IpAddr) -> Result<Turn<'_>, Failure> {
        self.turns.take(client).ok_or_else(|| Failure::Unavailable("too many requests wait for it".into()))
    }
}

/// Without what the provider sent, which may be anything.
fn cause(error: &DiscoveryError<FetchError>) -> String {
    match error {
        DiscoveryError::Request(error) => error.to_string(),
        DiscoveryError::Response(status, ..) => format!("it answers with {status}"),
        DiscoveryError::Validation(_) => "its discovery document names another issuer".into(),
        _ => "its discovery document or its keys cannot be read".into(),
    }
}

fn reason(error: &ClaimsVerificationError) -> Reason {
    match error {
        ClaimsVerificationError::InvalidIssuer(_) => Reason::Issuer,
        ClaimsVerificationError::InvalidAudience(_) => Reason::Audience,
        ClaimsVerificationError::SignatureVerification(_) => Reason::Signature,
        ClaimsVerificationError::Expired(_) => Reason::Expired,
        ClaimsVerificationError::InvalidNonce(_) => Reason::Nonce,
        ClaimsVerificationError::InvalidAuthContext(_) => Reason::Context,
        _ => Reason::Token,
    }
}

/// The claims as they were signed: the typed ones leave out what they do not know.
fn payload(token: &str) -> Option<Map<String, Value>> {
    let claims = token.split('.').nth(1).filter(|_| token.len() <= ID_TOKEN_LEN_MAX)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}
