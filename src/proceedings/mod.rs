//! What happens while a meeting takes place, written down as it happens: each change of a case with its event and its audit
//! entry, who comes and goes, the quorum, and the end. What a case or a quorum is, [`crate::mdt`] decides.
//!
//! ```text
//! steps       a case goes on: the change, its event, its audit entry
//! sittings    people come and go; an occurrence begins and ends
//! stays       who is there, in memory: what another server ended by mistake goes on
//! recorder    the task that hears of the rooms, and looks after what a crash left open
//! ```

mod recorder;
mod sittings;
mod stays;
pub mod steps;

pub use recorder::{Recorder, RecorderSettings};
