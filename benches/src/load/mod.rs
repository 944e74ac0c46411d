//! The load generator: many participants that two threads play, over real ICE, DTLS and SRTP, against any server that
//! speaks the client protocol.
//!
//! ```text
//! options     the command line
//! scenario    who joins what, and when what is measured
//! signal      the client's side of the signalling protocol
//! seam        what signalling and media tell one another
//! engine      the media of all members: sockets, crypto, schedules, counting
//! plan        rates and sizes
//! payload     what a generated packet says about itself
//! process     processor time and memory, as Linux tells
//! report      the table and the JSON
//! ```

pub mod engine;
pub mod options;
mod payload;
pub mod plan;
pub mod process;
pub mod report;
pub mod scenario;
pub mod seam;
pub mod signal;

pub use scenario::{RunError, run};
