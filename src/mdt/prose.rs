//! Longer texts that people write about a case. Lines and paragraphs are kept; what would hide or turn the text is refused,
//! as in [`crate::text::Name`]. `Debug` shows nothing of it.

use crate::text::is_hidden;
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

/// In characters, after normalisation: about a page of print.
pub const PROSE_LEN_MAX: usize = 2_000;
/// In bytes, before normalisation: a character has four at most, and none becomes fewer than a quarter.
const RAW_LEN_MAX: usize = PROSE_LEN_MAX * 16;

/// A text of 1 to [`PROSE_LEN_MAX`] characters in Unicode's normal form C, with `\n` between lines.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Prose(String);

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProseError {
    #[error("the text is empty")]
    Empty,
    #[error("the text has more than 2000 characters")]
    TooLong,
    #[error("the text has characters that cannot be seen or that turn the direction of what follows")]
    Hidden,
}

impl Prose {
    pub fn new(text: &str) -> Result<Self, ProseError> {
        if text.len() > RAW_LEN_MAX {
            return Err(ProseError::TooLong);
        }
        let unix = text.replace("\r\n", "\n");
        let normal = unix.trim().nfc().collect::<String>();
        if normal.chars().any(|c| is_hidden(c) && c != '\n' && c != '\t') {
            return Err(ProseError::Hidden);
        }
        match normal.chars().count() {
            0 => Err(ProseError::Empty),
            1..=PROSE_LEN_MAX => Ok(Self(normal)),
            _ => Err(ProseError::TooLong),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Prose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

impl<'de> Deserialize<'de> for Prose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Prose {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::schema::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .min_length(Some(1))
            .max_length(Some(PROSE_LEN_MAX))
            .description(Some("Visible characters and line breaks; kept in Unicode's normal form C."))
            .into()
    }
}

impl utoipa::ToSchema for Prose {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_and_what_hides_is_refused() {
        let kept = |text: &str| Prose::new(text).map(|prose| prose.as_str().to_owned());
        assert_eq!(kept(" Lobectomy.\r\n\r\n\tThen PET.\n"), Ok("Lobectomy.\n\n\tThen PET.".into()));
        assert_eq!(kept("Sia\u{302}n"), Ok("Siân".into()));
        for text in ["a\u{202e}b", "a\u{0}b", "a\u{200b}", "a\rb", "\u{1b}[2J"] {
            assert_eq!(kept(text), Err(ProseError::Hidden), "{text:?}");
        }
        for text in ["", " \n\t "] {
            assert_eq!(kept(text), Err(ProseError::Empty));
        }
        assert!(kept(&"é".repeat(PROSE_LEN_MAX)).is_ok());
        for length in [PROSE_LEN_MAX + 1, RAW_LEN_MAX + 1] {
            assert_eq!(kept(&"x".repeat(length)), Err(ProseError::TooLong));
        }
        assert_eq!(format!("{:?}", Prose::new("secret")), "Ok([hidden])");
    }
}
