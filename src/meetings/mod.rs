//! Meetings, their times and who is invited: what they are, and what is impossible. It knows neither SQL nor HTTP, and is
//! told the time.
//!
//! ```text
//! schedule      when: local times in a zone, recurrence, occurrences
//! meeting       what is scheduled, and the checks of what is wanted
//! invitation    who is invited, in which role, and the secret of their link
//! admission     who waits by the meeting's policy; what a role may do in the room
//! window        when links open a meeting
//! lobby         who stands at the door, and what happens to who arrives
//! ```

pub mod admission;
pub mod invitation;
pub mod lobby;
pub mod meeting;
pub mod schedule;
pub mod window;

/// A field of what is wanted, and what is wrong with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flaw {
    /// As in the API's bodies.
    pub field: &'static str,
    /// A sentence for a person.
    pub reason: &'static str,
}

impl Flaw {
    pub(crate) const fn new(field: &'static str, reason: &'static str) -> Self {
        Self { field, reason }
    }
}
