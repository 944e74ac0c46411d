//! The load generator: many participants that a few threads play, over real ICE, DTLS and SRTP, against any server that
//! speaks the client protocol.
//!
//! ```text
//! seam        what signalling and media tell one another
//! ```

pub mod seam;
