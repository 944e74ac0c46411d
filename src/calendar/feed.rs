//! The secret of somebody's own calendar address. It is in a path, because programs that fetch calendars can say nothing
//! else; so it opens a calendar and nothing more, is stored as a hash, is never logged, and can be revoked.

use crate::identity::secret::{NamedSecret, SecretHash};
use crate::ids::FeedId;
use crate::meetings::invitation::Email;
use crate::moment::Moment;
use std::time::Duration;

/// Calendars that are not revoked, of one address: one for each of somebody's devices.
pub const FEEDS_MAX: i64 = 16;
/// Meetings in one calendar, single or series: one for every working day of a year, and some.
pub const MEETINGS_MAX: i64 = 300;
/// How long a meeting that is over stays in it.
pub const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// Somebody's own calendar: the meetings that an address is invited to.
#[derive(Clone, Debug)]
pub struct Feed {
    pub id: FeedId,
    pub email: Email,
    pub secret_hash: SecretHash,
    pub created_at: Moment,
    pub revoked_at: Option<Moment>,
    pub version: i64,
}

pub type FeedSecret = NamedSecret<FeedId>;
