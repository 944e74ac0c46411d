//! The session of a browser: signing in with a password, who is signed in, signing out, another password.

use super::Api;
use super::caller::{Known, slow_down};
use super::cookies::Cookie;
use super::extract::Json;
use super::own_pages;
use super::problem::{Code, FieldError, Problem, ProblemBody};
use super::sign_in::record_refusal;
use crate::identity::account::{Login, ProviderId, User};
use crate::identity::password::Password;
use crate::identity::{Caller, SignedIn, SiteRole, Subject};
use crate::ids::UserId;
use crate::meetings::invitation::Email;
use crate::moment::Moment;
use crate::store::StoreError;
use crate::store::audit::{Detail, NewEntry};
use crate::text::Name;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{CACHE_CONTROL, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Who is signed in must not be told to the next user of a cache.
pub(super) const UNCACHED: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// Routes for those who have no session yet.
pub(super) fn open_router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(get, sign_in))
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(sign_out)).routes(routes!(sign_out_everywhere)).routes(routes!(change_password))
}

/// Who is signed in, and how somebody can.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Session)]
struct Shown {
    /// `null`: nobody.
    user: Option<SignedInUser>,
    /// Identity providers that one can sign in with, at `/api/v1/session/oidc/{id}`.
    providers: Vec<ProviderShown>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct SignedInUser {
    id: UserId,
    name: Name,
    email: Option<Email>,
    organisation: Option<Name>,
    role: SiteRole,
    /// Absent: with a password.
    provider: Option<ProviderId>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Provider)]
struct ProviderShown {
    id: ProviderId,
    name: String,
}

impl Shown {
    fn new(api: &Api, user: Option<User>) -> Self {
        let user = user.map(|user| SignedInUser {
            provider: user.provider().cloned(),
            id: user.id,
            name: user.name,
            email: user.email,
            organisation: user.organisation,
            role: user.role,
        });
        let providers = api.sign_in.providers.iter();
        let providers =
            providers.map(|provider| ProviderShown { id: provider.id().clone(), name: provider.name().into() });
        Self { user, providers: providers.collect() }
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = SignInRequest)]
#[serde(deny_unknown_fields)]
struct Attempt {
    login: Login,
    #[schema(max_length = 128)]
    password: String,
}

/// Who is signed in, and how one can sign in.
#[utoipa::path(get, path = "/api/v1/session", operation_id = "get_session", tag = "Session", security(()),
    responses((status = 200, body = Shown)))]
async fn get(State(api): State<Api>, headers: HeaderMap) -> Result<impl IntoResponse, Problem> {
    let user = api.sign_in.session(&api, &headers).await?.map(|(_, user)| user);
    Ok(([UNCACHED], axum::Json(Shown::new(&api, user))))
}

/// Sign in with a password. The answer sets the cookie of a new session, and ends the one that the browser had.
#[utoipa::path(post, path = "/api/v1/session", operation_id = "sign_in", tag = "Session", request_body = Attempt, security(()),
    params(("Consilium-Request" = String, Header, description = "Any value: our own pages send it.")),
    responses((status = 200, body = Shown, headers(("Set-Cookie" = String))), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody)))]
async fn sign_in(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Json { value: attempt, .. }: Json<Attempt>,
) -> Response {
    match admit(&api, peer, &headers, &attempt).await {
        Ok(response) => response.into_response(),
        Err(problem) if problem.code() == Code::SignInFailed => slow_down(&api, peer, problem),
        Err(problem) => problem.into_response(),
    }
}

async fn admit(
    api: &Api,
    peer: SocketAddr,
    headers: &HeaderMap,
    attempt: &Attempt,
) -> Result<impl IntoResponse + use<>, Problem> {
    // Somebody else's page could otherwise sign a visitor in as somebody else, and watch what they write there.
    if !own_pages::sent(headers, &api.sign_in.site) {
        return Err(Code::CrossSite.into());
    }
    api.sign_in.count(&attempt.login, peer)?;
    let user = match api.store.user_by_login(&attempt.login).await {
        Err(StoreError::NotFound) => None,
        found => Some(found?),
    };
    if let Some(refusal) = api.sign_in.verify(user.as_ref(), &attempt.password).await? {
        record_refusal(api, user.as_ref().map(|user| &user.id), None, refusal.word()).await?;
        return Err(Code::SignInFailed.into());
    }
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let seen = user.map(|user| user.version);
    let user = write.user_by_login(&attempt.login).await?;
    // Disabled, or given another password, while the hash was computed.
    if seen != Some(user.version) {
        return Err(Code::SignInFailed.into());
    }
    let cookie = api.sign_in.begin(&mut write, headers, &user, None, now).await?;
    write.commit().await?;
    Ok(([UNCACHED, (SET_COOKIE, cookie)], axum::Json(Shown::new(api, Some(user)))))
}

/// Sign out.
#[utoipa::path(delete, path = "/api/v1/session", operation_id = "sign_out", tag = "Session", responses((status = 204)))]
async fn sign_out(State(api): State<Api>, Known(caller): Known) -> Result<impl IntoResponse, Problem> {
    let user = signed_in(&caller)?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    if write.end_session(&user.session).await? {
        let subject = user.session.as_str();
        let entry = NewEntry { actor: user.id.as_str(), action: "session.ended", subject, details: &[] };
        write.append_audit(now, &entry).await?;
        write.commit().await?;
    }
    Ok(signed_out(&api))
}

/// Sign out everywhere: every session of the caller ends.
#[utoipa::path(delete, path = "/api/v1/sessions", operation_id = "sign_out_everywhere", tag = "Session", responses((status = 204)))]
async fn sign_out_everywhere(State(api): State<Api>, Known(caller): Known) -> Result<impl IntoResponse, Problem> {
    let user = signed_in(&caller)?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let ended = write.end_sessions(&user.id).await?;
    let details = [("sessions", Detail::Number(ended.try_into().unwrap_or(i64::MAX)))];
    let id = user.id.as_str();
    write.append_audit(now, &NewEntry { actor: id, action: "user.signed_out", subject: id, details: &details }).await?;
    write.commit().await?;
    Ok(signed_out(&api))
}

fn signed_out(api: &Api) -> impl IntoResponse + use<> {
    let cookie = Cookie::Session.clear(api.sign_in.site.is_secure);
    let headers: HeaderMap = cookie.map(|cookie| (SET_COOKIE, cookie)).into_iter().collect();
    (StatusCode::NO_CONTENT, headers)
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = PasswordChange)]
#[serde(deny_unknown_fields)]
struct Change {
    #[schema(max_length = 128)]
    current_password: String,
    /// Not among those that everybody tries, and without the name that one signs in with.
    #[schema(min_length = 12, max_length = 128)]
    new_password: String,
}

/// Take another password. Every session of the caller ends, and the answer sets the cookie of a new one.
#[utoipa::path(put, path = "/api/v1/session/password", operation_id = "change_password", tag = "Session", request_body = Change,
    responses((status = 204, headers(("Set-Cookie" = String))), (status = 409, body = ProblemBody)))]
async fn change_password(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Known(caller): Known,
    headers: HeaderMap,
    Json { value: change, .. }: Json<Change>,
) -> Result<impl IntoResponse, Problem> {
    let signed_in = signed_in(&caller)?;
    let user = api.store.user(&signed_in.id).await?;
    let Some(login) = user.login().cloned() else { return Err(Code::NoPassword.into()) };
    let password = Password::chosen(&change.new_password, login.as_str()).map_err(|flaw| {
        Problem::fields(vec![FieldError { pointer: "/new_password".into(), detail: flaw.to_string() }])
    })?;
    // Who found a browser open must not learn the password by guessing here.
    api.sign_in.count(&login, peer)?;
    if let Some(refusal) = api.sign_in.verify(Some(&user), &change.current_password).await? {
        record_refusal(&api, Some(&user.id), None, refusal.word()).await?;
        return Err(Code::SignInFailed.into());
    }
    let hash = api.sign_in.hash(password).await?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let is_same = write.user(&user.id).await?.version == user.version;
    let changed = user.with_password(hash, now).filter(|_| is_same);
    let Some(user) = changed else { return Err(Code::Conflict.into()) };
    write.update_user(&user).await?;
    write.end_sessions(&user.id).await?;
    let id = user.id.as_str();
    write
        .append_audit(now, &NewEntry { actor: id, action: "user.password_changed", subject: id, details: &[] })
        .await?;
    let cookie = api.sign_in.begin(&mut write, &headers, &user, None, now).await?;
    write.commit().await?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]))
}

fn signed_in(caller: &Caller) -> Result<&SignedIn, Problem> {
    match &caller.subject {
        Subject::User(user) => Ok(user),
        _ => Err(Code::NoSession.into()),
    }
}
