//! How attempts to deliver ended, counted for metrics.

use super::{Channel, Outcome};
use std::sync::atomic::{AtomicU64, Ordering};

/// How one attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    Delivered,
    /// Another attempt follows.
    Failed,
    /// None does.
    Dead,
    Superseded,
}

impl Ending {
    pub const ALL: [Self; 4] = [Self::Delivered, Self::Failed, Self::Dead, Self::Superseded];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Superseded => "superseded",
        }
    }

    /// `is_last`: a failure is the end.
    pub(super) const fn of(outcome: &Outcome, is_last: bool) -> Self {
        match outcome {
            Outcome::Delivered => Self::Delivered,
            Outcome::Superseded => Self::Superseded,
            Outcome::Failed(_) if !is_last => Self::Failed,
            Outcome::Failed(_) | Outcome::Refused(_) => Self::Dead,
        }
    }
}

#[derive(Debug, Default)]
pub struct Figures {
    mail: [AtomicU64; Ending::ALL.len()],
    webhook: [AtomicU64; Ending::ALL.len()],
}

impl Figures {
    pub(super) fn count(&self, channel: Channel, ending: Ending) {
        self.of(channel)[ending as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn attempts(&self, channel: Channel) -> [(Ending, u64); Ending::ALL.len()] {
        Ending::ALL.map(|ending| (ending, self.of(channel)[ending as usize].load(Ordering::Relaxed)))
    }

    fn of(&self, channel: Channel) -> &[AtomicU64; Ending::ALL.len()] {
        match channel {
            Channel::Mail => &self.mail,
            Channel::Webhook => &self.webhook,
        }
    }
}
