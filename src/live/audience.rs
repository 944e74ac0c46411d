//! Who in the room hears of an event. Pages learn of everything else by asking for it.

/// Who is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hearers {
    Everybody,
    /// Chair and coordinators: who waits at the door, and who was sent out, is not for everybody's eyes.
    Hosts,
    Nobody,
}

/// By the noun before the dot.
pub(super) fn hearers(kind: &str) -> Hearers {
    match kind.split('.').next().unwrap_or_default() {
        "case" | "outcome" | "quorum" | "meeting" => Hearers::Everybody,
        "lobby" | "participant" => Hearers::Hosts,
        // What nobody thought of here stays between the server and whoever may ask for it.
        _ => Hearers::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lobby_is_for_hosts_cases_for_everybody_and_the_rest_for_nobody() {
        for (kind, expected) in [
            ("lobby.knocked", Hearers::Hosts),
            ("participant.removed", Hearers::Hosts),
            ("case.started", Hearers::Everybody),
            ("outcome.confirmed", Hearers::Everybody),
            ("quorum.changed", Hearers::Everybody),
            ("meeting.locked", Hearers::Everybody),
            ("invitation.created", Hearers::Nobody),
            ("cases.started", Hearers::Nobody),
            ("", Hearers::Nobody),
        ] {
            assert_eq!(hearers(kind), expected, "{kind}");
        }
    }
}
