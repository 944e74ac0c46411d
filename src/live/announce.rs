//! An event as a message on the data channel, from the server to those in the room whom it concerns. Clients are told no sender
//! of it, which nobody else can bring about; and its number, so that who missed some can ask for them.

use crate::ids::MeetingId;
use crate::store::events::Event;
use crate::store::{Store, StoreError};
use crate::telling::{Hearers, hearers, message};
use consilium_signaling::rooms::{Audience, Rooms};

/// What the message is, to clients.
const TOPIC: &str = "consilium.event";

pub(super) async fn announce(
    store: &Store,
    rooms: &Rooms,
    meeting: &MeetingId,
    event: &Event,
) -> Result<(), StoreError> {
    let audience = match hearers(&event.kind) {
        Hearers::Everybody => Audience::Everybody,
        // As the invitations are now: whoever was a host a moment ago is told nothing more.
        Hearers::Hosts => {
            let hosts = store.hosts(meeting).await?;
            Audience::Only(hosts.iter().map(ToString::to_string).collect())
        }
    };
    rooms.announce(meeting.as_str(), audience, TOPIC, message(event).into_bytes()).await;
    Ok(())
}
