//! Addresses of pages and calendars, as people get them. A secret stands in the fragment, which browsers do not send;
//! except in the address of a calendar, for programs that fetch calendars send nothing else.

use super::feed::FeedSecret;
use crate::ids::MeetingId;
use crate::meetings::invitation::LinkSecret;

/// Knows where the pages are.
#[derive(Clone, Debug)]
pub struct Links {
    /// Without a slash at its end.
    base: String,
}

impl Links {
    pub fn new(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned() }
    }

    /// The page of a meeting, where an invitation is still asked for.
    pub fn meeting(&self, meeting: &MeetingId) -> String {
        format!("{}/m/{meeting}", self.base)
    }

    /// The same page for one person, where their secret is known. Whoever has it enters as this person.
    pub fn personal(&self, meeting: &MeetingId, link: Option<&LinkSecret>) -> String {
        let page = self.meeting(meeting);
        link.map_or(page.clone(), |link| format!("{page}#{}", link.expose()))
    }

    /// Somebody's own calendar.
    pub fn feed(&self, secret: &FeedSecret) -> String {
        format!("{}/api/v1/calendar/{}/feed.ics", self.base, secret.expose())
    }

    /// The name of the host, for addresses at it.
    pub fn host(&self) -> &str {
        let authority = self.base.split("://").nth(1).unwrap_or_default().split('/').next().unwrap_or_default();
        match authority.rsplit_once(':') {
            Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host,
            _ => authority,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_stands_between_scheme_and_path() {
        for (base, host) in [
            ("https://meet.example.org", "meet.example.org"),
            ("https://meet.example.org:8443/a/", "meet.example.org"),
            ("http://localhost:8080", "localhost"),
            ("http://[::1]:8080", "[::1]"),
        ] {
            assert_eq!(Links::new(base).host(), host);
        }
    }
}
