//! Signing in with an identity provider: the browser goes there, and comes back with a code that becomes a session. Both
//! routes are visited by a person, so failures are told on a page of ours.

use super::Api;
use super::caller::{count_failure, network};
use super::cookies::Cookie;
use super::extract::{Path, Query};
use super::problem::{Code, Problem, ProblemBody};
use super::session::UNCACHED;
use super::sign_in::record_refusal;
use super::users::record;
use crate::identity::SiteRole;
use crate::identity::account::{Proof, ProviderId, User};
use crate::identity::api_key::SealKey;
use crate::identity::session::Origin;
use crate::ids::UserId;
use crate::moment::Moment;
use crate::oidc::attempt::{Attempt, LIFETIME, return_path};
use crate::oidc::claims::Person;
use crate::oidc::{Failure, Provider};
use crate::store::Write;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::net::SocketAddr;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Seals what browsers keep while somebody is at their provider.
const SEAL_CONTEXT: &str = "consilium keeps an attempt to sign in";
/// The page that tells why somebody is not signed in, by the word in `problem`.
const FAILURE_PAGE: &str = "/sign-in?problem=";
/// Characters of a code. The longest that we know, Microsoft's, have 2,000.
const CODE_LEN_MAX: usize = 8 * 1024;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(begin)).routes(routes!(finish))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct BeginQuery {
    /// A path on this site to come back to.
    #[param(max_length = 512)]
    return_to: Option<String>,
}

/// What providers send browsers back with. There may be more, which says nothing to us.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct FinishQuery {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    /// The provider (RFC 9207).
    iss: Option<String>,
}

/// Why nobody is signed in, as the page is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    /// The browser did not begin here, or too long ago.
    Expired,
    /// The provider did not sign them in.
    Declined,
    Unavailable,
    /// What the provider says is not believed.
    Failed,
    Disabled,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Declined => "declined",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
            Self::Disabled => "disabled",
        }
    }
}

/// Go to an identity provider to sign in. For a browser to visit, not for programs.
#[utoipa::path(get, path = "/api/v1/session/oidc/{provider}", operation_id = "begin_provider_sign_in", tag = "Session", security(()),
    params(("provider" = ProviderId, Path), BeginQuery),
    responses((status = 303, headers(("Location" = String), ("Set-Cookie" = String))), (status = 404, body = ProblemBody)))]
async fn begin(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(id): Path<ProviderId>,
    Query(query): Query<BeginQuery>,
) -> Result<impl IntoResponse, Problem> {
    let provider = api.sign_in.providers.get(&id).ok_or(Code::NotFound)?;
    let return_to = match query.return_to.as_deref() {
        None => "/",
        Some(path) => return_path(path).ok_or(Code::InvalidQuery)?,
    };
    api.sign_in.count_step(peer)?;
    let begun = provider.begin(network(Some(peer.ip())), return_to, Moment::now()).await;
    let (url, attempt) = begun.map_err(|failure| {
        log(provider, &failure);
        Problem::new(Code::ProviderUnavailable)
    })?;
    let sealed = seal_key(&api).and_then(|key| attempt.seal(&key));
    let cookie = sealed.and_then(|sealed| Cookie::Attempt.set(&sealed, LIFETIME, api.sign_in.site.is_secure));
    let cookie = cookie.ok_or(Code::Internal)?;
    let location = HeaderValue::from_str(&url).map_err(|_| Code::ProviderUnavailable)?;
    Ok((StatusCode::SEE_OTHER, [UNCACHED, (SET_COOKIE, cookie), (LOCATION, location)]))
}

/// Come back from an identity provider. For browsers that it sends here.
#[utoipa::path(get, path = "/api/v1/session/oidc/{provider}/callback", operation_id = "finish_provider_sign_in", tag = "Session", security(()),
    params(("provider" = ProviderId, Path), FinishQuery),
    responses((status = 303, headers(("Location" = String), ("Set-Cookie" = String))), (status = 404, body = ProblemBody)))]
async fn finish(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(id): Path<ProviderId>,
    Query(query): Query<FinishQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let provider = api.sign_in.providers.get(&id).ok_or(Code::NotFound)?;
    let (location, session) = match admit(&api, provider, &query, &headers, peer).await? {
        Ok((path, cookie)) => (path, Some(cookie)),
        Err(outcome) => (format!("{FAILURE_PAGE}{}", outcome.word()), None),
    };
    let mut answer = HeaderMap::from_iter([UNCACHED]);
    // A path of ours: visible ASCII.
    answer.insert(LOCATION, HeaderValue::from_str(&location).map_err(|_| Code::Internal)?);
    // However it ended, it is not tried again with the same attempt.
    let cookies = session.into_iter().chain(Cookie::Attempt.clear(api.sign_in.site.is_secure));
    answer.extend(cookies.map(|cookie| (SET_COOKIE, cookie)));
    Ok((StatusCode::SEE_OTHER, answer).into_response())
}

/// Where they wanted to go and the cookie of their session, or why not.
async fn admit(
    api: &Api,
    provider: &Provider,
    query: &FinishQuery,
    headers: &HeaderMap,
    peer: SocketAddr,
) -> Result<Result<(String, HeaderValue), Outcome>, Problem> {
    let now = Moment::now();
    let sealed = Cookie::Attempt.read(headers, api.sign_in.site.is_secure);
    let state = query.state.as_deref().unwrap_or_default();
    let attempt =
        seal_key(api).zip(sealed).and_then(|(key, sealed)| Attempt::open(&key, sealed, provider.id(), state, now));
    let Some(attempt) = attempt else { return Ok(Err(Outcome::Expired)) };
    // A code of another provider than the one that was asked.
    let is_other = query.iss.as_deref().is_some_and(|issuer| issuer != provider.issuer());
    let code = query.code.as_deref().filter(|code| query.error.is_none() && code.len() <= CODE_LEN_MAX && !is_other);
    let person = match code {
        None => {
            let (outcome, reason) =
                if is_other { (Outcome::Failed, "issuer") } else { (Outcome::Declined, "declined") };
            return refuse(api, provider, peer, None, outcome, reason).await;
        }
        Some(code) => {
            // The same attempt brings back as many codes as somebody likes to make up, and each is asked about.
            api.sign_in.count_step(peer)?;
            provider.finish(network(Some(peer.ip())), code, &attempt, now).await
        }
    };
    let person = match person {
        Ok(person) => person,
        Err(failure) => {
            log(provider, &failure);
            let (outcome, reason) = match failure {
                Failure::Unavailable(_) => (Outcome::Unavailable, "unavailable"),
                Failure::Refused(reason) => (Outcome::Failed, reason.word()),
            };
            return refuse(api, provider, peer, None, outcome, reason).await;
        }
    };
    let origin = Origin { provider: provider.id().clone(), session: person.session.clone() };
    let mut write = api.store.write().await?;
    let user = account(&mut write, provider.id(), person, now).await?;
    if user.disabled_at.is_some() {
        drop(write);
        return refuse(api, provider, peer, Some(&user.id), Outcome::Disabled, "disabled").await;
    }
    let cookie = api.sign_in.begin(&mut write, headers, &user, Some(origin), now).await?;
    write.commit().await?;
    Ok(Ok((attempt.return_to().to_owned(), cookie)))
}

/// The account of this person, as the provider knows them now; a new one at their first sign-in.
async fn account(write: &mut Write, provider: &ProviderId, person: Person, now: Moment) -> Result<User, Problem> {
    let Some(old) = write.user_of_provider(provider, &person.subject).await? else {
        let proof = Proof::Provider { provider: provider.clone(), subject: person.subject };
        let user = User::new(person.name, person.role.unwrap_or(SiteRole::Member), proof, now);
        let user = User { email: person.email, organisation: person.organisation, ..user };
        write.insert_user(&user).await?;
        record(write, user.id.as_str(), "user.created", &user, now).await?;
        return Ok(user);
    };
    let role = person.role.unwrap_or(old.role);
    let is_same = old.name == person.name
        && old.email == person.email
        && old.organisation == person.organisation
        && old.role == role;
    if is_same || old.disabled_at.is_some() {
        return Ok(old);
    }
    let Person { name, email, organisation, .. } = person;
    let user = User { name, email, organisation, role, version: old.version + 1, updated_at: now, ..old };
    write.update_user(&user).await?;
    record(write, user.id.as_str(), "user.updated", &user, now).await?;
    Ok(user)
}

async fn refuse<T>(
    api: &Api,
    provider: &Provider,
    peer: SocketAddr,
    user: Option<&UserId>,
    outcome: Outcome,
    reason: &'static str,
) -> Result<Result<T, Outcome>, Problem> {
    // First, so that nobody fills the audit log.
    count_failure(api, peer)?;
    record_refusal(api, user, Some(provider.id()), reason).await?;
    Ok(Err(outcome))
}

pub(super) fn log(provider: &Provider, failure: &Failure) {
    match failure {
        Failure::Unavailable(cause) => {
            tracing::warn!(
                provider = provider.id().as_str(),
                cause,
                "an identity provider does not answer as it should"
            );
        }
        Failure::Refused(reason) => {
            let reason = reason.word();
            tracing::warn!(provider = provider.id().as_str(), reason, "an identity provider's answer is not believed");
        }
    }
}

fn seal_key(api: &Api) -> Option<SealKey> {
    api.keys.derive(SEAL_CONTEXT).map(SealKey::from_bytes)
}
