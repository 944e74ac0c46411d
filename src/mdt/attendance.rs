//! Who was present for a case. Present is who was in the room at any time while the case's timer ran; for how long is told
//! in seconds, so whoever asks for more than a glance can. The lobby is not the room, and a pause is not the case.

use super::spans::{Span, Spans};
use crate::ids::InvitationId;
use crate::meetings::invitation::Role;
use crate::moment::Moment;
use crate::text::Name;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Somebody who is invited, as far as attendance needs to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    pub invitation: InvitationId,
    pub role: Role,
    pub specialty: Option<Name>,
    pub is_revoked: bool,
}

/// A stay of somebody in the room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stay {
    pub invitation: InvitationId,
    pub span: Span,
}

/// What attendance is computed from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    pub people: Vec<Person>,
    pub stays: Vec<Stay>,
}

/// One person and one case. Role and specialty are those of the time when it was computed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attendee {
    pub invitation: InvitationId,
    pub role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specialty: Option<Name>,
    pub present_ms: i64,
}

impl Attendee {
    pub fn is_present(&self) -> bool {
        self.present_ms > 0
    }

    /// Begun seconds, so that whoever is present has one.
    pub fn seconds(&self) -> i64 {
        seconds(self.present_ms)
    }
}

/// Begun seconds.
pub fn seconds(ms: i64) -> i64 {
    ms.max(0).saturating_add(999) / 1_000
}

impl Facts {
    /// Everybody who is invited or was there, in the order of [`Facts::people`], with their time within `spans`.
    pub fn attendance(&self, spans: &[Span], now: Moment) -> Vec<Attendee> {
        let times = Spans::covered(spans.iter().copied(), now);
        let mut stays: HashMap<&InvitationId, Vec<Span>> = HashMap::new();
        for stay in &self.stays {
            stays.entry(&stay.invitation).or_default().push(stay.span);
        }
        let attendees = self.people.iter().map(|person| {
            let own = stays.remove(&person.invitation).unwrap_or_default();
            let present_ms = Spans::covered(own, now).overlap_ms(&times);
            let Person { invitation, role, specialty, .. } = person.clone();
            (person.is_revoked, Attendee { invitation, role, specialty, present_ms })
        });
        // Whoever was uninvited and was not there has nothing to do with it.
        attendees.filter(|(is_revoked, one)| !is_revoked || one.is_present()).map(|(_, one)| one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment::from_ms(seconds * 1_000)
    }

    fn person(role: Role) -> Person {
        Person { invitation: InvitationId::new(at(0)), role, specialty: None, is_revoked: false }
    }

    fn stay(person: &Person, from: i64, to: Option<i64>) -> Stay {
        Stay { invitation: person.invitation.clone(), span: Span::new(at(from), to.map(at)) }
    }

    #[test]
    fn a_late_joiner_is_absent_from_the_first_case_and_present_in_the_second() {
        let (early, late, absent) = (person(Role::Chair), person(Role::Core), person(Role::Core));
        let stays = vec![stay(&early, 0, Some(700)), stay(&late, 400, None)];
        let facts = Facts { people: vec![early, late, absent], stays };
        let first = [Span::new(at(60), Some(at(240)))];
        // With a pause, in which somebody who leaves misses nothing.
        let second = [Span::new(at(300), Some(at(600))), Span::new(at(900), None)];
        let seconds =
            |spans: &[Span]| -> Vec<i64> { facts.attendance(spans, at(1_000)).iter().map(Attendee::seconds).collect() };
        assert_eq!(seconds(&first), [180, 0, 0]);
        assert_eq!(seconds(&second), [300, 300, 0]);
    }

    #[test]
    fn two_devices_are_one_person_and_the_uninvited_are_listed_only_if_they_were_there() {
        let mut people = [person(Role::Chair), person(Role::Guest), person(Role::Guest)];
        people[1].is_revoked = true;
        people[2].is_revoked = true;
        let stays = vec![stay(&people[0], 0, Some(50)), stay(&people[0], 40, Some(90)), stay(&people[1], 10, Some(11))];
        let facts = Facts { people: people.to_vec(), stays };
        let attendance = facts.attendance(&[Span::new(at(0), Some(at(100)))], at(200));
        assert_eq!(attendance.iter().map(Attendee::seconds).collect::<Vec<_>>(), [90, 1]);
        assert_eq!(seconds(1), 1, "a glance is presence too");
        assert_eq!((seconds(0), seconds(-5), seconds(1_001)), (0, 0, 2));
    }
}
