//! Tables for spreadsheets (RFC 4180). A cell that a spreadsheet would take for a formula is made a text.

use super::{Discussed, Report};
use crate::mdt::attendance::seconds;
use crate::meetings::schedule::format_local;
use crate::moment::Moment;
use crate::text::Name;

const ATTENDANCE_HEAD: &[&str] = &[
    "occurrence",
    "case_position",
    "case_reference",
    "case_stage",
    "case_began_at",
    "case_ended_at",
    "case_seconds",
    "invitation",
    "name",
    "role",
    "specialty",
    "site",
    "present",
    "present_seconds",
    "final",
];
const OUTCOME_HEAD: &[&str] = &[
    "occurrence",
    "case_position",
    "case_reference",
    "case_stage",
    "case_began_at",
    "case_ended_at",
    "case_seconds",
    "people_present",
    "quorate",
    "missing_specialties",
    "notes",
    "outcome_state",
    "outcome",
    "outcome_confirmed_at",
    "outcome_confirmed_by",
    "amendments",
];

/// A row for each case and person.
pub fn attendance_table(report: &Report) -> String {
    let mut table = Table::new(ATTENDANCE_HEAD);
    for discussed in &report.cases {
        for attendee in &discussed.attendance {
            let (name, site) = report.described(attendee);
            let mut row = case_cells(report, discussed);
            row.extend([
                attendee.invitation.to_string(),
                name.to_owned(),
                attendee.role.name().to_owned(),
                attendee.specialty.as_ref().map_or("", Name::as_str).to_owned(),
                site.to_owned(),
                yes_or_no(attendee.is_present()),
                attendee.seconds().to_string(),
                yes_or_no(discussed.is_final()),
            ]);
            table.push(&row);
        }
    }
    table.text
}

/// A row for each case.
pub fn outcome_table(report: &Report) -> String {
    let mut table = Table::new(OUTCOME_HEAD);
    for discussed in &report.cases {
        let outcome = &discussed.case.outcome;
        let amendments = outcome.amendments.iter().map(|amendment| {
            let (text, reason) = (amendment.text.as_str(), amendment.reason.as_str());
            format!("{}: {text} (reason: {reason})", amendment.at.to_rfc3339())
        });
        let missing: Vec<_> = discussed.quorum.missing.iter().map(Name::as_str).collect();
        let present = discussed.attendance.iter().filter(|one| one.is_present()).count();
        let mut row = case_cells(report, discussed);
        row.extend([
            present.to_string(),
            yes_or_no(discussed.quorum.is_reached()),
            missing.join("; "),
            discussed.case.notes.as_ref().map_or("", |notes| notes.as_str()).to_owned(),
            outcome.state().name().to_owned(),
            outcome.text.as_ref().map_or("", |text| text.as_str()).to_owned(),
            outcome.confirmed.as_ref().map(|confirmed| confirmed.at.to_rfc3339()).unwrap_or_default(),
            outcome.confirmed.as_ref().map(|confirmed| confirmed.by.to_string()).unwrap_or_default(),
            amendments.collect::<Vec<_>>().join("\n"),
        ]);
        table.push(&row);
    }
    table.text
}

fn case_cells(report: &Report, discussed: &Discussed) -> Vec<String> {
    let case = &discussed.case;
    let moment = |moment: Option<Moment>| moment.map(Moment::to_rfc3339).unwrap_or_default();
    vec![
        format_local(report.occurrence.original),
        case.position.to_string(),
        case.reference.as_str().to_owned(),
        case.stage.name().to_owned(),
        moment(case.began_at()),
        moment(case.ended_at()),
        seconds(case.spent_ms(report.made_at)).to_string(),
    ]
}

fn yes_or_no(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

struct Table {
    text: String,
}

impl Table {
    fn new(head: &[&str]) -> Self {
        let mut table = Self { text: String::new() };
        table.push(head);
        table
    }

    fn push(&mut self, row: &[impl AsRef<str>]) {
        let cells: Vec<_> = row.iter().map(|text| cell(text.as_ref())).collect();
        self.text.push_str(&cells.join(","));
        self.text.push_str("\r\n");
    }
}

/// The signs that begin a formula in the spreadsheets of today, or a command in older ones (OWASP, "CSV Injection"). Wide forms
/// count too: some programs fold them.
const FORMULA: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];

pub(super) fn cell(text: &str) -> String {
    let text =
        if text.trim_start_matches([' ', '\n']).starts_with(FORMULA) { format!("'{text}") } else { text.to_owned() };
    match text.contains([',', '"', '\r', '\n', '\'', ';']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}
