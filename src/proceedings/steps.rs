//! A case goes on: the change, the event that tells of it and the audit entry of who did it, in one transaction.

use crate::ids::MeetingId;
use crate::mdt::Refusal;
use crate::mdt::case::Case;
use crate::mdt::sitting;
use crate::meetings::meeting::Meeting;
use crate::meetings::schedule::format_local;
use crate::moment::Moment;
use crate::store::audit::{Detail, NewEntry};
use crate::store::events::NewEvent;
use crate::store::{Result, Write};
use chrono::NaiveDateTime;
use serde_json::json;

/// The server itself, in the audit log.
pub(super) const SYSTEM: &str = "system";

/// Events name the case and never its reference: they leave the server.
pub async fn record(write: &mut Write, actor: &str, kind: &'static str, case: &Case, now: Moment) -> Result<()> {
    let (id, meeting) = (case.id.as_str(), case.meeting.as_str());
    let body = json!({
        "meeting": meeting,
        "occurrence": format_local(case.occurrence),
        "case": id,
        "version": case.version,
        "outcome_version": case.outcome.version,
    });
    write.append_event(now, &NewEvent { kind, subject: meeting, body }).await?;
    let details = [
        ("meeting", Detail::Id((&case.meeting).into())),
        ("version", Detail::Number(case.version)),
        ("outcome_version", Detail::Number(case.outcome.version)),
    ];
    write.append_audit(now, &NewEntry { actor, action: kind, subject: id, details: &details }).await
}

/// The list has another order.
pub async fn record_order(
    write: &mut Write,
    actor: &str,
    meeting: &MeetingId,
    occurrence: NaiveDateTime,
    now: Moment,
) -> Result<()> {
    let (kind, subject) = ("case.reordered", meeting.as_str());
    let body = json!({"meeting": subject, "occurrence": format_local(occurrence)});
    write.append_event(now, &NewEvent { kind, subject, body }).await?;
    write.append_audit(now, &NewEntry { actor, action: kind, subject, details: &[] }).await
}

/// The meeting has another time: lists that were prepared go with it, where the new time leaves no doubt whereto.
pub async fn follow_schedule(write: &mut Write, actor: &str, meeting: &Meeting, now: Moment) -> Result<()> {
    for from in write.prepared_lists(&meeting.id).await? {
        let Some(to) = sitting::follows(meeting, from) else { continue };
        if write.has_cases(&meeting.id, to).await? {
            continue;
        }
        write.move_list(&meeting.id, from, to).await?;
        let (kind, subject) = ("case.list_moved", meeting.id.as_str());
        let body = json!({"meeting": subject, "from": format_local(from), "occurrence": format_local(to)});
        write.append_event(now, &NewEvent { kind, subject, body }).await?;
        write.append_audit(now, &NewEntry { actor, action: kind, subject, details: &[] }).await?;
    }
    Ok(())
}

/// Ends the current case, at `at`, and keeps who was present for it, and who had to be. The inner result is what the case says to it.
pub async fn finish(
    write: &mut Write,
    actor: &str,
    case: &mut Case,
    at: Moment,
    now: Moment,
) -> Result<Result<(), Refusal>> {
    let facts = write.attendance_facts(&case.meeting, case.began_at().unwrap_or(at)).await?;
    let required = write.meeting(&case.meeting).await?.required_specialties;
    if let Err(refusal) = case.finish(&facts, &required, at) {
        return Ok(Err(refusal));
    }
    write.update_case(case).await?;
    record(write, actor, "case.finished", case, now).await?;
    Ok(Ok(()))
}
