//! The rule for a meeting that everybody has left: where its room is empty and nobody knocks for half an hour, its gathering is
//! over. Who waits is told, and what was decided about people in it is forgotten.

use crate::gathering;
use crate::ids::MeetingId;
use crate::meetings::lobby::IDLE_MAX;
use crate::meetings::window::window;
use crate::moment::Moment;
use crate::store::audit::NewEntry;
use crate::store::events::NewEvent;
use crate::store::{Store, StoreError, Write};
use consilium_signaling::rooms::Rooms;
use serde_json::json;
use std::time::Duration;

/// How often it is looked who is there.
pub(super) const INTERVAL: Duration = Duration::from_secs(60);

/// One look at `now`, at the rooms of this server and at every gathering that is stored. Other servers' rooms are known by the
/// marks that their own looks leave.
pub async fn sweep(store: &Store, rooms: &Rooms, now: Moment) -> Result<(), StoreError> {
    let occupied = rooms.occupied().await;
    let meetings: Vec<_> = occupied.iter().filter_map(|room| MeetingId::parse(room)).collect();
    if !meetings.is_empty() {
        let mut write = store.write().await?;
        for meeting in &meetings {
            if let Err(error) = mark(&mut write, meeting, now).await {
                tracing::warn!(%error, %meeting, "it was not noted that somebody is in a meeting");
            }
        }
        write.commit().await?;
    }
    let latest = i64::try_from(IDLE_MAX.as_millis()).unwrap_or(0);
    for gathering in store.unused_gatherings(Moment::from_ms(now.ms() - latest)).await? {
        if let Err(error) = close_if_idle(store, &gathering.meeting, now).await {
            // The others are over all the same.
            tracing::warn!(%error, meeting = %gathering.meeting, "it could not be looked whether a meeting is over");
        }
    }
    Ok(())
}

async fn mark(write: &mut Write, meeting: &MeetingId, now: Moment) -> Result<(), StoreError> {
    let meeting = write.meeting(meeting).await?;
    gathering::touch(write, &meeting, "system", now).await?;
    Ok(())
}

async fn close_if_idle(store: &Store, meeting: &MeetingId, now: Moment) -> Result<(), StoreError> {
    let mut write = store.write().await?;
    let exceptions = write.exceptions(meeting).await?;
    let window = window(&write.meeting(meeting).await?, &exceptions, now);
    // Somebody may have knocked since it was found.
    let gathering = write.gathering(meeting).await?;
    if !gathering.is_some_and(|gathering| gathering.ended_at.is_none() && gathering.is_idle(window.as_ref(), now)) {
        return Ok(());
    }
    write.delete_places(meeting).await?;
    write.delete_gathering(meeting).await?;
    let subject = meeting.as_str();
    write.append_event(now, &NewEvent { kind: "meeting.closed", subject, body: json!({"meeting": meeting}) }).await?;
    let entry = NewEntry { actor: "system", action: "meeting.closed", subject, details: &[] };
    write.append_audit(now, &entry).await?;
    write.commit().await
}
