//! What happens in a meeting, as server-sent events (HTML Living Standard, section 9.2): first what happened since the event
//! that the listener names, in order and without gaps, then what happens, as it does. Events name things and people by
//! identifier; whoever wants to know more reads the resource.

use super::Api;
use super::caller::{Known, again};
use super::extract::{Path, Query};
use super::listeners::Place;
use super::ownership::allow;
use super::problem::{Code, Problem, ProblemBody};
use crate::identity::{Action, Caller, Subject};
use crate::ids::MeetingId;
use crate::store::StoreError;
use crate::store::events::Event;
use crate::telling::{Hearers, hearers, message};
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{self, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde::Deserialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::Instant;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Told to proxies that would otherwise collect an answer before they pass it on.
const NO_BUFFER: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");
/// Events of one read of the log.
const PAGE: i64 = 100;
/// Between two comments that say that the stream lives: proxies cut connections that are silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What a listener may hear is what they may at this moment, give or take this.
const RECHECK: Duration = Duration::from_secs(2);
/// The client then comes back with a new token and its last number.
const STREAM_MAX: Duration = Duration::from_secs(3_600);
/// What clients wait for before they come back.
const RETRY: Duration = Duration::from_secs(1);

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(follow))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct FollowQuery {
    /// The number of the last event that was seen; 0 is before the first. Absent: only what happens from now on. The header
    /// `Last-Event-ID` counts first.
    #[param(minimum = 0)]
    after: Option<i64>,
    /// `false` ends the answer with the last event that there is.
    #[serde(default = "yes")]
    #[param(default = true, required = false)]
    follow: bool,
}

const fn yes() -> bool {
    true
}

/// One event of the stream.
#[derive(utoipa::ToSchema)]
#[schema(as = SentEvent)]
#[allow(dead_code, reason = "it describes what goes out as lines")]
pub(super) struct Sent {
    /// The event's number. It rises from event to event; numbers between are other meetings'.
    id: String,
    /// `case.started`: a noun, a dot, what happened to it.
    event: String,
    /// JSON: `sequence`, `at`, `kind`, `subject` (the meeting) and `body`, which names things and people by identifier.
    data: String,
}

/// Listen to what happens in a meeting, as server-sent events: `id` is the event's number, `event` its kind, `data` its JSON.
/// Each stream begins with the number that it goes on from, and tells it again from time to time, without an event.
/// After an interruption, send the last number as `Last-Event-ID` or `after`: what was missed comes first, in order. People in
/// the meeting hear of `meeting`, `case`, `outcome`, `quorum`, `attendance` and `presence`; hosts and keys of everything.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/events", operation_id = "follow_events", tag = "Events",
    params(("id" = MeetingId, Path), FollowQuery, ("Last-Event-ID" = Option<i64>, Header, minimum = 0)),
    responses((status = 200, body = Sent, content_type = "text/event-stream"), (status = 404, body = ProblemBody),
        (status = 410, body = ProblemBody)))]
async fn follow(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
    Query(query): Query<FollowQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    allow(&api, &caller, Action::Attend(&id)).await?;
    api.store.meeting(&id).await?;
    let place = api.listeners.enter(&caller)?;
    // Before the log is read: what is committed in between then comes twice, and is told once.
    let live = api.hub.listen().ok_or(Code::Busy)?;
    let last = api.store.last_event().await?;
    let after = match last_event_id(&headers)?.or(query.after) {
        Some(after) if after < 0 => return Err(Code::InvalidQuery.into()),
        Some(after) if after > last || after < api.store.events_pruned().await? => return Err(Code::EventsGone.into()),
        Some(after) => after,
        None => last,
    };
    let now = Instant::now();
    let mut listener = Listener {
        api,
        caller,
        meeting: id,
        after,
        source: Source::Log,
        live,
        is_following: query.follow,
        ready: VecDeque::new(),
        checked_at: now,
        beats_at: now + HEARTBEAT,
        ends_at: now + STREAM_MAX,
        _place: place,
    };
    // It also sends the head of the answer on its way.
    let first = listener.heartbeat("listening").retry(RETRY);
    listener.ready.push_back(first);
    let events = unfold(listener, async |mut listener| {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    Ok(([(CACHE_CONTROL, "no-store")], [NO_BUFFER], Sse::new(events)).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok()).filter(|number| *number >= 0);
    number
        .map(Some)
        .ok_or_else(|| Problem::new(Code::InvalidHeader).with_detail("Last-Event-ID is a number of an event."))
}

/// Where the next events come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// What was committed before.
    Log,
    /// What is committed now.
    Live,
}

/// One who listens. It is asked for the next event only when the one before was taken, so a slow reader holds one page.
struct Listener {
    api: Api,
    caller: Caller,
    meeting: MeetingId,
    after: i64,
    source: Source,
    live: broadcast::Receiver<Arc<Event>>,
    is_following: bool,
    ready: VecDeque<sse::Event>,
    checked_at: Instant,
    beats_at: Instant,
    ends_at: Instant,
    _place: Place,
}

/// Whether the stream goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Over,
}

impl Listener {
    /// `None` ends the stream; the client comes back with its last number.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let flow = match self.source {
                Source::Log => self.read_log().await,
                Source::Live => self.wait().await,
            };
            match flow {
                Ok(Flow::On) => {}
                Ok(Flow::Over) => return None,
                Err(error) => {
                    tracing::warn!(%error, "a listener's events were not read");
                    return None;
                }
            }
        }
    }

    async fn read_log(&mut self) -> Result<Flow, StoreError> {
        let events = self.api.store.events_of(self.meeting.as_str(), self.after, PAGE).await?;
        if events.is_empty() {
            self.source = Source::Live;
            return Ok(if self.is_following { Flow::On } else { Flow::Over });
        }
        if !self.is_still_welcome().await? {
            return Ok(Flow::Over);
        }
        events.iter().for_each(|event| self.take(event));
        Ok(Flow::On)
    }

    async fn wait(&mut self) -> Result<Flow, StoreError> {
        tokio::select! {
            received = self.live.recv() => match received {
                Ok(event) if event.subject == self.meeting.as_str() && event.sequence > self.after => {
                    if !self.is_still_welcome().await? {
                        return Ok(Flow::Over);
                    }
                    self.take(&event);
                }
                // They come in order.
                Ok(event) => self.after = self.after.max(event.sequence),
                // Too much happened for this listener: the log has it all.
                Err(broadcast::error::RecvError::Lagged(_)) => self.source = Source::Log,
                Err(broadcast::error::RecvError::Closed) => return Ok(Flow::Over),
            },
            // Not from the last event on: those of other meetings come this way too.
            () = tokio::time::sleep_until(self.beats_at) => {
                self.beats_at = Instant::now() + HEARTBEAT;
                if Instant::now() >= self.ends_at || !self.is_still_welcome().await? {
                    return Ok(Flow::Over);
                }
                let beat = self.heartbeat("");
                self.ready.push_back(beat);
            }
        }
        Ok(Flow::On)
    }

    /// No event, but how far this listener has come, so that one who has heard nothing yet misses nothing either when the
    /// connection is lost: without data, clients take the number and tell nobody.
    fn heartbeat(&self, comment: &str) -> sse::Event {
        sse::Event::default().comment(comment).id(self.after.to_string())
    }

    async fn is_still_welcome(&mut self) -> Result<bool, StoreError> {
        if self.checked_at.elapsed() < RECHECK {
            return Ok(true);
        }
        self.checked_at = Instant::now();
        let Some(caller) = again(&self.api, &self.caller).await? else { return Ok(false) };
        self.caller = caller;
        Ok(allow(&self.api, &self.caller, Action::Attend(&self.meeting)).await.is_ok())
    }

    fn take(&mut self, event: &Event) {
        self.after = event.sequence;
        if !may_hear(&self.caller, &event.kind) {
            return;
        }
        let id = event.sequence.to_string();
        self.ready.push_back(sse::Event::default().id(id).event(&event.kind).data(message(event)));
    }
}

fn may_hear(caller: &Caller, kind: &str) -> bool {
    let is_host = match &caller.subject {
        Subject::Invitee(invitee) => invitee.role.is_host(),
        _ => true,
    };
    is_host || hearers(kind) == Hearers::Everybody
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub;
    use crate::identity::Scope;
    use crate::identity::api_key::ApiKeySecret;
    use crate::ids::ApiKeyId;
    use crate::moment::Moment;
    use crate::store::events::NewEvent;
    use crate::store::{Place, Store};

    /// What waits for a listener is bounded; whoever falls behind is sent to the log, and hears everything once.
    #[tokio::test]
    async fn a_listener_that_falls_behind_hears_everything_once_and_in_order() {
        let folder = std::env::temp_dir().join(format!("consilium-events-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let store = Store::open(&Place::Sqlite { data_dir: folder.clone() }).await.unwrap();
        let meeting = MeetingId::new(Moment::from_ms(0));
        let (sender, live) = broadcast::channel(2);
        for number in 0..7 {
            let subject = if number == 3 { "another" } else { meeting.as_str() };
            let mut write = store.write().await.unwrap();
            let event = NewEvent { kind: "case.started", subject, body: serde_json::json!(number) };
            write.append_event(Moment::from_ms(number), &event).await.unwrap();
            write.commit().await.unwrap();
        }
        for event in store.events_after(0, 500).await.unwrap() {
            sender.send(Arc::new(event)).unwrap();
        }
        let (hub, task) = hub::start(store.clone());
        let api = Api::for_test(store, hub);
        let secret = ApiKeySecret::new(ApiKeyId::new(Moment::from_ms(0)));
        let subject = Subject::ApiKey(secret.id().clone());
        let caller = Caller { subject, scopes: vec![Scope::MeetingsRead], seal_key: secret.seal_key() };
        let now = Instant::now();
        let mut listener = Listener {
            _place: api.listeners.enter(&caller).ok().unwrap(),
            api,
            caller,
            meeting,
            after: 0,
            source: Source::Live,
            live,
            is_following: true,
            ready: VecDeque::new(),
            checked_at: now,
            beats_at: now + HEARTBEAT,
            ends_at: now + STREAM_MAX,
        };
        let mut heard = Vec::new();
        while heard.len() < 6 {
            assert!(listener.next().await.is_some());
            heard.push(listener.after);
        }
        // A page is taken at once, so its last number stands for all of it.
        assert_eq!(heard, [7; 6]);
        drop(sender);
        assert!(listener.next().await.is_none(), "what waited was heard already");
        task.stop().await;
        listener.api.store.close().await;
        let _ = std::fs::remove_dir_all(&folder);
    }
}
