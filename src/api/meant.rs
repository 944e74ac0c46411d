//! Which occurrence of a meeting a request is about: the one that it names, or the one that is on, or comes next.

use super::Api;
use super::problem::{Code, Problem};
use crate::ids::MeetingId;
use crate::mdt::sitting;
use crate::meetings::Flaw;
use crate::meetings::meeting::Meeting;
use crate::meetings::schedule::{Occurrence, parse_local};
use crate::moment::Moment;
use crate::store::Write;
use crate::store::meetings::Exception;
use chrono::NaiveDateTime;
use serde::Deserialize;

const UNKNOWN: &str = "No such occurrence of this meeting takes place.";

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct OccurrenceQuery {
    /// Local start by the rule, `2026-12-01T08:30:00`. Absent: the occurrence that is on, else the next, else the last.
    #[param(pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$")]
    pub(super) occurrence: Option<String>,
}

/// For a query. What has a list of cases is found by its name, even if the meeting's times are others by now.
pub(super) async fn meant(
    api: &Api,
    id: &MeetingId,
    original: Option<&str>,
    now: Moment,
) -> Result<(Meeting, Occurrence), Problem> {
    let (meeting, exceptions) = (api.store.meeting(id).await?, api.store.exceptions(id).await?);
    let occurrence = match find(&meeting, &exceptions, original, now)? {
        Found::Takes(occurrence) => occurrence,
        Found::Unknown(Some(original)) if api.store.has_cases(id, original).await? => sitting::past(&meeting, original),
        Found::Unknown(_) => return Err(Problem::new(Code::InvalidQuery).with_detail(UNKNOWN)),
    };
    Ok((meeting, occurrence))
}

/// For a field `occurrence` of a body, in the transaction of the change.
pub(super) async fn meant_in(
    write: &mut Write,
    id: &MeetingId,
    original: Option<&str>,
    now: Moment,
) -> Result<(Meeting, Occurrence), Problem> {
    let (meeting, exceptions) = (write.meeting(id).await?, write.exceptions(id).await?);
    let occurrence = match find(&meeting, &exceptions, original, now)? {
        Found::Takes(occurrence) => occurrence,
        Found::Unknown(Some(original)) if write.has_cases(id, original).await? => sitting::past(&meeting, original),
        Found::Unknown(_) => return Err(vec![Flaw::new("occurrence", UNKNOWN)].into()),
    };
    Ok((meeting, occurrence))
}

/// What the meeting's times say.
enum Found {
    Takes(Occurrence),
    /// No such occurrence takes place; with its name, where it is one.
    Unknown(Option<NaiveDateTime>),
}

fn find(meeting: &Meeting, exceptions: &[Exception], original: Option<&str>, now: Moment) -> Result<Found, Problem> {
    let Some(text) = original else {
        // A series of which every occurrence is cancelled has nothing in it.
        return sitting::at(meeting, exceptions, now).map(Found::Takes).ok_or_else(|| Code::NotFound.into());
    };
    let Some(original) = parse_local(text) else { return Ok(Found::Unknown(None)) };
    Ok(sitting::named(meeting, exceptions, original).map_or(Found::Unknown(Some(original)), Found::Takes))
}
