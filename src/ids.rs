//! Identifiers of what is stored. Each kind has its own type and prefix, so that one is never taken for another; they sort
//! by the time they were made, and nobody can guess one: 80 bits are random.

use crate::moment::Moment;
use rand::Rng;
use std::fmt;

/// Crockford's base 32 in lower case: no letter that is read as another, and one order of sorting in every collation.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 48 bits of milliseconds and 80 random bits, 5 bits to a character.
const WORD_LEN: usize = 26;

fn new_word(now: Moment) -> String {
    let mut random = [0; 10];
    rand::rng().fill_bytes(&mut random);
    let random = random.iter().fold(0u128, |word, byte| word << 8 | u128::from(*byte));
    // Before 1970 nothing is made, and 48 bits of milliseconds last until the year 10889.
    let time = u128::from(u64::try_from(now.ms()).unwrap_or(0) & ((1 << 48) - 1));
    let word = time << 80 | random;
    (0..WORD_LEN).rev().map(|place| char::from(ALPHABET[(word >> (5 * place)) as usize & 31])).collect()
}

fn is_word(text: &str) -> bool {
    text.len() == WORD_LEN && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// What every kind of identifier can do, for whatever carries one of any kind.
pub trait Identifier: Clone + fmt::Display {
    /// `None` for whatever is not written as such an identifier is.
    fn parse(text: &str) -> Option<Self>;
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(String);

        impl $name {
            pub fn new(now: Moment) -> Self {
                Self(format!(concat!($prefix, "_{}"), new_word(now)))
            }

            /// `None` for whatever is not written as such an identifier is.
            pub fn parse(text: &str) -> Option<Self> {
                let word = text.strip_prefix(concat!($prefix, "_"))?;
                is_word(word).then(|| Self(text.to_owned()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Identifier for $name {
            fn parse(text: &str) -> Option<Self> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| serde::de::Error::custom(concat!("not an id of the form ", $prefix, "_…")))
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::schema::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(concat!("^", $prefix, "_[0-9a-hjkmnp-tv-z]{26}$")))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

id!(
    /// A meeting, single or a series.
    MeetingId, "mtg"
);
id!(
    /// An invitation of one person to one meeting.
    InvitationId, "inv"
);
id!(
    /// A case of a meeting's list. Nothing of it tells whose case it is.
    CaseId, "case"
);
id!(
    /// A server from its start to its end.
    RunId, "run"
);
id!(
    /// A key of the REST API. Not secret.
    ApiKeyId, "key"
);
id!(
    /// Somebody with an account.
    UserId, "usr"
);
id!(
    /// One sign-in of a user. Not secret: the secret of a session is in its cookie alone.
    SessionId, "ses"
);

id!(
    /// An address of somebody's own calendar.
    FeedId, "feed"
);
id!(
    /// An endpoint that is told what happens. Not secret.
    WebhookId, "whk"
);
id!(
    /// Something on its way to somebody: a mail, or an event to an endpoint.
    DeliveryId, "dlv"
);
id!(
    /// What an endpoint is told: the same at each attempt, and to each endpoint.
    NoticeId, "EV"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_sort_by_time_and_differ() {
        let (early, late) = (Moment::from_ms(1), Moment::from_ms(2));
        assert!(MeetingId::new(early) < MeetingId::new(late));
        assert_ne!(MeetingId::new(early), MeetingId::new(early));
        let id = MeetingId::new(late);
        assert_eq!(MeetingId::parse(id.as_str()), Some(id));
    }

    #[test]
    fn an_identifier_of_another_kind_or_shape_is_none() {
        let word = new_word(Moment::from_ms(1_796_113_800_000));
        assert!(MeetingId::parse(&format!("mtg_{word}")).is_some());
        for wrong in [
            String::new(),
            "mtg_".into(),
            word.clone(),
            format!("inv_{word}"),
            format!("mtg_{}", word.to_uppercase()),
            format!("mtg_{word}0"),
            format!("mtg_{}i", &word[1..]),
            format!("mtg_{}' OR 1=1", &word[9..]),
        ] {
            assert_eq!(MeetingId::parse(&wrong), None, "{wrong}");
        }
    }
}
