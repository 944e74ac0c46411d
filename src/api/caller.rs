//! Authentication of a request: an API key, the token that somebody has of a meeting they came to by invitation, or the
//! session of somebody who signed in becomes a [`Caller`], within the rate of that caller. Requests that prove nothing are counted by address, so that guessing is slow
//! and loud callers do not drown the others.

use super::Api;
use super::own_pages;
use super::problem::{Code, Problem};
use super::rate::{Limiter, Policy};
use crate::identity::api_key::{ApiKeySecret, SealKey};
use crate::identity::{Caller, Invitee, SignedIn, Subject};
use crate::ids::{FeedId, InvitationId, MeetingId};
use crate::moment::Moment;
use crate::store::StoreError;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

/// A hospital's own system that copies a day's lists stays below this; a script that has run away does not.
const CALLER_POLICY: Policy = Policy { name: "caller", quota: 1_200, window: Duration::from_secs(60) };
/// Keeps the keys for sealing apart from whatever else is derived from the server's own secret.
const SEAL_CONTEXT: &str = "consilium seals an answer for an invitation";
const USER_SEAL_CONTEXT: &str = "consilium seals an answer for a user";
/// Requests of an address that prove nothing: typing errors, not attempts.
const STRANGER_POLICY: Policy = Policy { name: "address", quota: 60, window: Duration::from_secs(60) };

/// How often one link may be used: reloads and lost connections, not a hammer. Each use takes the write lock.
const LINK_POLICY: Policy = Policy { name: "link", quota: 30, window: Duration::from_secs(60) };

/// How often one calendar of somebody's own may be fetched: programs ask every few minutes, on a few devices. Each fetch writes
/// every meeting of the feed.
const FEED_POLICY: Policy = Policy { name: "feed", quota: 30, window: Duration::from_secs(60) };

pub(super) struct Limits {
    /// By the name of the subject.
    callers: Limiter<String>,
    links: Limiter<InvitationId>,
    feeds: Limiter<FeedId>,
    strangers: Limiter<IpAddr>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            callers: Limiter::new(CALLER_POLICY),
            links: Limiter::new(LINK_POLICY),
            feeds: Limiter::new(FEED_POLICY),
            strangers: Limiter::new(STRANGER_POLICY),
        }
    }
}

/// Middleware of every route that wants a caller.
pub(super) async fn authenticate(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    match caller(&api, request.method(), request.headers()).await {
        Ok(caller) => {
            let verdict = api.limits.callers.take(&caller.subject.as_str().to_owned(), Instant::now());
            let mut response = if verdict.is_allowed {
                request.extensions_mut().insert(caller);
                next.run(request).await
            } else {
                Problem::new(Code::TooManyRequests).retry_after(verdict.reset_seconds).into_response()
            };
            api.limits.callers.describe(verdict, response.headers_mut());
            response
        }
        Err(Refused::Stranger) => stranger(&api, &request),
        Err(Refused::CrossSite) => Problem::new(Code::CrossSite).into_response(),
        Err(Refused::Store(error)) => Problem::from(error).into_response(),
    }
}

fn stranger(api: &Api, request: &Request) -> Response {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    refuse(api, address, Code::Unauthenticated.into())
}

/// Within the rate of somebody who has no key but is known by `name`.
pub(super) fn keep_pace(api: &Api, name: &str) -> Result<(), Problem> {
    let verdict = api.limits.callers.take(&name.to_owned(), Instant::now());
    match verdict.is_allowed {
        true => Ok(()),
        false => Err(Problem::new(Code::TooManyRequests).retry_after(verdict.reset_seconds)),
    }
}

/// Whether a good link may be used now.
pub(super) fn check_link_rate(api: &Api, invitation: &InvitationId) -> Result<(), Problem> {
    let verdict = api.limits.links.take(invitation, Instant::now());
    match verdict.is_allowed {
        true => Ok(()),
        false => Err(Problem::new(Code::TooManyRequests).retry_after(verdict.reset_seconds)),
    }
}

/// Whether a calendar of somebody's own may be fetched now.
pub(super) fn check_feed_rate(api: &Api, feed: &FeedId) -> Result<(), Problem> {
    let verdict = api.limits.feeds.take(feed, Instant::now());
    match verdict.is_allowed {
        true => Ok(()),
        false => Err(Problem::new(Code::TooManyRequests).retry_after(verdict.reset_seconds)),
    }
}

/// Refuses somebody who tried with what may be a guess, and counts it.
pub(super) fn slow_down(api: &Api, peer: SocketAddr, problem: Problem) -> Response {
    refuse(api, Some(peer.ip()), problem)
}

/// Counts somebody who failed, where the answer is not a refusal of this kind.
pub(super) fn count_failure(api: &Api, peer: SocketAddr) -> Result<(), Problem> {
    let verdict = api.limits.strangers.take(&network(Some(peer.ip())), Instant::now());
    match verdict.is_allowed {
        true => Ok(()),
        false => Err(Problem::new(Code::TooManyRequests).retry_after(verdict.reset_seconds)),
    }
}

fn refuse(api: &Api, address: Option<IpAddr>, problem: Problem) -> Response {
    let verdict = api.limits.strangers.take(&network(address), Instant::now());
    let problem = if verdict.is_allowed {
        problem
    } else {
        Problem::new(Code::TooManyRequests).retry_after(verdict.reset_seconds)
    };
    let mut response = problem.into_response();
    api.limits.strangers.describe(verdict, response.headers_mut());
    response
}

/// Who has one IPv6 address has the whole /64 (RFC 6177), so that is what counts.
pub(super) fn network(address: Option<IpAddr>) -> IpAddr {
    match address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)).to_canonical() {
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & (u128::MAX << 64);
            IpAddr::V6(prefix.into())
        }
        address @ IpAddr::V4(_) => address,
    }
}

enum Refused {
    Stranger,
    /// A browser sent a session along that its owner may not have meant to use.
    CrossSite,
    Store(StoreError),
}

async fn caller(api: &Api, method: &Method, headers: &HeaderMap) -> Result<Caller, Refused> {
    let Some(presented) = bearer(headers) else { return user(api, method, headers).await };
    match ApiKeySecret::parse(presented) {
        Some(key) => key_holder(api, &key).await,
        None => invitee(api, presented).await,
    }
}

async fn key_holder(api: &Api, presented: &ApiKeySecret) -> Result<Caller, Refused> {
    let key = match api.store.api_key(presented.id()).await {
        Ok(key) => key,
        Err(StoreError::NotFound) => return Err(Refused::Stranger),
        Err(error) => return Err(Refused::Store(error)),
    };
    // One answer for wrong, expired and revoked: a stranger learns nothing about keys.
    if !key.secret_hash.matches(&presented.hash()) || !key.is_valid(Moment::now()) {
        return Err(Refused::Stranger);
    }
    Ok(Caller { subject: Subject::ApiKey(key.id), scopes: key.scopes, seal_key: presented.seal_key() })
}

/// The token says only whose it is: what they may do, the invitation says as it is now.
async fn invitee(api: &Api, token: &str) -> Result<Caller, Refused> {
    let claims = api.keys.verify(token, SystemTime::now()).map_err(|_| Refused::Stranger)?;
    let meeting = claims.join_room().ok().and_then(MeetingId::parse).ok_or(Refused::Stranger)?;
    let id = InvitationId::parse(&claims.identity).ok_or(Refused::Stranger)?;
    let invitation = match api.store.invitation(&id).await {
        Ok(invitation) => invitation,
        Err(StoreError::NotFound) => return Err(Refused::Stranger),
        Err(error) => return Err(Refused::Store(error)),
    };
    let is_good = invitation.check_link(Moment::now()).is_ok() && !invitation.has_outlived(claims.nbf);
    if invitation.meeting != meeting || !is_good {
        return Err(Refused::Stranger);
    }
    let seal_key = api.keys.derive(&format!("{SEAL_CONTEXT}\0{id}")).ok_or(Refused::Stranger)?;
    let subject =
        Subject::Invitee(Invitee { invitation: id, meeting, role: invitation.role, token_begins: claims.nbf });
    Ok(Caller { subject, scopes: Vec::new(), seal_key: SealKey::from_bytes(seal_key) })
}

async fn user(api: &Api, method: &Method, headers: &HeaderMap) -> Result<Caller, Refused> {
    let found = api.sign_in.session(api, headers).await.map_err(Refused::Store)?;
    let (session, user) = found.ok_or(Refused::Stranger)?;
    if !method.is_safe() && !own_pages::sent(headers, &api.sign_in.site) {
        return Err(Refused::CrossSite);
    }
    let seal_key = api.keys.derive(&format!("{USER_SEAL_CONTEXT}\0{}", user.id)).ok_or(Refused::Stranger)?;
    Ok(Caller {
        scopes: user.role.scopes().to_vec(),
        subject: Subject::User(SignedIn { id: user.id, role: user.role, session: session.id }),
        seal_key: SealKey::from_bytes(seal_key),
    })
}

/// The caller as they are by now, for what lasts longer than a request. `None` where they may call no more.
pub(super) async fn again(api: &Api, caller: &Caller) -> Result<Option<Caller>, StoreError> {
    let now = Moment::now();
    let found = match &caller.subject {
        Subject::ApiKey(id) => {
            let key = api.store.api_key(id).await;
            key.map(|key| key.is_valid(now).then(|| Caller { scopes: key.scopes, ..caller.clone() }))
        }
        Subject::Invitee(invitee) => api.store.invitation(&invitee.invitation).await.map(|invitation| {
            let is_valid = invitation.meeting == invitee.meeting
                && invitation.check_link(now).is_ok()
                && !invitation.has_outlived(invitee.token_begins);
            let invitee = Invitee { role: invitation.role, ..invitee.clone() };
            is_valid.then(|| Caller { subject: Subject::Invitee(invitee), ..caller.clone() })
        }),
        Subject::User(signed_in) => api.store.session_again(&signed_in.session, now).await.map(|found| {
            found.map(|(session, user)| Caller {
                scopes: user.role.scopes().to_vec(),
                subject: Subject::User(SignedIn { id: user.id, role: user.role, session: session.id }),
                ..caller.clone()
            })
        }),
    };
    match found {
        Err(StoreError::NotFound) => Ok(None),
        found => found,
    }
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The caller, for handlers.
pub(super) struct Known(pub(super) Caller);

impl<S: Send + Sync> FromRequestParts<S> for Known {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Absent only where a route was left without the middleware, which must not open it.
        parts.extensions.get::<Caller>().cloned().map(Self).ok_or_else(|| Code::Unauthenticated.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_who_has_a_network_is_one_caller() {
        let of = |text: &str| network(text.parse().ok());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
