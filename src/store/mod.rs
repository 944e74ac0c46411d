//! What must outlive the server, in SQLite (one file in the data directory) or in PostgreSQL (for several servers). SQL is
//! spoken here and nowhere else; the statements are the same for both.
//!
//! ```text
//! connection    pools, and how each database is set up
//! migrations    the schema, in numbered files, and what keeps two versions of it apart
//! write         a transaction that changes something
//! events        what happened, in order, for whoever tells others of it
//! audit         who did what: a chain of hashes that shows when a link was changed
//! backup        copies of the SQLite file, there and back
//! readers       how far those who follow the events have come
//! outbox        what is on its way to others
//! retention     what is over, and goes
//! api_keys, idempotency, meetings, invitations, lobby, links, feeds, mailed, webhooks, users, sessions, cases, presence, sittings
//!               one file for each kind of row
//! ```
//!
//! Portable SQL: identifiers are texts, times are milliseconds since the Unix epoch, truth is 0 or 1, whole numbers are
//! `BIGINT`, JSON is a text; placeholders are `$1`, `$2`.

pub mod api_keys;
pub mod audit;
mod backup;
pub mod cases;
mod connection;
mod error;
pub mod events;
pub mod feeds;
pub mod idempotency;
pub mod invitations;
pub mod links;
pub mod lobby;
pub mod mailed;
pub mod meetings;
mod migrations;
pub mod outbox;
pub mod presence;
pub mod readers;
mod retention;
pub mod sessions;
pub mod sittings;
pub mod users;
pub mod webhooks;
mod write;

pub use backup::{BackupError, restore};
pub use connection::{Place, Store};
pub use error::StoreError;
pub use migrations::MigrationError;
pub use write::Write;

pub type Result<T, E = StoreError> = std::result::Result<T, E>;
