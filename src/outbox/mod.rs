//! What is on its way to others, until it has arrived: mails, and events to other systems. It knows neither what is in
//! them nor how they travel, and survives the server: rows are in the store ([`crate::store::outbox`]).
//!
//! ```text
//! follower      reads the events and puts into the outbox what they lead to
//! courier       takes out what is due, has it carried, and says what became of it
//! retry         how long to wait after a failure
//! ```
//!
//! What arrives, arrives at least once: a server that ends between the carrying and the saying carries again.

pub mod courier;
pub mod follower;
pub mod retry;

use crate::ids::DeliveryId;
use crate::moment::Moment;
use std::borrow::Cow;
use std::sync::Arc;
use tokio::sync::Notify;

/// How something travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    Mail,
    Webhook,
}

impl Channel {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Webhook => "webhook",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Mail, Self::Webhook].into_iter().find(|channel| channel.name() == name)
    }
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeliveryState)]
pub enum State {
    /// On its way: not tried yet, or to be tried again.
    Pending,
    /// Kept back until its target is enabled again.
    Held,
    Delivered,
    /// Given up. It can be sent again by hand.
    Dead,
    /// Something newer took its place before it left.
    Superseded,
}

impl State {
    const ALL: [Self; 5] = [Self::Pending, Self::Held, Self::Delivered, Self::Dead, Self::Superseded];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Held => "held",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Superseded => "superseded",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Something to be carried.
#[derive(Clone, Debug)]
pub struct NewDelivery<'a> {
    pub channel: Channel,
    /// To whom: in flight at once are only so many of one target.
    pub target: &'a str,
    /// Within a target, what is in one lane goes one after the other.
    pub lane: &'a str,
    /// What it tells of; the same for every target.
    pub notice: &'a str,
    pub kind: &'a str,
    pub content: String,
    pub state: State,
    pub failure: Option<&'static str>,
}

/// Something on its way. No `Debug`: the content may be somebody's address.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub channel: Channel,
    pub target: String,
    pub lane: String,
    pub notice: String,
    pub kind: String,
    pub content: String,
    pub state: State,
    pub attempts: u32,
    pub due_at: Moment,
    /// A word of ours: why the last attempt failed.
    pub failure: Option<String>,
    pub created_at: Moment,
    pub ended_at: Option<Moment>,
}

/// Why an attempt failed: a word of ours, never what the other side said.
pub type Failure = Cow<'static, str>;

/// What an attempt came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Delivered,
    /// Another attempt may succeed.
    Failed(Failure),
    /// No other attempt will.
    Refused(Failure),
    /// There is nothing to tell any more.
    Superseded,
}

/// Tells couriers that there is something new, so that they need not ask all the time.
#[derive(Clone, Debug, Default)]
pub struct Bell {
    mail: Arc<Notify>,
    webhook: Arc<Notify>,
}

impl Bell {
    pub fn ring(&self, channel: Channel) {
        self.of(channel).notify_one();
    }

    fn of(&self, channel: Channel) -> &Notify {
        match channel {
            Channel::Mail => &self.mail,
            Channel::Webhook => &self.webhook,
        }
    }
}
