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
//! events        what happens in a meeting, as it happens and again from where somebody left off
//! listeners     how many listen to events
//! meant         which occurrence of a meeting a request is about
//! api_keys, meetings, occurrences, invitations, session, users, calendars, feeds, mails, webhooks, deliveries, cases,
//! case_steps, outcomes, attendance, reports
//!               one file for each resource
//! ```

mod api_keys;
mod attendance;
mod backchannel;
mod calendars;
mod caller;
mod case_steps;
mod cases;
mod cookies;
mod creation;
mod deliveries;
mod description;
mod entry;
mod events;
mod extract;
mod feeds;
mod headers;
mod hosting;
mod invitations;
mod join;
mod listeners;
mod lobby;
mod mails;
mod meant;
mod meetings;
mod occurrences;
mod oidc;
mod outcomes;
mod own_pages;
mod ownership;
mod page;
mod participants;
mod problem;
mod rate;
mod reports;
mod room;
mod session;
mod sign_in;
mod users;
mod version;
mod webhooks;

pub use headers::security_headers;
pub use sign_in::SignIn;

use crate::calendar::links::Links;
use crate::hub::Hub;
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
    /// Hears every event.
    hub: Hub,
    limits: Arc<caller::Limits>,
    listeners: Arc<listeners::Listeners>,
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

#[cfg(test)]
impl Api {
    /// Without keys of anybody, providers or webhooks.
    fn for_test(store: Store, hub: Hub) -> Self {
        let keys = Arc::new(ApiKeys::single("key", "a secret of enough length to be a secret"));
        let outward = Outward {
            vault: Vault::new(&keys).expect("there is a key"),
            links: Links::new("http://localhost"),
            organizer: "noreply@localhost".into(),
            bell: Bell::default(),
            reach: Reach::Public,
        };
        let sign_in = SignIn::new(&Default::default()).expect("there is no provider");
        let (media, _) = consilium_media_net::handle::MediaHandle::detached();
        let (_, events) = tokio::sync::mpsc::channel(1);
        let rooms = Rooms::start(Default::default(), Default::default(), keys.clone(), media, events);
        let (entry, bells) = (Entry::ByToken, Bells::default());
        Self::from(Parts { store, rooms, keys, entry, bells, hub, sign_in, outward })
    }
}

/// What the API is made of.
pub struct Parts {
    pub store: Store,
    pub rooms: Rooms,
    pub keys: Arc<ApiKeys>,
    pub entry: Entry,
    pub bells: Bells,
    pub hub: Hub,
    pub sign_in: SignIn,
    pub outward: Outward,
}

impl From<Parts> for Api {
    fn from(parts: Parts) -> Self {
        let Parts { store, rooms, keys, entry, bells, hub, sign_in, outward } = parts;
        let (sign_in, limits, listeners) = (Arc::new(sign_in), Arc::default(), Arc::default());
        Self { store, rooms, keys, entry, bells, hub, outward, sign_in, limits, listeners }
    }
}

pub fn router(parts: Parts) -> Router {
    let api = Api::from(parts);
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
        .merge(cases::router())
        .merge(case_steps::router())
        .merge(outcomes::router())
        .merge(attendance::router())
        .merge(reports::router())
        .merge(events::router())
        .merge(api_keys::router())
        .merge(session::router())
        .merge(users::router())
}
