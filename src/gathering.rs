//! How a gathering that a host ended begins anew: because a host joins, or because the meeting has opened again since and
//! somebody does something in it. Its lock stays as it is.

use crate::meetings::lobby::{Gathering, has_ended};
use crate::meetings::meeting::Meeting;
use crate::meetings::window::window;
use crate::moment::Moment;
use crate::store::audit::NewEntry;
use crate::store::events::NewEvent;
use crate::store::{Result, Store, Write};
use serde_json::json;

/// Somebody is in the room of this meeting, at its door, or decides about it. What was ended at an earlier opening begins anew.
pub async fn touch(write: &mut Write, meeting: &Meeting, actor: &str, now: Moment) -> Result<Gathering> {
    let known = write.touch_gathering(&meeting.id, now).await?;
    if known.ended_at.is_none() {
        return Ok(known);
    }
    let exceptions = write.exceptions(&meeting.id).await?;
    match has_ended(Some(&known), window(meeting, &exceptions, now).as_ref()) {
        true => Ok(known),
        false => begin_anew(write, known, actor, now).await,
    }
}

/// A host joins: whatever was ended goes on.
pub async fn join_as_host(store: &Store, meeting: &Meeting, actor: &str, now: Moment) -> Result<()> {
    let is_ended = |gathering: &Gathering| gathering.ended_at.is_some();
    // Without the lock, for nearly everybody.
    if !store.gathering(&meeting.id).await?.is_some_and(|gathering| is_ended(&gathering)) {
        return Ok(());
    }
    let mut write = store.write().await?;
    if let Some(gathering) = write.gathering(&meeting.id).await?.filter(is_ended) {
        begin_anew(&mut write, gathering, actor, now).await?;
        write.commit().await?;
    }
    Ok(())
}

async fn begin_anew(write: &mut Write, gathering: Gathering, actor: &str, now: Moment) -> Result<Gathering> {
    let gathering = Gathering { ended_at: None, occupied_at: now, ..gathering };
    write.put_gathering(&gathering).await?;
    let (kind, subject) = ("meeting.reopened", gathering.meeting.as_str());
    write.append_event(now, &NewEvent { kind, subject, body: json!({"meeting": subject}) }).await?;
    write.append_audit(now, &NewEntry { actor, action: kind, subject, details: &[] }).await?;
    Ok(gathering)
}
