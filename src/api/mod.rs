//! The REST API: what pages, hospital systems and scripts ask of the server over HTTP.
//!
//! ```text
//! problem       refusals, as clients see them
//! extract       what handlers take from a request
//! page          lists in pages
//! version       ETags and preconditions
//! creation      answers to creating requests, and requests that are sent twice
//! caller, rate  who is calling, and how often
//! description   OpenAPI, and a page to browse it
//! headers       the security headers of every answer
//! ownership     what a caller may do with one meeting, where it matters whose it is
//! cookies, own_pages    what browsers keep, and whether a request comes from our own pages
//! sign_in       attempts to sign in, sessions that begin, sessions that are found again
//! join, entry   into an open room, and by invitation: a token
//! lobby         who waits at the door, with a ticket
//! hosting       what hosts do, one act like another: checked, written, told
//! participants, room        people in a meeting, and the meeting as it is held
//! oidc, backchannel     signing in with an identity provider, and a provider's word that somebody signed out
//! api_keys, meetings, occurrences, invitations, session, users, calendars, feeds, mails, webhooks, deliveries
//!               one file for each resource
//! ```

mod api_keys;
mod backchannel;
mod calendars;
mod caller;
mod cookies;
mod creation;
mod deliveries;
mod description;
mod entry;
mod extract;
mod feeds;
mod headers;
mod hosting;
mod invitations;
mod join;
mod lobby;
mod mails;
mod meetings;
mod occurrences;
mod oidc;
mod own_pages;
mod ownership;
mod page;
mod participants;
mod problem;
mod rate;
mod room;
mod session;
mod sign_in;
mod users;
mod version;
mod webhooks;

pub use headers::security_headers;
pub use sign_in::SignIn;

use crate::calendar::links::Links;
use crate::live::bells::Bells;
use crate::outbox::Bell;
use crate::store::Store;
use crate::vault::Vault;
use crate::webhooks::address::Reach;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::any;
use consilium_signaling::access::ApiKeys;
use consilium_signaling::rooms::Rooms;
use problem::{Code, Problem};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest body of a request to join, in bytes. A room and a name fit many times.
const JOIN_LEN_MAX: usize = 8 * 1024;
/// Largest body of any other request, in bytes. The largest of ours, a meeting with all its settings, is a few thousand.
const BODY_LEN_MAX: usize = 64 * 1024;

/// Who may enter without a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Anyone, into any room.
    Open,
    /// Nobody: tokens come from the host.
    ByToken,
}

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) store: Store,
    /// Sign the tokens of the media side.
    pub(crate) keys: Arc<ApiKeys>,
    pub(crate) entry: Entry,
    pub(crate) outward: Outward,
    pub(crate) rooms: Rooms,
    pub(crate) bells: Bells,
    sign_in: Arc<SignIn>,
    limits: Arc<caller::Limits>,
}

/// What handlers need for what leaves the server.
#[derive(Clone, Debug)]
pub struct Outward {
    pub vault: Vault,
    pub links: Links,
    /// Whom calendars answer.
    pub organizer: String,
    /// Rung for what is to be sent at once.
    pub bell: Bell,
    pub reach: Reach,
}

/// What the API is made of.
pub struct Parts {
    pub store: Store,
    pub rooms: Rooms,
    pub keys: Arc<ApiKeys>,
    pub entry: Entry,
    pub bells: Bells,
    pub sign_in: SignIn,
    pub outward: Outward,
}

pub fn router(parts: Parts) -> Router {
    let Parts { store, rooms, keys, entry, bells, sign_in, outward } = parts;
    let sign_in = Arc::new(sign_in);
    let api = Api { store, keys, entry, rooms, bells, outward, sign_in, limits: Arc::default() };
    let (open, open_description) = open_routes().split_for_parts();
    let (known, known_description) = known_routes().split_for_parts();
    let mut description = known_description;
    description.merge(open_description);
    let known =
        known.layer(DefaultBodyLimit::max(BODY_LEN_MAX)).layer(from_fn_with_state(api.clone(), caller::authenticate));
    Router::new()
        .merge(open.layer(DefaultBodyLimit::max(JOIN_LEN_MAX)))
        .merge(known)
        .method_not_allowed_fallback(async || Problem::new(Code::MethodNotAllowed))
        .with_state(api)
        .merge(description::router(description))
        .route("/api/", any(nothing))
        .route("/api/{*rest}", any(nothing))
}

/// Otherwise the pages would answer, in HTML.
async fn nothing() -> Problem {
    Code::NotFound.into()
}

/// Routes that ask for no key.
fn open_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(join::join))
        .routes(routes!(entry::enter))
        .routes(routes!(feeds::fetch))
        .merge(lobby::router())
        .merge(session::open_router())
        .merge(oidc::router())
        .merge(backchannel::router())
}

/// Routes that want a caller.
fn known_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .merge(meetings::router())
        .merge(occurrences::router())
        .merge(invitations::router())
        .merge(room::router())
        .merge(participants::router())
        .merge(calendars::router())
        .merge(feeds::router())
        .merge(mails::router())
        .merge(webhooks::router())
        .merge(deliveries::router())
        .merge(api_keys::router())
        .merge(session::router())
        .merge(users::router())
}
