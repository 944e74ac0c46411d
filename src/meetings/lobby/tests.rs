//! Every way in which somebody can stand at the door.

use super::*;
use crate::meetings::admission::Lobby;
use crate::meetings::meeting::{MeetingPlan, Settings};
use crate::meetings::schedule::Wanted;

const MINUTE: Duration = Duration::from_secs(60);

fn meeting(lobby: Lobby) -> Meeting {
    let plan = MeetingPlan {
        title: Name::new("Lung MDT").unwrap(),
        schedule: Wanted {
            start: "2026-12-01T08:30:00",
            time_zone: "Europe/London",
            duration_minutes: 60,
            recurrence: None,
        },
        capacity: 10,
        lobby,
        required_specialties: Vec::new(),
        settings: Settings::default(),
    };
    plan.check().unwrap().into_meeting("key_1".into(), Moment::from_ms(1))
}

fn start() -> Moment {
    Moment::from_rfc3339("2026-12-01T08:30:00Z").unwrap()
}

fn open() -> Window {
    crate::meetings::window::window(&meeting(Lobby::Nobody), &[], start()).unwrap()
}

fn place(standing: Standing) -> Place {
    let now = Moment::from_ms(1);
    Place::new(InvitationId::new(now), MeetingId::new(now), standing, start())
}

fn gathering() -> Gathering {
    Gathering::new(MeetingId::new(Moment::from_ms(1)), start())
}

/// A member who arrives in time, with nothing decided about anything.
fn arrival<'a>(meeting: &'a Meeting, window: &'a Window) -> Arrival<'a> {
    let window = Some(window);
    let (place, gathering, is_over) = (None, None, false);
    Arrival { meeting, role: Role::Core, place, gathering, window, is_over, is_here: false, has_host: false }
}

#[test]
fn without_a_decision_the_policy_says_who_waits() {
    for lobby in [Lobby::Nobody, Lobby::Guests, Lobby::Everyone] {
        let (meeting, window) = (meeting(lobby), open());
        for role in Role::ALL {
            let expected = if must_wait(lobby, role) { Decision::Wait } else { Decision::Enter };
            assert_eq!(
                decide(&Arrival { role, ..arrival(&meeting, &window) }, start()),
                expected,
                "{lobby:?} {role:?}"
            );
        }
    }
}

#[test]
fn a_decision_counts_more_than_the_policy() {
    let later = start().plus(KNOCK_AGAIN_AFTER);
    for lobby in [Lobby::Nobody, Lobby::Everyone] {
        let (meeting, window) = (meeting(lobby), open());
        for (standing, at_once, after_a_minute) in [
            (Standing::Waiting, Decision::Wait, Decision::Wait),
            (Standing::AwaitingNextCase, Decision::Wait, Decision::Wait),
            (Standing::Admitted, Decision::Enter, Decision::Enter),
            (Standing::Denied, Decision::Refuse(Refusal::Denied), Decision::Wait),
            (Standing::Removed, Decision::Wait, Decision::Wait),
            (Standing::Left, Decision::Wait, Decision::Wait),
            (Standing::Banned, Decision::Refuse(Refusal::Banned), Decision::Refuse(Refusal::Banned)),
        ] {
            let place = place(standing);
            // Nor does it help to be in the room still.
            for is_here in [false, true] {
                let arrival = Arrival { place: Some(&place), is_here, ..arrival(&meeting, &window) };
                assert_eq!(decide(&arrival, start()), at_once, "{standing:?}");
                assert_eq!(decide(&arrival, later), after_a_minute, "{standing:?}");
            }
        }
    }
}

#[test]
fn a_locked_meeting_takes_hosts_who_was_admitted_and_who_is_there() {
    let (meeting, window) = (meeting(Lobby::Nobody), open());
    let locked = Gathering { is_locked: true, ..gathering() };
    let arrival = Arrival { gathering: Some(&locked), ..arrival(&meeting, &window) };
    assert_eq!(decide(&arrival, start()), Decision::Refuse(Refusal::Locked));
    assert_eq!(decide(&Arrival { role: Role::Coordinator, ..arrival }, start()), Decision::Enter);
    assert_eq!(decide(&Arrival { is_here: true, ..arrival }, start()), Decision::Enter);
    let admitted = place(Standing::Admitted);
    assert_eq!(decide(&Arrival { place: Some(&admitted), ..arrival }, start()), Decision::Enter);
}

#[test]
fn outside_its_window_a_meeting_is_open_to_hosts_and_where_a_host_is() {
    let (meeting, window) = (meeting(Lobby::Nobody), open());
    let arrival = Arrival { window: None, ..arrival(&meeting, &window) };
    assert_eq!(decide(&arrival, start()), Decision::Refuse(Refusal::NotOpen));
    assert_eq!(decide(&Arrival { is_over: true, ..arrival }, start()), Decision::Refuse(Refusal::Ended));
    let arrival = Arrival { is_over: true, ..arrival };
    assert_eq!(decide(&Arrival { role: Role::Chair, ..arrival }, start()), Decision::Enter);
    assert_eq!(decide(&Arrival { has_host: true, ..arrival }, start()), Decision::Enter);
    assert_eq!(decide(&Arrival { is_here: true, ..arrival }, start()), Decision::Enter);
}

#[test]
fn what_was_ended_stays_so_until_a_host_is_there_or_the_next_occurrence_opens() {
    let (meeting, window) = (meeting(Lobby::Nobody), open());
    let ended = Gathering { ended_at: Some(start()), ..gathering() };
    let arrival = Arrival { gathering: Some(&ended), ..arrival(&meeting, &window) };
    assert_eq!(decide(&arrival, start()), Decision::Refuse(Refusal::Ended));
    assert_eq!(decide(&Arrival { window: None, is_here: true, ..arrival }, start()), Decision::Refuse(Refusal::Ended));
    assert_eq!(decide(&Arrival { role: Role::Chair, ..arrival }, start()), Decision::Enter);
    assert_eq!(decide(&Arrival { has_host: true, ..arrival }, start()), Decision::Enter);
    let day = Duration::from_secs(86_400);
    let next = Window { opens_at: start().plus(day), starts_at: start().plus(day), closes_at: start().plus(2 * day) };
    assert_eq!(decide(&Arrival { window: Some(&next), ..arrival }, start().plus(day)), Decision::Enter);
}

#[test]
fn a_cancelled_meeting_takes_nobody() {
    let (meeting, window) = (meeting(Lobby::Nobody).cancelled(start()).unwrap(), open());
    for role in Role::ALL {
        let arrival = Arrival { role, is_here: true, has_host: true, ..arrival(&meeting, &window) };
        assert_eq!(decide(&arrival, start()), Decision::Refuse(Refusal::Cancelled));
    }
}

#[test]
fn a_gathering_is_over_half_an_hour_after_the_last_person_but_not_before_it_began() {
    let window = open();
    let gathering = Gathering { occupied_at: window.opens_at, ..gathering() };
    assert!(!gathering.is_idle(Some(&window), window.starts_at));
    assert!(!gathering.is_idle(Some(&window), window.starts_at.plus(29 * MINUTE)));
    assert!(gathering.is_idle(Some(&window), window.starts_at.plus(IDLE_MAX)));
    assert!(gathering.is_idle(None, window.opens_at.plus(IDLE_MAX)));
    let used = Gathering { occupied_at: window.starts_at.plus(50 * MINUTE), ..gathering };
    assert!(!used.is_idle(Some(&window), window.starts_at.plus(79 * MINUTE)));
    assert!(used.is_idle(Some(&window), window.starts_at.plus(80 * MINUTE)));
}

#[test]
fn a_ticket_is_no_link_and_a_link_is_no_ticket() {
    let ticket = Ticket::new(InvitationId::new(Moment::from_ms(1)));
    let text = ticket.expose();
    assert_eq!(Ticket::parse(&text), Some(ticket.clone()));
    assert_eq!(LinkSecret::parse(&text), None);
    assert_eq!(Ticket::parse(&LinkSecret::new(ticket.invitation().clone()).expose()), None);
    assert!(!format!("{ticket:?}").contains(text.rsplit('.').next().unwrap()));
}

#[test]
fn standings_survive_their_names_and_words_belong_to_one_decision() {
    for standing in Standing::ALL {
        assert_eq!(Standing::from_name(standing.name()), Some(standing));
        assert_eq!(serde_json::to_value(standing).unwrap(), standing.name());
    }
    let denied = Place { message: Some(Name::new("Next week, please").unwrap()), ..place(Standing::Denied) };
    let waiting = denied.decided(Standing::Waiting, start());
    assert!(waiting.message.is_none() && waiting.version == 2);
}
