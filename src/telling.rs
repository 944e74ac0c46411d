//! What those in a meeting hear of an event: who of them, and in which words. The same on the data channel of the room and on
//! the endpoint of events, so that who missed something on one finds it on the other.

use crate::store::events::Event;
use serde_json::json;

/// Who is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hearers {
    Everybody,
    /// Chair, coordinators and keys: who waits at the door, who was sent out, and whatever nobody thought of here.
    Hosts,
}

/// By the noun before the dot.
pub fn hearers(kind: &str) -> Hearers {
    match kind.split('.').next().unwrap_or_default() {
        "meeting" | "case" | "outcome" | "quorum" | "attendance" | "presence" => Hearers::Everybody,
        _ => Hearers::Hosts,
    }
}

/// JSON: `sequence`, `at`, `kind`, `subject` (the meeting) and `body`, which names things and people by identifier.
pub fn message(event: &Event) -> String {
    let Event { sequence, at, kind, subject, body } = event;
    json!({"sequence": sequence, "at": at, "kind": kind, "subject": subject, "body": body}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lobby_and_what_nobody_thought_of_are_for_hosts() {
        for (kind, expected) in [
            ("lobby.knocked", Hearers::Hosts),
            ("participant.removed", Hearers::Hosts),
            ("case.started", Hearers::Everybody),
            ("outcome.confirmed", Hearers::Everybody),
            ("quorum.changed", Hearers::Everybody),
            ("meeting.locked", Hearers::Everybody),
            ("presence.joined", Hearers::Everybody),
            ("attendance.ready", Hearers::Everybody),
            ("invitation.created", Hearers::Hosts),
            ("cases.started", Hearers::Hosts),
            ("", Hearers::Hosts),
        ] {
            assert_eq!(hearers(kind), expected, "{kind}");
        }
    }
}
