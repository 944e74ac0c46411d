//! Who is in the rooms of this server as far as it has written down, kept in memory: another server that takes this one for
//! dead ends their stays in the database, and only this one knows that they are still there. It writes nothing itself.

use crate::ids::{InvitationId, MeetingId};
use std::collections::{HashMap, HashSet};

/// By the media side's name of the participant. As many as are in the rooms.
#[derive(Default)]
pub(super) struct Stays(HashMap<String, Stay>);

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stay {
    pub(super) meeting: MeetingId,
    pub(super) invitation: InvitationId,
    /// How often it was ended by mistake.
    mistakes: u32,
}

impl Stays {
    pub(super) fn begin(&mut self, participant: &str, meeting: MeetingId, invitation: InvitationId) {
        self.0.insert(participant.to_owned(), Stay { meeting, invitation, mistakes: 0 });
    }

    /// It goes on under another name.
    pub(super) fn go_on(&mut self, participant: &str) {
        if let Some(stay) = self.0.get_mut(participant) {
            stay.mistakes = stay.mistakes.saturating_add(1);
        }
    }

    pub(super) fn end(&mut self, participant: &str) {
        self.0.remove(participant);
    }

    pub(super) fn end_all(&mut self, meeting: &MeetingId) {
        self.0.retain(|_, stay| stay.meeting != *meeting);
    }

    /// Under which the stay is written down now.
    pub(super) fn name(&self, participant: &str) -> String {
        named(participant, self.0.get(participant).map_or(0, |stay| stay.mistakes))
    }

    /// Those that go on and are not among `written`, which are written down as going on: participant, name, next name.
    pub(super) fn ended_by_mistake(&self, written: &HashSet<String>) -> Vec<(String, Stay, [String; 2])> {
        let names = self.0.iter().map(|(participant, stay)| {
            let next = named(participant, stay.mistakes.saturating_add(1));
            (participant.clone(), stay.clone(), [self.name(participant), next])
        });
        names.filter(|(_, _, [name, _])| !written.contains(name)).collect()
    }
}

fn named(participant: &str, mistakes: u32) -> String {
    match mistakes {
        0 => participant.to_owned(),
        number => format!("{participant}~{number}"),
    }
}
