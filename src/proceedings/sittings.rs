//! People come and go: their stays, the sitting that the first of them begins, the quorum that each of them may change, and
//! the end, when nobody has been there for a while.

use super::steps::{self, SYSTEM};
use crate::ids::{InvitationId, MeetingId};
use crate::mdt::quorum::Quorum;
use crate::mdt::sitting;
use crate::meetings::schedule::format_local;
use crate::moment::Moment;
use crate::store::events::NewEvent;
use crate::store::presence::Arrival;
use crate::store::sittings::Sitting;
use crate::store::{Result, Store, StoreError, Write};
use serde_json::json;
use std::time::Duration;

/// `false` where there is nothing to write down.
pub(super) async fn arrive(store: &Store, arrival: &Arrival<'_>) -> Result<bool> {
    enter(store.write().await?, arrival).await
}

/// The stay of this name was ended by a server that took this one for dead. It never ended, so `arrival` goes on from there.
pub(super) async fn go_on(store: &Store, ended: &str, mut arrival: Arrival<'_>) -> Result<bool> {
    let mut write = store.write().await?;
    let Some(at) = write.stay_ended_at(ended).await? else { return Ok(false) };
    arrival.at = at;
    enter(write, &arrival).await
}

async fn enter(mut write: Write, arrival: &Arrival<'_>) -> Result<bool> {
    let invitation = match write.invitation(arrival.invitation).await {
        Err(StoreError::NotFound) => return Ok(false),
        found => found?,
    };
    if invitation.meeting != *arrival.meeting || !write.insert_stay(arrival).await? {
        return Ok(false);
    }
    record_presence(&mut write, "presence.joined", arrival.meeting, arrival.invitation, arrival.at).await?;
    if let Some(sitting) = begin(&mut write, arrival.meeting, arrival.at).await? {
        tell_quorum(&mut write, &sitting, arrival.at).await?;
    }
    write.commit().await?;
    Ok(true)
}

pub(super) async fn leave(
    store: &Store,
    participant: &str,
    meeting: &MeetingId,
    invitation: &InvitationId,
    at: Moment,
) -> Result<()> {
    let mut write = store.write().await?;
    if !write.end_stay(participant, at).await? {
        return Ok(());
    }
    record_presence(&mut write, "presence.left", meeting, invitation, at).await?;
    if let Some(sitting) = write.open_sitting(meeting).await? {
        tell_quorum(&mut write, &sitting, at).await?;
    }
    write.commit().await
}

/// The room is gone, and with it whoever was left in it.
pub(super) async fn close_room(store: &Store, run: &str, meeting: &MeetingId, at: Moment) -> Result<()> {
    let mut write = store.write().await?;
    let were_there = write.end_stays(run, meeting, at).await?;
    if let Some(sitting) = write.open_sitting(meeting).await?
        && write.deserted_since(&sitting).await?.is_some()
    {
        end(&mut write, &sitting, at).await?;
    } else if !were_there {
        return Ok(());
    }
    write.commit().await
}

/// Tells a quorum that changed without anybody coming or going, and ends what nobody has attended for longer than `grace`.
pub(super) async fn look_after(store: &Store, sitting: &Sitting, grace: Duration, now: Moment) -> Result<()> {
    let present = store.people_present(&sitting.meeting).await?;
    let required = store.meeting(&sitting.meeting).await?.required_specialties;
    let quorum = Quorum::of(&required, present.iter().map(|one| (one.role, one.specialty.as_ref())));
    if !present.is_empty() && sitting.missing.as_ref() == Some(&quorum.missing) {
        return Ok(());
    }
    // Something may have changed since; from here on it does not.
    let mut write = store.write().await?;
    let Some(sitting) = write.open_sitting(&sitting.meeting).await? else { return Ok(()) };
    match write.deserted_since(&sitting).await? {
        Some(since) if now.since(since) >= grace => end(&mut write, &sitting, now).await?,
        _ => tell_quorum(&mut write, &sitting, now).await?,
    }
    write.commit().await
}

/// The sitting that is open, or a new one of the occurrence that is meant now.
async fn begin(write: &mut Write, id: &MeetingId, now: Moment) -> Result<Option<Sitting>> {
    if let Some(sitting) = write.open_sitting(id).await? {
        return Ok(Some(sitting));
    }
    let (meeting, exceptions) = (write.meeting(id).await?, write.exceptions(id).await?);
    let Some(occurrence) = sitting::at(&meeting, &exceptions, now) else { return Ok(None) };
    let sitting = Sitting { meeting: id.clone(), occurrence: occurrence.original, began_at: now, missing: None };
    write.insert_sitting(&sitting).await?;
    // Nobody who comes now is here for what another occurrence left open.
    if let Some(mut case) = write.current_case(id).await?
        && case.occurrence != sitting.occurrence
    {
        // The case is the current one, and that is all it asks.
        let _ = steps::finish(write, SYSTEM, &mut case, now, now).await?;
    }
    Ok(Some(sitting))
}

/// A case that was still open ends when the last who talked about it left.
async fn end(write: &mut Write, sitting: &Sitting, now: Moment) -> Result<()> {
    let Some(left_at) = write.deserted_since(sitting).await? else { return Ok(()) };
    if let Some(mut case) = write.current_case(&sitting.meeting).await? {
        // One that was taken up after that was talked about by nobody.
        let at = case.times.last().map_or(left_at, |span| left_at.max(span.from));
        // Nobody is left to whom a refusal could be told.
        let _ = steps::finish(write, SYSTEM, &mut case, at, now).await?;
    }
    write.end_sitting(sitting, left_at).await?;
    let (kind, subject) = ("attendance.ready", sitting.meeting.as_str());
    let body = json!({"meeting": subject, "occurrence": format_local(sitting.occurrence)});
    write.append_event(now, &NewEvent { kind, subject, body }).await?;
    Ok(())
}

/// The names of specialties stay in the store; the event tells how many are missing.
async fn tell_quorum(write: &mut Write, sitting: &Sitting, now: Moment) -> Result<()> {
    let required = write.meeting(&sitting.meeting).await?.required_specialties;
    let present = write.people_present(&sitting.meeting).await?;
    let quorum = Quorum::of(&required, present.iter().map(|one| (one.role, one.specialty.as_ref())));
    if sitting.missing.as_ref() == Some(&quorum.missing) {
        return Ok(());
    }
    write.put_missing(sitting, &quorum.missing).await?;
    if sitting.missing.is_none() && required.is_empty() {
        return Ok(());
    }
    let (kind, subject) = ("quorum.changed", sitting.meeting.as_str());
    let body = json!({
        "meeting": subject,
        "occurrence": format_local(sitting.occurrence),
        "is_reached": quorum.is_reached(),
        "missing": quorum.missing.len(),
        "required": quorum.required.len(),
    });
    write.append_event(now, &NewEvent { kind, subject, body }).await?;
    Ok(())
}

async fn record_presence(
    write: &mut Write,
    kind: &'static str,
    meeting: &MeetingId,
    invitation: &InvitationId,
    now: Moment,
) -> Result<()> {
    let body = json!({"meeting": meeting, "invitation": invitation});
    write.append_event(now, &NewEvent { kind, subject: meeting.as_str(), body }).await?;
    Ok(())
}
