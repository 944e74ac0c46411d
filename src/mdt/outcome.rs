//! What was decided about a case: drafted by the hosts, confirmed by the chair, and from then on immutable. What has to be
//! said later is an amendment, with its reason, beside what was confirmed.

use super::Refusal;
use super::prose::Prose;
use crate::ids::InvitationId;
use crate::moment::Moment;
use serde::Serialize;

/// Of one outcome. What needs more was not decided.
pub const AMENDMENTS_MAX: usize = 10;

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    /// `None` before the first draft.
    pub text: Option<Prose>,
    pub confirmed: Option<Confirmation>,
    /// Oldest first.
    pub amendments: Vec<Amendment>,
    /// Apart from that of the case: whoever types does not get in the way of whoever runs the timer.
    pub version: i64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Confirmation {
    pub at: Moment,
    pub by: InvitationId,
}

#[derive(Clone, PartialEq, Debug, Serialize, utoipa::ToSchema)]
pub struct Amendment {
    pub text: Prose,
    pub reason: Prose,
    /// The chair's invitation.
    pub by: InvitationId,
    #[schema(value_type = String, format = DateTime)]
    pub at: Moment,
}

/// How far an outcome is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    None,
    Draft,
    Confirmed,
}

impl State {
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Draft => "draft",
            Self::Confirmed => "confirmed",
        }
    }
}

impl Outcome {
    pub fn state(&self) -> State {
        match (&self.text, &self.confirmed) {
            (_, Some(_)) => State::Confirmed,
            (Some(_), None) => State::Draft,
            (None, None) => State::None,
        }
    }

    /// Replaces the draft. `None` takes it back.
    pub fn draft(&mut self, text: Option<Prose>) -> Result<(), Refusal> {
        self.check_open()?;
        self.text = text;
        self.version += 1;
        Ok(())
    }

    pub fn confirm(&mut self, by: InvitationId, now: Moment) -> Result<(), Refusal> {
        self.check_open()?;
        if self.text.is_none() {
            return Err(Refusal::OutcomeEmpty);
        }
        self.confirmed = Some(Confirmation { at: now, by });
        self.version += 1;
        Ok(())
    }

    pub fn amend(&mut self, amendment: Amendment) -> Result<(), Refusal> {
        if self.confirmed.is_none() {
            return Err(Refusal::OutcomeNotConfirmed);
        }
        if self.amendments.len() >= AMENDMENTS_MAX {
            return Err(Refusal::TooManyAmendments);
        }
        self.amendments.push(amendment);
        self.version += 1;
        Ok(())
    }

    fn check_open(&self) -> Result<(), Refusal> {
        match self.confirmed {
            Some(_) => Err(Refusal::OutcomeConfirmed),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prose(text: &str) -> Prose {
        Prose::new(text).unwrap()
    }

    fn amendment() -> Amendment {
        let by = InvitationId::new(Moment::from_ms(1));
        Amendment { text: prose("also PET"), reason: prose("new report"), by, at: Moment::from_ms(9) }
    }

    #[test]
    fn what_is_confirmed_is_only_added_to() {
        let chair = InvitationId::new(Moment::from_ms(1));
        let now = Moment::from_ms(7);
        let mut outcome = Outcome::default();
        assert_eq!(outcome.confirm(chair.clone(), now), Err(Refusal::OutcomeEmpty));
        assert_eq!(outcome.amend(amendment()), Err(Refusal::OutcomeNotConfirmed));
        assert_eq!(outcome.draft(Some(prose("surgery"))), Ok(()));
        assert_eq!(outcome.draft(None), Ok(()));
        assert_eq!(outcome.state(), State::None);
        assert_eq!(outcome.draft(Some(prose("chemotherapy"))), Ok(()));
        assert_eq!(outcome.amend(amendment()), Err(Refusal::OutcomeNotConfirmed));
        assert_eq!(outcome.confirm(chair.clone(), now), Ok(()));
        let confirmed = outcome.clone();
        assert_eq!((outcome.version, outcome.state()), (4, State::Confirmed));
        assert_eq!(outcome.draft(Some(prose("surgery"))), Err(Refusal::OutcomeConfirmed));
        assert_eq!(outcome.draft(None), Err(Refusal::OutcomeConfirmed));
        assert_eq!(outcome.confirm(chair, now), Err(Refusal::OutcomeConfirmed));
        assert_eq!(outcome, confirmed, "a refusal changes nothing");
        for _ in 0..AMENDMENTS_MAX {
            assert_eq!(outcome.amend(amendment()), Ok(()));
        }
        assert_eq!(outcome.amend(amendment()), Err(Refusal::TooManyAmendments));
        assert_eq!((outcome.text, outcome.confirmed), (confirmed.text, confirmed.confirmed));
    }
}
