//! A provider's word that somebody signed out there: a logout token (OpenID Connect Back-Channel Logout 1.0), which is
//! checked in full, because it comes from wherever it comes.

use super::{ALGORITHMS, CLOCK_SKEW};
use crate::identity::account::{ProviderId, ProviderSubject};
use crate::identity::session::{ProviderSession, SignedOut};
use crate::moment::Moment;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::JsonWebKey;
use openidconnect::core::{CoreJsonWebKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// Providers send it at once, and do not try for long. What is older may be a copy that somebody kept.
const AGE_MAX: Duration = Duration::from_secs(300);
/// In bytes. Those of the providers that we know have less than a thousand.
const TOKEN_LEN_MAX: usize = 8 * 1024;
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Why a logout token is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogoutFlaw {
    Malformed,
    Algorithm,
    /// No key of the provider made it; its keys may have changed since they were fetched.
    Signature,
    Issuer,
    Audience,
    Time,
    Claims,
}

/// Whose word is expected, and to whom.
pub(super) struct Expected<'a> {
    pub(super) provider: &'a ProviderId,
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) keys: &'a CoreJsonWebKeySet,
}

/// Who signed out, and what is to be ended with it: sessions that began before that moment.
#[derive(Clone, Debug)]
pub struct Logout {
    pub who: SignedOut,
    pub at: Moment,
}

#[derive(Deserialize)]
struct Header {
    alg: CoreJwsSigningAlgorithm,
    kid: Option<String>,
    typ: Option<String>,
    /// Extensions that must be understood (RFC 7515 section 4.1.11). We understand none.
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    iat: i64,
    exp: Option<i64>,
    jti: String,
    sub: Option<String>,
    sid: Option<String>,
    events: Map<String, Value>,
    nonce: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

pub(super) fn verify(token: &str, expected: &Expected<'_>, now: Moment) -> Result<Logout, LogoutFlaw> {
    let claims = signed(token, expected.keys)?;
    if claims.iss != expected.issuer {
        return Err(LogoutFlaw::Issuer);
    }
    let is_ours = match &claims.aud {
        Audience::One(one) => one == expected.client_id,
        Audience::Many(many) => !many.is_empty() && many.iter().all(|one| one == expected.client_id),
    };
    if !is_ours {
        return Err(LogoutFlaw::Audience);
    }
    let seconds = |seconds: i64| Moment::from_ms(seconds.saturating_mul(1_000));
    let (issued, expires) = (seconds(claims.iat), claims.exp.map(seconds));
    let is_fresh = issued <= now.plus(CLOCK_SKEW) && now <= issued.plus(AGE_MAX + CLOCK_SKEW);
    if !is_fresh || expires.is_some_and(|expiry| now >= expiry.plus(CLOCK_SKEW)) {
        return Err(LogoutFlaw::Time);
    }
    // Section 2.6: with a nonce it would be an ID token, which others may have.
    let is_logout = claims.events.get(EVENT).is_some_and(Value::is_object) && claims.nonce.is_none();
    if !is_logout || claims.jti.is_empty() {
        return Err(LogoutFlaw::Claims);
    }
    let subject = claims.sub.map(|text| ProviderSubject::new(&text).ok_or(LogoutFlaw::Claims)).transpose()?;
    let session = claims.sid.map(|text| ProviderSession::new(&text).ok_or(LogoutFlaw::Claims)).transpose()?;
    if subject.is_none() && session.is_none() {
        return Err(LogoutFlaw::Claims);
    }
    let who = SignedOut { provider: expected.provider.clone(), subject, session };
    // A session of now is not ended by a token of before, so that a copy of it is of no use; clocks differ, and a session
    // too many that ends is better than one too few.
    Ok(Logout { who, at: issued.plus(CLOCK_SKEW) })
}

fn signed(token: &str, keys: &CoreJsonWebKeySet) -> Result<Claims, LogoutFlaw> {
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| LogoutFlaw::Malformed);
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else { return Err(LogoutFlaw::Malformed) };
    if token.len() > TOKEN_LEN_MAX {
        return Err(LogoutFlaw::Malformed);
    }
    let message = &token[..header.len() + 1 + claims.len()];
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| LogoutFlaw::Malformed)?;
    let is_typed = header.typ.as_deref().is_none_or(|typ| {
        ["jwt", "logout+jwt", "application/logout+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known))
    });
    if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() || !is_typed {
        return Err(LogoutFlaw::Algorithm);
    }
    let signature = decode(signature)?;
    let fits = |key: &&CoreJsonWebKey| {
        header.kid.as_deref().is_none_or(|kid| key.key_id().is_some_and(|id| id.as_str() == kid))
    };
    let made_it = |key: &CoreJsonWebKey| key.verify_signature(&header.alg, message.as_bytes(), &signature).is_ok();
    if !keys.keys().iter().filter(fits).any(made_it) {
        return Err(LogoutFlaw::Signature);
    }
    serde_json::from_slice(&decode(claims)?).map_err(|_| LogoutFlaw::Claims)
}
