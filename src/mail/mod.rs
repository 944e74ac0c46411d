//! Invitations, changes and cancellations by mail, as calendars take them in (RFC 6047). Who is told what follows from what
//! their calendar was told last and what is true now; so a change that is taken back before it was told is no mail, and no
//! order of events leads to a wrong calendar.
//!
//! ```text
//! plan          what a calendar should be told: pure
//! planner       the same for the events as they come
//! message       a mail, from what is true when it leaves: pure
//! smtp          how it leaves
//! ```

mod message;
pub mod plan;
mod planner;
mod smtp;

pub use planner::MailPlanner;
pub use smtp::{MailError, Smtp};

use crate::ids::{InvitationId, MeetingId};
use serde::{Deserialize, Serialize};

/// There is one mail server.
const TARGET: &str = "smtp";
pub(crate) const REQUEST: &str = "request";
pub(crate) const CANCEL: &str = "cancel";

/// What is put into the outbox: for whom. What they are told is looked up when the mail leaves.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) meeting: MeetingId,
    pub(crate) invitation: InvitationId,
    address: String,
}
