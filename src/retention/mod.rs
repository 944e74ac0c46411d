//! How long what kind of data is kept, and the task that removes what is over.
//!
//! ```text
//! rules     days for each kind, and what they mean at a moment
//! apply     one round: batch by batch, each with its audit entry
//! task      a round every hour
//! ```

mod apply;
mod rules;
mod task;

pub use apply::{Removed, apply};
pub use rules::{Kind, Rules};
pub use task::RetentionTask;
