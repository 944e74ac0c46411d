//! Signing in: attempts with a password and how many there may be, sessions that begin, and sessions that are found again
//! by their cookie. Which routes there are, `session` and `oidc` know.

use super::Api;
use super::caller::network;
use super::cookies::Cookie;
use super::own_pages::{self, Site};
use super::problem::{Code, Problem};
use super::rate::{Limiter, Policy};
use crate::config::Config;
use crate::identity::account::{Login, Proof, ProviderId, User};
use crate::identity::password::{Password, PasswordHash};
use crate::identity::session::{ABSOLUTE, Origin, Session, SessionSecret};
use crate::ids::UserId;
use crate::moment::Moment;
use crate::oidc::{Providers, ProvidersError};
use crate::store::audit::{Detail, NewEntry};
use crate::store::{StoreError, Write};
use axum::http::{HeaderMap, HeaderValue};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Hashes at a time: each takes a core for 20 ms and 19 MiB, and media wants the cores too.
const HASHES_MAX: usize = 2;
/// Somebody who has forgotten which password it was, and a script that guesses, from one place.
const PLACE_POLICY: Policy = Policy { name: "sign-in", quota: 10, window: Duration::from_secs(15 * 60) };
/// A script that tries one password on many names. A whole shift that signs in from behind one address stays below it.
const ADDRESS_POLICY: Policy = Policy { name: "sign-ins", quota: 300, window: Duration::from_secs(5 * 60) };
/// How long somebody waits for their turn to be hashed: as long as the attempts before them that one address may make.
const HASHED_WITHIN: Duration = Duration::from_secs(5);
/// A script that guesses from many places. NIST SP 800-63B section 5.2.2 allows 100.
const ACCOUNT_POLICY: Policy = Policy { name: "account", quota: 100, window: Duration::from_secs(3600) };

pub struct SignIn {
    pub(super) site: Site,
    pub(super) providers: Providers,
    hashing: Semaphore,
    addresses: Limiter<IpAddr>,
    places: Limiter<(IpAddr, Login)>,
    accounts: Limiter<Login>,
}

/// Why somebody who tried a password is not let in, for the audit log alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    UnknownLogin,
    WrongPassword,
    Disabled,
}

impl Refusal {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::UnknownLogin => "unknown_login",
            Self::WrongPassword => "wrong_password",
            Self::Disabled => "disabled",
        }
    }
}

impl SignIn {
    pub fn new(config: &Config) -> Result<Self, ProvidersError> {
        let public_url = config.http.public_url.clone();
        let is_secure = match &public_url {
            Some(url) => url.is_secure(),
            // A server that others reach without TLS gets no session from their browsers, rather than one in the clear.
            None => !config.http.listen.ip().is_loopback(),
        };
        Ok(Self {
            site: Site { public_url, is_secure },
            providers: Providers::new(config)?,
            hashing: Semaphore::new(HASHES_MAX),
            addresses: Limiter::new(ADDRESS_POLICY),
            places: Limiter::new(PLACE_POLICY),
            accounts: Limiter::new(ACCOUNT_POLICY),
        })
    }

    /// Counts a step that makes us ask an identity provider something: the way there, and the way back.
    pub(super) fn count_step(&self, peer: SocketAddr) -> Result<(), Problem> {
        let verdict = self.addresses.take(&network(Some(peer.ip())), Instant::now());
        match verdict.is_allowed {
            true => Ok(()),
            false => Err(Problem::new(Code::TooManyRequests).retry_after(verdict.reset_seconds)),
        }
    }

    /// Counts an attempt, whether or not there is such an account.
    pub(super) fn count(&self, login: &Login, peer: SocketAddr) -> Result<(), Problem> {
        let (now, address) = (Instant::now(), network(Some(peer.ip())));
        // What one place has used up alone does not count against the account.
        let mut verdict = self.addresses.take(&address, now);
        if verdict.is_allowed {
            verdict = self.places.take(&(address, login.clone()), now);
        }
        if verdict.is_allowed {
            verdict = self.accounts.take(login, now);
        }
        match verdict.is_allowed {
            true => Ok(()),
            false => Err(Problem::new(Code::TooManyRequests).retry_after(verdict.reset_seconds)),
        }
    }

    /// Whether the password is this user's. Takes the same time where there is no such user.
    pub(super) async fn verify(&self, user: Option<&User>, password: &str) -> Result<Option<Refusal>, Problem> {
        let hash = match user.map(|user| &user.proof) {
            Some(Proof::Password { hash, .. }) => Some(hash.clone()),
            _ => None,
        };
        // Longer than any password is none, and is hashed as one all the same.
        let presented = Password::presented(password).unwrap_or_else(Password::generate);
        let is_right = self.hashed(move || presented.matches(hash.as_ref())).await?;
        Ok(match user {
            None => Some(Refusal::UnknownLogin),
            Some(_) if !is_right => Some(Refusal::WrongPassword),
            Some(user) if user.disabled_at.is_some() => Some(Refusal::Disabled),
            Some(_) => None,
        })
    }

    pub(super) async fn hash(&self, password: Password) -> Result<PasswordHash, Problem> {
        let hash = self.hashed(move || password.hash()).await?;
        hash.ok_or_else(|| {
            tracing::error!("a password was not hashed");
            Code::Internal.into()
        })
    }

    async fn hashed<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let internal = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "a password was not hashed");
            Problem::new(Code::Internal)
        };
        let turn = tokio::time::timeout(HASHED_WITHIN, self.hashing.acquire()).await;
        let turn = turn.map_err(|_| Problem::new(Code::Busy).retry_after(HASHED_WITHIN.as_secs()))?;
        let _permit = turn.map_err(|error| internal(&error))?;
        tokio::task::spawn_blocking(work).await.map_err(|error| internal(&error))
    }

    /// The session that a browser presents, if it is alive, and whose it is.
    pub(super) async fn session(&self, api: &Api, headers: &HeaderMap) -> Result<Option<(Session, User)>, StoreError> {
        let Some(secret) = self.secret(headers) else { return Ok(None) };
        let now = Moment::now();
        let found = api.store.session(&secret, now).await?;
        if let Some((session, _)) = &found
            && session.is_to_be_noted(now)
        {
            let mut write = api.store.write().await?;
            write.note_session(&session.id, now).await?;
            write.commit().await?;
        }
        Ok(found)
    }

    /// Who comes to a meeting, where they came signed in and from our own page.
    pub(super) async fn visitor(&self, api: &Api, headers: &HeaderMap) -> Result<Option<User>, StoreError> {
        Ok(self.visit(api, headers).await?.map(|(_, user)| user))
    }

    /// The same, with the session in which they came: for what lasts longer than a request.
    pub(super) async fn visit(&self, api: &Api, headers: &HeaderMap) -> Result<Option<(Session, User)>, StoreError> {
        match own_pages::sent(headers, &self.site) {
            true => self.session(api, headers).await,
            false => Ok(None),
        }
    }

    fn secret(&self, headers: &HeaderMap) -> Option<SessionSecret> {
        Cookie::Session.read(headers, self.site.is_secure).and_then(SessionSecret::parse)
    }

    /// Gives a browser a session of its own making never: the one that it came with ends, and another begins.
    pub(super) async fn begin(
        &self,
        write: &mut Write,
        headers: &HeaderMap,
        user: &User,
        origin: Option<Origin>,
        now: Moment,
    ) -> Result<HeaderValue, Problem> {
        if let Some(old) = self.secret(headers) {
            write.end_session_with(&old).await?;
        }
        let by = match &origin {
            Some(origin) => Detail::Id((&origin.provider).into()),
            None => Detail::Word("password"),
        };
        let (session, secret) = Session::begin(user.id.clone(), origin, now);
        write.insert_session(&session).await?;
        let entry = NewEntry {
            actor: user.id.as_str(),
            action: "session.started",
            subject: session.id.as_str(),
            details: &[("by", by)],
        };
        write.append_audit(now, &entry).await?;
        let cookie = Cookie::Session.set(&secret.expose(), ABSOLUTE, self.site.is_secure);
        cookie.ok_or_else(|| Code::Internal.into())
    }
}

/// Writes down that somebody was not let in. Whom they claimed to be stands there only where there is such a user.
pub(super) async fn record_refusal(
    api: &Api,
    user: Option<&UserId>,
    provider: Option<&ProviderId>,
    reason: &'static str,
) -> Result<(), Problem> {
    let mut write = api.store.write().await?;
    let by = provider.map_or(Detail::Word("password"), |provider| Detail::Id(provider.into()));
    let details = [("by", by), ("reason", Detail::Word(reason))];
    let subject = user.map_or("unknown", UserId::as_str);
    let entry = NewEntry { actor: "stranger", action: "session.refused", subject, details: &details };
    write.append_audit(Moment::now(), &entry).await?;
    Ok(write.commit().await?)
}
