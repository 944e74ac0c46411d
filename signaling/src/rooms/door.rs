//! The application's word at the door of each room: whom a good token lets in at this moment.

use super::{JoinError, Listeners, Rooms};
use crate::access::Claims;
use std::pin::Pin;
use std::sync::Arc;

/// Who comes in, as they may be now; or a kind sentence for who does not.
pub type Admission<'a> = Pin<Box<dyn Future<Output = Result<Claims, Denial>> + Send + 'a>>;

/// Why the application lets nobody in with these claims.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Denial {
    /// With a sentence for the person who wanted to join.
    NotAllowed(&'static str),
    /// The application cannot tell now.
    Unavailable,
}

impl From<Denial> for JoinError {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::NotAllowed(reason) => Self::Denied(reason),
            Denial::Unavailable => Self::Unavailable,
        }
    }
}

/// Asked at every join and every resume, with claims that were verified and that allow joining `room`.
pub trait Door: Send + Sync {
    /// It is asked a second time when somebody has joined, so that nobody slips in beside a decision that falls meanwhile.
    /// `rooms` are those that ask, for who is in them.
    fn admit<'a>(&'a self, rooms: &'a Rooms, room: String, claims: Claims) -> Admission<'a>;
}

/// A good token is enough.
pub struct OpenDoor;

impl Door for OpenDoor {
    fn admit<'a>(&'a self, _: &'a Rooms, _: String, claims: Claims) -> Admission<'a> {
        Box::pin(async { Ok(claims) })
    }
}

/// Where the application has its say.
#[derive(Clone)]
pub struct Hooks {
    pub door: Arc<dyn Door>,
    pub listeners: Listeners,
}

impl Default for Hooks {
    fn default() -> Self {
        Self { door: Arc::new(OpenDoor), listeners: Listeners::default() }
    }
}
