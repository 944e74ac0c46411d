//! Which occurrence of a meeting a request is about: the one that it names, or the one that is on, or comes next.

use super::Api;
use super::problem::{Code, Problem};
use crate::ids::MeetingId;
use crate::mdt::sitting;
use crate::meetings::meeting::Meeting;
use crate::meetings::schedule::{Occurrence, parse_local};
use crate::moment::Moment;
use crate::store::Write;
use crate::store::meetings::Exception;
use serde::Deserialize;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct OccurrenceQuery {
    /// Local start by the rule, `2026-12-01T08:30:00`. Absent: the occurrence that is on, else the next, else the last.
    #[param(pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$")]
    pub(super) occurrence: Option<String>,
}

pub(super) async fn meant(
    api: &Api,
    id: &MeetingId,
    original: Option<&str>,
    now: Moment,
) -> Result<(Meeting, Occurrence), Problem> {
    let (meeting, exceptions) = (api.store.meeting(id).await?, api.store.exceptions(id).await?);
    let occurrence = find(&meeting, &exceptions, original, now)?;
    Ok((meeting, occurrence))
}

/// The same in a transaction.
pub(super) async fn meant_in(
    write: &mut Write,
    id: &MeetingId,
    original: Option<&str>,
    now: Moment,
) -> Result<(Meeting, Occurrence), Problem> {
    let (meeting, exceptions) = (write.meeting(id).await?, write.exceptions(id).await?);
    let occurrence = find(&meeting, &exceptions, original, now)?;
    Ok((meeting, occurrence))
}

fn find(
    meeting: &Meeting,
    exceptions: &[Exception],
    original: Option<&str>,
    now: Moment,
) -> Result<Occurrence, Problem> {
    let found = match original {
        Some(text) => parse_local(text).and_then(|original| sitting::named(meeting, exceptions, original)),
        None => sitting::at(meeting, exceptions, now),
    };
    found.ok_or_else(|| Problem::new(Code::NotFound).with_detail("No such occurrence of this meeting takes place."))
}
