//! The report as a page to print. It has no scripts and loads nothing; every text of a person is escaped. The title names
//! nobody, because titles end in histories and in print queues.

use super::{Discussed, Report};
use crate::mdt::attendance::{Attendee, seconds};
use crate::meetings::meeting::Meeting;
use crate::moment::Moment;
use crate::text::{Name, escape_html};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;

const STYLE: &str = "body{font:12pt/1.4 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;color:#212b32}\
h1,h2{line-height:1.2}section{break-inside:avoid;border-top:1px solid #768692;margin-top:1.5rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.2rem .6rem .2rem 0;border-bottom:1px solid #d8dde0}\
.text{white-space:pre-wrap;overflow-wrap:anywhere}.draft{font-style:italic}";

/// For the policy of the page: this style alone is applied.
pub fn style_hash() -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
    format!("sha256-{}", STANDARD.encode(digest.as_ref()))
}

pub fn page(report: &Report) -> String {
    let meeting = &report.meeting;
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Meeting report</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\
         <h1>{}</h1><p>{} to {}. Times are those of {}. Made {}.</p>",
        escape_html(meeting.title.as_str()),
        local(meeting, report.occurrence.start, "%A, %-d %B %Y, %H:%M"),
        local(meeting, report.occurrence.end, "%H:%M"),
        escape_html(meeting.schedule.zone().name()),
        local(meeting, report.made_at, "%-d %B %Y, %H:%M"),
    );
    if report.cases.is_empty() {
        html.push_str("<p>There are no cases in this list.</p>");
    }
    for discussed in &report.cases {
        write_case(&mut html, report, discussed);
    }
    html.push_str("</body></html>");
    html
}

// Writing to a String does not fail.
fn write_case(html: &mut String, report: &Report, discussed: &Discussed) {
    let (case, meeting) = (&discussed.case, &report.meeting);
    let _ = write!(html, "<section><h2>{}. {}</h2><p>", case.position, escape_html(case.reference.as_str()));
    match (case.began_at(), case.ended_at()) {
        (Some(from), Some(to)) => {
            let _ = write!(html, "{} to {}, ", local(meeting, from, "%H:%M:%S"), local(meeting, to, "%H:%M:%S"));
        }
        (Some(from), None) => {
            let _ = write!(html, "Since {}, ", local(meeting, from, "%H:%M:%S"));
        }
        (None, _) => html.push_str("Not discussed"),
    }
    if case.began_at().is_some() {
        let spent = seconds(case.spent_ms(report.made_at));
        let _ = write!(html, "{} min {:02} s discussed", spent / 60, spent % 60);
    }
    html.push_str(".</p>");
    if let Some(notes) = &case.notes {
        let _ = write!(html, "<h3>Notes</h3><p class=\"text\">{}</p>", escape_html(notes.as_str()));
    }
    write_outcome(html, report, discussed);
    if case.began_at().is_some() {
        write_attendance(html, report, discussed);
    }
    html.push_str("</section>");
}

fn write_outcome(html: &mut String, report: &Report, discussed: &Discussed) {
    let (outcome, meeting) = (&discussed.case.outcome, &report.meeting);
    let Some(text) = &outcome.text else {
        html.push_str("<h3>Outcome</h3><p>None.</p>");
        return;
    };
    let text = escape_html(text.as_str());
    match &outcome.confirmed {
        None => {
            let _ = write!(html, "<h3>Outcome: a draft, not confirmed</h3><p class=\"text draft\">{text}</p>");
        }
        Some(confirmed) => {
            let by = report.people.get(&confirmed.by).map_or("the chair", |person| person.name.as_str());
            let at = local(meeting, confirmed.at, "%-d %B %Y, %H:%M:%S");
            let by = escape_html(by);
            let _ = write!(html, "<h3>Outcome</h3><p class=\"text\">{text}</p><p>Confirmed by {by}, {at}.</p>");
        }
    }
    for amendment in &outcome.amendments {
        let _ = write!(
            html,
            "<h3>Amendment of {}</h3><p class=\"text\">{}</p><p class=\"text\">Reason: {}</p>",
            local(meeting, amendment.at, "%-d %B %Y, %H:%M:%S"),
            escape_html(amendment.text.as_str()),
            escape_html(amendment.reason.as_str())
        );
    }
}

fn write_attendance(html: &mut String, report: &Report, discussed: &Discussed) {
    let (there, absent): (Vec<_>, Vec<_>) = discussed.attendance.iter().partition(|one| one.is_present());
    let _ = write!(html, "<h3>Present: {}, absent: {}</h3>", there.len(), absent.len());
    let missing: Vec<_> = discussed.quorum.missing.iter().map(|name| escape_html(name.as_str())).collect();
    if !missing.is_empty() {
        let _ = write!(html, "<p>Not quorate; missing: {}.</p>", missing.join(", "));
    } else if !discussed.quorum.required.is_empty() {
        html.push_str("<p>Quorate.</p>");
    }
    html.push_str("<table><tr><th>Name<th>Role<th>Specialty<th>Site<th>Present</tr>");
    there.into_iter().for_each(|one| write_attendee(html, report, one));
    absent.into_iter().for_each(|one| write_attendee(html, report, one));
    html.push_str("</table>");
}

fn write_attendee(html: &mut String, report: &Report, attendee: &Attendee) {
    let (name, site) = report.described(attendee);
    let present = match attendee.seconds() {
        0 => "no".to_owned(),
        spent => format!("{} min {:02} s", spent / 60, spent % 60),
    };
    let _ = write!(
        html,
        "<tr><td>{}<td>{}<td>{}<td>{}<td>{present}</tr>",
        escape_html(name),
        attendee.role.name(),
        escape_html(attendee.specialty.as_ref().map_or("", Name::as_str)),
        escape_html(site)
    );
}

fn local(meeting: &Meeting, moment: Moment, format: &str) -> String {
    moment.to_chrono().with_timezone(&meeting.schedule.zone()).format(format).to_string()
}
