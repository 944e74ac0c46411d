//! Who is told, of what, and the secret that signs. It knows neither SQL nor HTTP.

use super::address::{Reach, check_url};
use crate::ids::WebhookId;
use crate::meetings::Flaw;
use crate::moment::Moment;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng;

/// Endpoints of one server: each event is written once for each of them.
pub const ENDPOINTS_MAX: usize = 32;
pub const KINDS_MAX: usize = 64;
const KIND_LEN_MAX: usize = 64;
/// RFC 7518 section 3.2: as long as the hash.
const SECRET_BYTES: usize = 32;
/// Stands for every kind that begins with what is before it.
const ALL_OF: &str = ".*";

/// No `Debug`: a URL may hold a secret of its own.
#[derive(Clone)]
pub struct Endpoint {
    pub id: WebhookId,
    pub url: String,
    /// Kinds of events, or `meeting.*`; none stands for all.
    pub kinds: Vec<String>,
    pub sealed_secret: String,
    pub is_enabled: bool,
    /// Events up to this one are older than the endpoint.
    pub after_sequence: i64,
    pub version: i64,
    pub created_at: Moment,
    pub updated_at: Moment,
}

impl Endpoint {
    /// Whether it wants events of this kind.
    pub fn wants(&self, kind: &str) -> bool {
        self.is_enabled && (self.kinds.is_empty() || self.kinds.iter().any(|wanted| covers(wanted, kind)))
    }

    /// Everything that is wrong with what somebody wants an endpoint to be.
    pub fn check(url: &str, kinds: &[String], reach: Reach) -> Result<(), Vec<Flaw>> {
        let mut flaws: Vec<_> = check_url(url, reach).err().into_iter().collect();
        if kinds.len() > KINDS_MAX || !kinds.iter().all(|kind| is_kind(kind)) {
            flaws.push(Flaw::new(
                "kinds",
                "At most 64 kinds of events, like meeting.created, or meeting.* for all of them.",
            ));
        }
        if flaws.is_empty() { Ok(()) } else { Err(flaws) }
    }
}

fn covers(wanted: &str, kind: &str) -> bool {
    match wanted.strip_suffix(ALL_OF) {
        Some(noun) => kind.strip_prefix(noun).is_some_and(|rest| rest.starts_with('.')),
        None => wanted == kind,
    }
}

/// Words of small letters with a full stop between them, perhaps with `.*` at the end.
fn is_kind(kind: &str) -> bool {
    let words = kind.strip_suffix(ALL_OF).unwrap_or(kind);
    kind.len() <= KIND_LEN_MAX
        && words.split('.').all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
}

/// A new secret, as its holder keeps it: the receiver verifies with it what the server signs.
pub fn new_secret() -> String {
    let mut secret = [0; SECRET_BYTES];
    rand::rng().fill_bytes(&mut secret);
    URL_SAFE_NO_PAD.encode(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(kinds: &[&str]) -> Endpoint {
        let now = Moment::from_ms(1);
        Endpoint {
            id: WebhookId::new(now),
            url: String::new(),
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            sealed_secret: String::new(),
            is_enabled: true,
            after_sequence: 0,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }

    #[test]
    fn an_endpoint_gets_the_kinds_that_it_wants() {
        assert!(endpoint(&[]).wants("meeting.created"));
        let some = endpoint(&["meeting.*", "room_started"]);
        for kind in ["meeting.created", "meeting.occurrence_moved", "room_started"] {
            assert!(some.wants(kind), "{kind}");
        }
        for kind in ["meetings.created", "meeting", "room_finished", "invitation.created"] {
            assert!(!some.wants(kind), "{kind}");
        }
        assert!(!Endpoint { is_enabled: false, ..some }.wants("meeting.created"));
    }

    #[test]
    fn a_kind_is_words_with_full_stops() {
        for good in ["room_started", "meeting.created", "meeting.*"] {
            assert!(is_kind(good), "{good}");
        }
        for bad in ["", "*", ".*", "Meeting.created", "meeting..x", "meeting.*.x", "a b", &"a".repeat(65)] {
            assert!(!is_kind(bad), "{bad}");
        }
    }

    #[test]
    fn secrets_are_long_and_differ() {
        assert!(new_secret().len() >= 43);
        assert_ne!(new_secret(), new_secret());
    }
}
