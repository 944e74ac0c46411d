//! Accounts, for administrators: made, changed, closed, given another password, signed out.

use super::Api;
use super::caller::Known;
use super::creation::{Begun, Created, Creation};
use super::extract::{IdempotencyKey, Json, Path, Query, present};
use super::meetings::nullable;
use super::page::{Page, PageQuery, read_cursor};
use super::problem::{Code, Problem, ProblemBody};
use super::version::{IfMatch, etag};
use crate::identity::account::{Login, Proof, ProviderId, User};
use crate::identity::password::Password;
use crate::identity::{Action, SiteRole, may};
use crate::ids::UserId;
use crate::meetings::invitation::Email;
use crate::moment::Moment;
use crate::store::audit::{Detail, NewEntry};
use crate::store::events::NewEvent;
use crate::store::{StoreError, Write};
use crate::text::Name;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const PATH: &str = "/api/v1/users";
/// How cursors name this list.
const LIST: &str = "users";

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update))
        .routes(routes!(reset_password))
        .routes(routes!(sign_out))
}

/// Somebody with an account.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = User)]
struct Shown {
    id: UserId,
    name: Name,
    email: Option<Email>,
    organisation: Option<Name>,
    role: SiteRole,
    /// What they sign in with, where they have a password.
    login: Option<Login>,
    /// The identity provider that knows them, otherwise.
    provider: Option<ProviderId>,
    is_disabled: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Moment,
}

impl From<User> for Shown {
    fn from(user: User) -> Self {
        Self {
            login: user.login().cloned(),
            provider: user.provider().cloned(),
            id: user.id,
            name: user.name,
            email: user.email,
            organisation: user.organisation,
            role: user.role,
            is_disabled: user.disabled_at.is_some(),
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = NewUser)]
struct WithPassword {
    #[serde(flatten)]
    user: Shown,
    /// The password. It is shown here and never again.
    password: String,
}

/// An account with a password.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = UserRequest)]
#[serde(deny_unknown_fields)]
struct Asked {
    login: Login,
    name: Name,
    role: SiteRole,
    #[serde(default)]
    email: Option<Email>,
    #[serde(default)]
    organisation: Option<Name>,
}

/// What is to be different; what is absent stays.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[schema(as = UserChange)]
#[serde(deny_unknown_fields, default)]
struct Change {
    #[serde(deserialize_with = "present")]
    #[schema(required = false, nullable = false)]
    name: Option<Name>,
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Email>)]
    email: Option<Option<Email>>,
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Name>)]
    organisation: Option<Option<Name>>,
    #[serde(deserialize_with = "present")]
    #[schema(required = false, nullable = false)]
    role: Option<SiteRole>,
    /// Who is disabled is signed out at once and cannot sign in.
    #[serde(deserialize_with = "present")]
    #[schema(required = false, nullable = false)]
    is_disabled: Option<bool>,
}

/// List accounts, newest first.
#[utoipa::path(get, path = PATH, operation_id = "list_users", tag = "Users", params(PageQuery),
    responses((status = 200, body = Page<Shown>)))]
async fn list(
    State(api): State<Api>,
    Known(caller): Known,
    Query(query): Query<PageQuery>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ReadUsers)?;
    let before: Option<UserId> = query.cursor.as_deref().map(|cursor| read_cursor(LIST, cursor)).transpose()?;
    let users = api.store.users(before.as_ref(), query.limit.rows()).await?;
    Ok(axum::Json(Page::new(users, query.limit, LIST, |user| user.id.clone(), Shown::from)))
}

/// Make an account with a password, which the answer holds.
#[utoipa::path(post, path = PATH, operation_id = "create_user", tag = "Users", request_body = Asked,
    params(("Idempotency-Key" = Option<String>, Header, max_length = 144)),
    responses((status = 201, body = WithPassword, headers(("ETag" = String), ("Location" = String))),
        (status = 409, body = ProblemBody)))]
async fn create(
    State(api): State<Api>,
    Known(caller): Known,
    IdempotencyKey(key): IdempotencyKey,
    Json { value: asked, bytes }: Json<Asked>,
) -> Result<Created, Problem> {
    may(&caller, Action::AdministerUser(asked.role))?;
    let now = Moment::now();
    let password = Password::generate();
    let hash = api.sign_in.hash(password.clone()).await?;
    let (creation, mut write) = match Creation::begin(&api.store, &caller, key, PATH, &bytes, now).await? {
        Begun::New(creation, write) => (creation, write),
        Begun::Replay(created) => return Ok(created),
    };
    let user = User::new(asked.name, asked.role, Proof::Password { login: asked.login, hash }, now);
    let user = User { email: asked.email, organisation: asked.organisation, ..user };
    write.insert_user(&user).await.map_err(|error| match error {
        StoreError::Conflict => Code::LoginTaken.into(),
        error => Problem::from(error),
    })?;
    record(&mut write, caller.subject.as_str(), "user.created", &user, now).await?;
    let (location, version) = (format!("{PATH}/{}", user.id), user.version);
    let shown = WithPassword { user: user.into(), password: password.expose().to_owned() };
    creation.commit(write, Created::new(location, version, &shown)?, now).await
}

/// Read an account.
#[utoipa::path(get, path = "/api/v1/users/{id}", operation_id = "get_user", tag = "Users", params(("id" = UserId, Path)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody)))]
async fn get(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<UserId>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ReadUsers)?;
    let user = api.store.user(&id).await?;
    Ok((etag(user.version), axum::Json(Shown::from(user))))
}

/// Change, close or open an account. A role that the identity provider gives comes back with the next sign-in.
#[utoipa::path(patch, path = "/api/v1/users/{id}", operation_id = "update_user", tag = "Users", request_body = Change,
    params(("id" = UserId, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn update(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<UserId>,
    seen: IfMatch,
    Json { value: change, .. }: Json<Change>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ReadUsers)?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let old = write.user(&id).await?;
    may(&caller, Action::AdministerUser(old.role))?;
    may(&caller, Action::AdministerUser(change.role.unwrap_or(old.role)))?;
    seen.check(old.version)?;
    let user = change.apply(&old, now);
    if is_administrator(&old) && !is_administrator(&user) && write.administrator_count().await? <= 1 {
        return Err(Code::LastAdministrator.into());
    }
    write.update_user(&user).await?;
    if user.disabled_at.is_some() {
        write.end_sessions(&id).await?;
    }
    record(&mut write, caller.subject.as_str(), "user.updated", &user, now).await?;
    write.commit().await?;
    Ok((etag(user.version), axum::Json(Shown::from(user))))
}

impl Change {
    fn apply(self, old: &User, now: Moment) -> User {
        let old = old.clone();
        User {
            name: self.name.unwrap_or(old.name),
            email: self.email.unwrap_or(old.email),
            organisation: self.organisation.unwrap_or(old.organisation),
            role: self.role.unwrap_or(old.role),
            disabled_at: match self.is_disabled {
                Some(true) => old.disabled_at.or(Some(now)),
                Some(false) => None,
                None => old.disabled_at,
            },
            version: old.version + 1,
            updated_at: now,
            ..old
        }
    }
}

/// Somebody who can administer.
fn is_administrator(user: &User) -> bool {
    user.role == SiteRole::Administrator && user.disabled_at.is_none()
}

/// Give an account another password, which the answer holds. Every session of it ends.
#[utoipa::path(post, path = "/api/v1/users/{id}/password", operation_id = "reset_password", tag = "Users",
    params(("id" = UserId, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = WithPassword, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn reset_password(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<UserId>,
    seen: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ReadUsers)?;
    let now = Moment::now();
    let password = Password::generate();
    let hash = api.sign_in.hash(password.clone()).await?;
    let mut write = api.store.write().await?;
    let old = write.user(&id).await?;
    may(&caller, Action::AdministerUser(old.role))?;
    seen.check(old.version)?;
    let Some(user) = old.with_password(hash, now) else { return Err(Code::NoPassword.into()) };
    write.update_user(&user).await?;
    write.end_sessions(&id).await?;
    record(&mut write, caller.subject.as_str(), "user.password_reset", &user, now).await?;
    write.commit().await?;
    let version = user.version;
    Ok((etag(version), axum::Json(WithPassword { user: user.into(), password: password.expose().to_owned() })))
}

#[derive(Serialize, utoipa::ToSchema)]
struct Ended {
    /// Sessions that ended.
    sessions: u64,
}

/// Sign somebody out everywhere.
#[utoipa::path(delete, path = "/api/v1/users/{id}/sessions", operation_id = "sign_out_user", tag = "Users", params(("id" = UserId, Path)),
    responses((status = 200, body = Ended), (status = 404, body = ProblemBody)))]
async fn sign_out(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<UserId>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ReadUsers)?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let user = write.user(&id).await?;
    may(&caller, Action::AdministerUser(user.role))?;
    let sessions = write.end_sessions(&id).await?;
    let details = [("sessions", Detail::Number(sessions.try_into().unwrap_or(i64::MAX)))];
    let actor = caller.subject.as_str();
    let entry = NewEntry { actor, action: "user.signed_out", subject: id.as_str(), details: &details };
    write.append_audit(now, &entry).await?;
    write.commit().await?;
    Ok(axum::Json(Ended { sessions }))
}

/// The event and the audit row of a change.
pub(super) async fn record(
    write: &mut Write,
    actor: &str,
    kind: &'static str,
    user: &User,
    now: Moment,
) -> Result<(), Problem> {
    let subject = user.id.as_str();
    let body =
        json!({"user": subject, "role": user.role, "is_disabled": user.disabled_at.is_some(), "version": user.version});
    write.append_event(now, &NewEvent { kind, subject, body }).await?;
    let state = if user.disabled_at.is_some() { "disabled" } else { "enabled" };
    let details = [("role", Detail::Word(user.role.name())), ("state", Detail::Word(state))];
    Ok(write.append_audit(now, &NewEntry { actor, action: kind, subject, details: &details }).await?)
}
