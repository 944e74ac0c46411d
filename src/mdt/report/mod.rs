//! What a meeting's occurrence came to: its cases, their outcomes, who was present for each. As JSON the API shows it; here
//! are the tables and the page to print.

mod csv;
mod page;

pub use csv::{attendance_table, outcome_table};
pub use page::{page, style_hash};

use super::attendance::Attendee;
use super::case::Case;
use super::quorum::Quorum;
use crate::ids::InvitationId;
use crate::meetings::meeting::Meeting;
use crate::meetings::schedule::Occurrence;
use crate::moment::Moment;
use crate::text::Name;
use std::collections::HashMap;

#[derive(Clone, Debug)]
pub struct Report {
    pub meeting: Meeting,
    pub occurrence: Occurrence,
    pub made_at: Moment,
    /// By invitation; whoever was deleted since is missing.
    pub people: HashMap<InvitationId, Described>,
    /// In the order of the list.
    pub cases: Vec<Discussed>,
}

/// What is told of a person beside their role.
#[derive(Clone, Debug)]
pub struct Described {
    pub name: Name,
    pub site: Option<Name>,
}

#[derive(Clone, Debug)]
pub struct Discussed {
    pub case: Case,
    /// Nobody, for a case that was not begun.
    pub attendance: Vec<Attendee>,
    pub quorum: Quorum,
}

impl Discussed {
    /// With attendance and what was required as they were kept when the case was finished; `live` and `required` where it is
    /// not finished.
    pub fn new(case: Case, live: impl FnOnce(&Case) -> Vec<Attendee>, required: &[Name]) -> Self {
        let attendance = match &case.attendance {
            Some(kept) => kept.clone(),
            None if case.times.is_empty() => Vec::new(),
            None => live(&case),
        };
        let there = attendance.iter().filter(|one| one.is_present());
        let required = case.required.as_deref().unwrap_or(required);
        let quorum = Quorum::of(required, there.map(|one| (one.role, one.specialty.as_ref())));
        Self { case, attendance, quorum }
    }

    /// Whether it will change no more.
    pub fn is_final(&self) -> bool {
        self.case.attendance.is_some()
    }
}

impl Report {
    fn described(&self, attendee: &Attendee) -> (&str, &str) {
        let person = self.people.get(&attendee.invitation);
        (
            person.map_or("", |person| person.name.as_str()),
            person.and_then(|person| person.site.as_ref()).map_or("", Name::as_str),
        )
    }
}

#[cfg(test)]
mod tests;
