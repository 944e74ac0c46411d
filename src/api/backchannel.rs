//! A provider's word that somebody signed out there (OpenID Connect Back-Channel Logout 1.0 section 2.5): the sessions that
//! came from there end here.

use super::Api;
use super::caller::{network, slow_down};
use super::extract::Path;
use super::oidc::log;
use super::problem::{Code, Problem, ProblemBody};
use super::session::UNCACHED;
use crate::identity::account::ProviderId;
use crate::moment::Moment;
use crate::store::audit::{Detail, NewEntry};
use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::net::SocketAddr;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(logout))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = LogoutRequest)]
struct Notice {
    /// A JSON Web Token of the provider.
    #[schema(max_length = 8192)]
    logout_token: String,
}

/// End the sessions of somebody who signed out at their identity provider. For providers alone.
#[utoipa::path(post, path = "/api/v1/session/oidc/{provider}/logout", operation_id = "provider_logout", tag = "Session", security(()),
    request_body(content = Notice, content_type = "application/x-www-form-urlencoded"),
    params(("provider" = ProviderId, Path)), responses((status = 200), (status = 404, body = ProblemBody)))]
async fn logout(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(id): Path<ProviderId>,
    notice: Result<Form<Notice>, FormRejection>,
) -> Response {
    let ended = match notice {
        Ok(Form(notice)) => end(&api, peer, &id, &notice.logout_token).await,
        Err(FormRejection::InvalidFormContentType(_)) => {
            Err(Problem::new(Code::NotJson).with_detail("The request must be application/x-www-form-urlencoded."))
        }
        Err(FormRejection::BytesRejection(_)) => Err(Code::BodyTooLarge.into()),
        Err(_) => Err(Code::LogoutRefused.into()),
    };
    match ended {
        Ok(()) => (StatusCode::OK, [UNCACHED]).into_response(),
        Err(problem) if problem.code() == Code::LogoutRefused => slow_down(&api, peer, problem),
        Err(problem) => problem.into_response(),
    }
}

async fn end(api: &Api, peer: SocketAddr, id: &ProviderId, token: &str) -> Result<(), Problem> {
    let provider = api.sign_in.providers.get(id).ok_or(Code::NotFound)?;
    let now = Moment::now();
    let verified = provider.signed_out(network(Some(peer.ip())), token, now).await.map_err(|failure| {
        log(provider, &failure);
        Problem::new(Code::ProviderUnavailable)
    })?;
    let logout = verified.map_err(|flaw| {
        tracing::warn!(provider = id.as_str(), ?flaw, "a logout token is not believed");
        Problem::new(Code::LogoutRefused)
    })?;
    let mut write = api.store.write().await?;
    for (session, user) in write.end_sessions_of_provider(&logout.who, logout.at).await? {
        let details = [("by", Detail::Id(id.into())), ("user", Detail::Id((&user).into()))];
        let subject = session.as_str();
        let entry = NewEntry { actor: "provider", action: "session.ended", subject, details: &details };
        write.append_audit(now, &entry).await?;
    }
    Ok(write.commit().await?)
}
