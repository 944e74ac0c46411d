//! What happens, told to other systems over HTTP, signed (PROTOCOL: `application/webhook+json`, and a token that holds the
//! hash of the body). No names: bodies are identifiers, kinds and numbers.
//!
//! ```text
//! endpoint      who is told, of what, and the secret that signs
//! address       where endpoints may be: pure
//! notice        what they are told: pure
//! fanout        puts it into the outbox, for each endpoint that wants it
//! planner       does so for the events of the product
//! listener      does so for what happens in rooms
//! sender        how it leaves
//! ```

pub mod address;
pub mod endpoint;
mod fanout;
mod listener;
mod notice;
mod planner;
mod sender;

pub use listener::listen;
pub use planner::WebhookPlanner;
pub use sender::{Sender, SenderError};
