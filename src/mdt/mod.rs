//! What a multidisciplinary team does in a meeting: the list of cases, their outcomes, who was there for which case, whether
//! the required specialties were, and the report of it all. It knows neither SQL nor HTTP, and is told the time.
//!
//! ```text
//! sitting       which occurrence of a series is meant at a moment
//! reference     how a case is called, without telling whose it is
//! prose         longer texts: notes, outcomes, reasons
//! spans         stretches of time, and how they overlap
//! case          one case: its place in the list, its stage, its timer
//! outcome       what was decided: a draft, then locked, then amended
//! attendance    who was present for how long, per case
//! quorum        which required specialties are missing
//! report        all of it, as tables and as a page to print
//! ```

pub mod attendance;
pub mod case;
pub mod outcome;
pub mod prose;
pub mod quorum;
pub mod reference;
pub mod report;
pub mod sitting;
pub mod spans;

/// Why something cannot be done with a case as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It is being discussed already.
    IsCurrent,
    /// It is not being discussed.
    NotCurrent,
    /// Its timer runs already.
    IsRunning,
    /// Its timer stands already.
    NotRunning,
    /// It was discussed, so it stays in the list.
    HasBegun,
    /// Its timer was started too often.
    TooManySpans,
    /// The chair has confirmed the outcome, which locks it.
    OutcomeConfirmed,
    /// Only what is confirmed is amended; a draft is edited.
    OutcomeNotConfirmed,
    /// There is nothing to confirm.
    OutcomeEmpty,
    TooManyAmendments,
}
