//! The tables and the page say the same, and no text of a person becomes anything but a text.

use super::csv::cell;
use super::*;
use crate::ids::{CaseId, MeetingId};
use crate::mdt::case::Stage;
use crate::mdt::outcome::{Amendment, Outcome};
use crate::mdt::prose::Prose;
use crate::mdt::reference::Reference;
use crate::mdt::spans::Span;
use crate::meetings::admission::Lobby;
use crate::meetings::invitation::Role;
use crate::meetings::meeting::{MeetingPlan, Settings};
use crate::meetings::schedule::Wanted;

fn at(text: &str) -> Moment {
    Moment::from_rfc3339(text).unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn attendee(invitation: &InvitationId, present_ms: i64) -> Attendee {
    Attendee { invitation: invitation.clone(), role: Role::Core, specialty: Some(name("Oncology")), present_ms }
}

/// One case that is confirmed and amended, with somebody present and somebody absent, and one that was not begun.
fn report(person: &str, text: &str) -> Report {
    let schedule =
        Wanted { start: "2027-07-06T08:30:00", time_zone: "Europe/London", duration_minutes: 60, recurrence: None };
    let plan = MeetingPlan {
        title: name("Lung <b>MDT"),
        schedule,
        capacity: 50,
        lobby: Lobby::Guests,
        required_specialties: vec![name("Oncology"), name("Radiology")],
        settings: Settings::default(),
    };
    let meeting = plan.check().unwrap().into_meeting("owner".into(), Moment::from_ms(0));
    let occurrence = meeting.schedule.occurrences(Moment::from_ms(0), at("2028-01-01T00:00:00Z"))[0];
    let (one, other) = (InvitationId::new(Moment::from_ms(1)), InvitationId::new(Moment::from_ms(2)));
    let case = |position, stage, times| Case {
        id: CaseId::new(Moment::from_ms(0)),
        meeting: MeetingId::new(Moment::from_ms(0)),
        occurrence: occurrence.original,
        position,
        reference: Reference::new(&format!("L-{position}")).unwrap(),
        notes: None,
        stage,
        times,
        outcome: Outcome::default(),
        attendance: None,
        required: None,
        version: 1,
        created_at: Moment::from_ms(0),
    };
    let span = Span::new(at("2027-07-06T07:31:00Z"), Some(at("2027-07-06T07:33:05Z")));
    let mut done = case(1, Stage::Done, vec![span]);
    let prose = Prose::new(text).unwrap();
    done.outcome.draft(Some(prose.clone())).unwrap();
    done.outcome.confirm(one.clone(), at("2027-07-06T07:33:00Z")).unwrap();
    let at = at("2027-07-06T09:00:00Z");
    done.outcome.amend(Amendment { text: prose.clone(), reason: prose, by: one.clone(), at }).unwrap();
    done.attendance = Some(vec![attendee(&one, 124_001), attendee(&other, 0)]);
    let described = |text| Described { name: name(text), site: None };
    done.required = Some(meeting.required_specialties.clone());
    // Asked for since.
    let required = [name("Pathology")];
    let cases = [done, case(2, Stage::Waiting, Vec::new())];
    Report {
        meeting,
        occurrence,
        made_at: at,
        people: HashMap::from([(one, described(person)), (other, described("Dr Two"))]),
        cases: cases.map(|case| Discussed::new(case, |_| panic!("nothing is live"), &required)).into(),
    }
}

/// RFC 4180, read back.
fn read(table: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = table.chars().peekable();
    while let Some(c) = characters.next() {
        match (is_quoted, c) {
            (true, '"') if characters.peek() == Some(&'"') => field.extend(characters.next()),
            (_, '"') => is_quoted = !is_quoted,
            (false, ',') => row.push(std::mem::take(&mut field)),
            (false, '\r') => assert_eq!(characters.peek(), Some(&'\n'), "lines end in CRLF"),
            (false, '\n') => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            (_, c) => field.push(c),
        }
    }
    assert!(!is_quoted && row.is_empty() && field.is_empty(), "the table ends with a line");
    rows
}

#[test]
fn the_tables_are_read_back_as_they_were_told() {
    let report = report("O'Brien, \"Dr\" Siân", "Surgery,\nthen \"PET\"");
    let attendance = read(&attendance_table(&report));
    assert!(attendance.iter().all(|row| row.len() == attendance[0].len()), "{attendance:?}");
    let column = |title: &str| attendance[0].iter().position(|cell| cell == title).unwrap();
    assert_eq!(attendance.len(), 3, "a head, and two people of the case that was discussed");
    assert_eq!(attendance[1][column("name")], "O'Brien, \"Dr\" Siân");
    assert_eq!((&*attendance[1][column("present")], &*attendance[1][column("present_seconds")]), ("yes", "125"));
    assert_eq!((&*attendance[2][column("present")], &*attendance[2][column("present_seconds")]), ("no", "0"));
    assert_eq!(attendance[1][column("case_seconds")], "125");

    let outcomes = read(&outcome_table(&report));
    assert!(outcomes.iter().all(|row| row.len() == outcomes[0].len()), "{outcomes:?}");
    let column = |title: &str| outcomes[0].iter().position(|cell| cell == title).unwrap();
    assert_eq!(outcomes.len(), 3);
    assert_eq!(outcomes[1][column("outcome")], "Surgery,\nthen \"PET\"");
    assert_eq!((&*outcomes[1][column("quorate")], &*outcomes[1][column("missing_specialties")]), ("no", "Radiology"));
    assert_eq!((&*outcomes[2][column("outcome_state")], &*outcomes[2][column("case_began_at")]), ("none", ""));
    assert!(outcomes[1][column("amendments")].starts_with("2027-07-06T09:00:00Z: Surgery"));
}

#[test]
fn no_cell_is_a_formula() {
    for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\n=1", "＝1+1", "=HYPERLINK(\"x\")"] {
        let written = cell(text);
        assert!(read(&format!("{written}\r\n"))[0][0].starts_with('\''), "{text:?}: {written}");
    }
    for text in ["1", "2027-07-06T08:30:00", "O'Brien", "a=b", "L-1"] {
        assert_eq!(read(&format!("{}\r\n", cell(text)))[0][0], text);
    }
}

#[test]
fn the_page_says_it_in_local_time_and_runs_nothing() {
    let hostile = "<script>alert(1)</script><img src=x onerror=\"y\">'&";
    let html = page(&report(hostile, hostile));
    for tag in ["<script", "<img", "<b>MDT", "onerror=\"", "href", "src=\""] {
        assert!(!html.contains(tag), "{tag}: {html}");
    }
    let title = html.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
    assert_eq!(title, Some("Meeting report"), "the title names nobody");
    assert!(html.contains("Tuesday, 6 July 2027, 08:30 to 09:30. Times are those of Europe/London."), "{html}");
    assert!(html.contains("08:31:00 to 08:33:05, 2 min 05 s discussed."), "{html}");
    assert!(html.contains("Present: 1, absent: 1") && html.contains("Not quorate; missing: Radiology."), "{html}");
    assert!(html.contains("&lt;script&gt;alert(1)") && html.contains("Not discussed."), "{html}");
    let style = html.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, style.as_bytes());
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest.as_ref());
    assert_eq!(style_hash(), format!("sha256-{encoded}"), "the policy lets the page's own style through");
}
