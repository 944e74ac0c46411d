//! Days for each kind of data, and what they mean at a moment. It removes nothing.

use crate::moment::Moment;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const DAY_SECONDS: u64 = 86_400;

/// What has a rule of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// What happened, for pages and for other systems that follow it.
    Events,
    /// Single stays in rooms. Attendance, which is computed from them, stays with its case.
    Presence,
    /// Cases with notes, outcomes, amendments and attendance.
    Cases,
    /// Meetings with invitations, and with what is left of their cases.
    Meetings,
    /// Who did what.
    Audit,
}

impl Kind {
    /// In the order in which they are applied: the audit log comes last, because the others write to it.
    pub const ALL: [Self; 5] = [Self::Events, Self::Presence, Self::Cases, Self::Meetings, Self::Audit];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Presence => "presence",
            Self::Cases => "cases",
            Self::Meetings => "meetings",
            Self::Audit => "audit",
        }
    }
}

/// Days; 0 keeps for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    pub events_days: u32,
    pub presence_days: u32,
    pub cases_days: u32,
    pub meetings_days: u32,
    pub audit_days: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            events_days: 90,
            presence_days: 90,
            // Eight years, as the NHS keeps records of adults (Records Management Code of Practice, 2021).
            cases_days: 2_922,
            meetings_days: 2_922,
            audit_days: 0,
        }
    }
}

impl Rules {
    pub const fn days(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Events => self.events_days,
            Kind::Presence => self.presence_days,
            Kind::Cases => self.cases_days,
            Kind::Meetings => self.meetings_days,
            Kind::Audit => self.audit_days,
        }
    }

    /// What is from before this is over; `None` where nothing ever is.
    pub fn over_before(&self, kind: Kind, now: Moment) -> Option<Moment> {
        let days = u64::from(self.days(kind));
        let kept = Duration::from_secs(days * DAY_SECONDS);
        let before = now.ms().saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
        (days > 0).then(|| Moment::from_ms(before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_over_before_its_days_and_nothing_ever_without_a_rule() {
        let rules = Rules { events_days: 30, audit_days: 0, ..Rules::default() };
        let now = Moment::from_rfc3339("2027-03-31T00:00:00Z").unwrap();
        assert_eq!(rules.over_before(Kind::Events, now), Moment::from_rfc3339("2027-03-01T00:00:00Z"));
        assert_eq!(rules.over_before(Kind::Audit, now), None);
        let longest = Rules { events_days: u32::MAX, ..rules };
        assert!(longest.over_before(Kind::Events, now).is_some_and(|before| before < Moment::from_ms(0)));
        for kind in Kind::ALL {
            assert_eq!(Rules::default().over_before(kind, now).is_some(), Rules::default().days(kind) > 0, "{kind:?}");
        }
    }
}
