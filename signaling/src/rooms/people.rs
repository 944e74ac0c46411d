//! What the application asks of a room and does in it, in plain types: people, words to them, and the end. A room that does
//! not exist, or somebody who is not in it, is no error here: it is what the application wanted to know.

use super::{Rooms, call};
use crate::access::Claims;
use crate::room::people::Revision;
use crate::room::permission::Permission;
use crate::room::{Now, Person, Room};
use crate::stats::SessionEnd;
use livekit_protocol::data_packet::Kind;
use livekit_protocol::{DisconnectReason, SendDataRequest};
use std::collections::HashMap;

/// A room as it is at this moment.
#[derive(Clone, PartialEq, Eq)]
pub struct RoomState {
    /// Milliseconds since the Unix epoch.
    pub opened_at_ms: i64,
    /// In the order in which they joined.
    pub people: Vec<Person>,
}

/// What matters of a room to somebody who comes to its door.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Company {
    pub people: usize,
    /// The one who was asked about is among them.
    pub is_here: bool,
    /// Somebody is among them whose attributes are as asked for.
    pub has_such: bool,
}

/// Whom a message of the application is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Audience {
    Everybody,
    /// Those of these identities who are there; an empty list is nobody.
    Only(Vec<String>),
}

impl Rooms {
    pub async fn state(&self, room: &str) -> Option<RoomState> {
        let state = |room: &mut Room, _| RoomState { opened_at_ms: room.opened_at_ms(), people: room.people() };
        call(&self.find(room)?, state).await
    }

    /// Counted where the people are: each join asks, and a meeting that comes back from a failure is asked by all at once.
    pub async fn company(&self, room: &str, identity: &str, is_such: fn(&HashMap<String, String>) -> bool) -> Company {
        let Some(handle) = self.find(room) else { return Company::default() };
        let identity = identity.to_owned();
        let company = move |room: &mut Room, _| Company {
            people: room.participants_len(),
            is_here: room.is_here(&identity),
            has_such: room.attributes().any(is_such),
        };
        call(&handle, company).await.unwrap_or_default()
    }

    /// Whether this server has the room.
    pub fn is_open(&self, room: &str) -> bool {
        self.find(room).is_some()
    }

    /// The names of all rooms in which somebody is.
    pub async fn occupied(&self) -> Vec<String> {
        let handles: Vec<_> =
            self.inner.by_name.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect();
        let mut names = Vec::new();
        for (name, handle) in handles {
            if call(&handle, |room: &mut Room, _| room.participants_len()).await.is_some_and(|people| people > 0) {
                names.push(name);
            }
        }
        names
    }

    pub async fn is_here(&self, room: &str, identity: &str) -> bool {
        let Some(handle) = self.find(room) else { return false };
        let identity = identity.to_owned();
        call(&handle, move |room: &mut Room, _| room.is_here(&identity)).await.unwrap_or(false)
    }

    /// A reliable message from the server itself: clients are told no sender of it. `topic` says what it is.
    pub async fn announce(&self, room: &str, audience: Audience, topic: &str, payload: Vec<u8>) {
        let Some(handle) = self.find(room) else { return };
        let destination_identities = match audience {
            Audience::Everybody => Vec::new(),
            // In the protocol, an empty list is everybody.
            Audience::Only(identities) if identities.is_empty() => return,
            Audience::Only(identities) => identities,
        };
        let request = SendDataRequest {
            data: payload,
            kind: Kind::Reliable.into(),
            topic: Some(topic.to_owned()),
            destination_identities,
            ..Default::default()
        };
        let sent = call(&handle, move |room: &mut Room, _| room.send_data(request)).await;
        if let Some(Err(error)) = sent {
            tracing::error!(%error, topic, "a message of the application was not sent");
        }
    }

    /// Mutes every sound of somebody's. Returns of how many tracks.
    pub async fn silence(&self, room: &str, identity: &str) -> usize {
        let Some(handle) = self.find(room) else { return 0 };
        let identity = identity.to_owned();
        call(&handle, move |room: &mut Room, _| room.silence(&identity)).await.unwrap_or(0)
    }

    /// Who the claims are about, if they are there, is from now on what the claims say, and may do what they allow.
    pub async fn revise(&self, room: &str, claims: &Claims) {
        let Some(handle) = self.find(room) else { return };
        let identity = claims.identity.clone();
        let revision = Revision {
            name: claims.name.clone(),
            attributes: claims.attributes.clone(),
            permission: Permission::from_grants(&claims.video),
        };
        // Whoever is not there is asked about when they come.
        let _ = call(&handle, move |room: &mut Room, _| room.revise(&identity, revision)).await;
    }

    /// Their client is told not to come back by itself. `false` where they were not there.
    pub async fn eject(&self, room: &str, identity: &str) -> bool {
        let Some(handle) = self.find(room) else { return false };
        let identity = identity.to_owned();
        let removed = call(&handle, move |room: &mut Room, now| room.remove_participant(now, &identity)).await;
        matches!(removed, Some(Ok(())))
    }

    pub async fn set_max_participants(&self, room: &str, max: u32) {
        let Some(handle) = self.find(room) else { return };
        // One that ended meanwhile needs no limit.
        let _ = call(&handle, move |room: &mut Room, _| room.set_max_participants(max)).await;
    }

    /// Everybody leaves, and the room is over.
    pub async fn end(&self, room: &str) {
        let Some(handle) = self.find(room) else { return };
        let close = |room: &mut Room, now: Now| room.close(now, DisconnectReason::RoomDeleted, SessionEnd::RoomDeleted);
        // One that ended meanwhile is over too.
        let _ = call(&handle, close).await;
        self.forget(room, handle.id);
    }
}
