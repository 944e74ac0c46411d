//! Short texts that people write and others read: names and titles. They are kept in one normal form, and free of what
//! would let one text pass for another or disturb the line that it stands in.

use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

/// In characters, after normalisation. Long enough for every title that fits a line of a list.
pub const NAME_LEN_MAX: usize = 120;
/// Marks on one letter: more than any script writes, fewer than what paints over the neighbours' lines.
const MARKS_MAX: usize = 4;

/// A text of 1 to [`NAME_LEN_MAX`] characters in Unicode's normal form C, without leading, trailing or repeated space.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    #[error("the text is empty")]
    Empty,
    #[error("the text has more than 120 characters")]
    TooLong,
    #[error("the text has characters that cannot be seen or that turn the direction of what follows")]
    Hidden,
}

impl Name {
    pub fn new(text: &str) -> Result<Self, NameError> {
        // What is far too long is not normalised first: a character becomes 18 at most, and none becomes fewer than a
        // quarter.
        if text.len() > NAME_LEN_MAX * 16 {
            return Err(NameError::TooLong);
        }
        // ASCII is normal as it is, and most of what is read from the store.
        let normal = if text.is_ascii() { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect::<String>()) };
        if normal.chars().any(is_hidden) || (!normal.is_ascii() && has_heaps_of_marks(&normal)) {
            return Err(NameError::Hidden);
        }
        let words: Vec<_> = normal.split_whitespace().collect();
        let name = words.join(" ");
        match name.chars().count() {
            0 => Err(NameError::Empty),
            1..=NAME_LEN_MAX => Ok(Self(name)),
            _ => Err(NameError::TooLong),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For searching: compatible forms are one, and case is none.
    pub fn folded(&self) -> String {
        fold(&self.0)
    }
}

/// The form in which texts are searched.
pub fn fold(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).collect()
}

/// For HTML, between tags and in quoted attributes.
pub fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// Control characters; those that Unicode gives no width, except the two joiners that scripts of India and Persia need; the
/// ones that set or override direction (UAX #9); and those outside of what is interchanged.
pub(crate) fn is_hidden(c: char) -> bool {
    match c {
        '\u{200c}' | '\u{200d}' => false,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}' => true,
        '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}' => true,
        _ => c.is_control() || u32::from(c) & 0xfffe == 0xfffe,
    }
}

fn has_heaps_of_marks(text: &str) -> bool {
    let mut marks = 0;
    text.nfd().any(|c| {
        marks = if unicode_normalization::char::is_combining_mark(c) { marks + 1 } else { 0 };
        marks > MARKS_MAX
    })
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It may be a person's, and debug output ends in logs.
        f.write_str("[hidden]")
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Name {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::schema::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .min_length(Some(1))
            .max_length(Some(NAME_LEN_MAX))
            .description(Some("Visible characters; kept in Unicode's normal form C, with single spaces."))
            .into()
    }
}

impl utoipa::ToSchema for Name {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_script_are_kept_in_one_form() {
        for (text, kept) in [
            ("  Dr  Siân\u{a0}Ó Briain ", "Dr Siân Ó Briain"),
            ("Sia\u{302}n", "Siân"),
            ("王医生", "王医生"),
            ("د. ليلى", "د. ليلى"),
            ("क्\u{200d}ष", "क्\u{200d}ष"),
            ("<b>'; DROP TABLE meetings; --", "<b>'; DROP TABLE meetings; --"),
            ("👩\u{200d}⚕\u{fe0f}", "👩\u{200d}⚕\u{fe0f}"),
        ] {
            assert_eq!(Name::new(text).map(String::from).as_deref(), Ok(kept), "{text:?}");
        }
        assert_eq!(Name::new(&"é".repeat(NAME_LEN_MAX)).map(|name| name.as_str().len()), Ok(2 * NAME_LEN_MAX));
    }

    #[test]
    fn what_cannot_be_seen_or_turns_the_line_is_refused() {
        for text in [
            "a\nb",
            "a\u{0}",
            "a\u{202e}b",
            "\u{2066}a",
            "a\u{200b}",
            "\u{feff}a",
            "a\u{e0041}",
            "\u{fffe}",
            "a\u{3164}",
        ] {
            assert_eq!(Name::new(text), Err(NameError::Hidden), "{text:?}");
        }
        assert_eq!(Name::new(&format!("a{}", "\u{335}".repeat(5))), Err(NameError::Hidden));
        for text in ["", "  ", "\u{3000}"] {
            assert_eq!(Name::new(text), Err(NameError::Empty), "{text:?}");
        }
        for text in ["x".repeat(NAME_LEN_MAX + 1), "x".repeat(1 << 20)] {
            assert_eq!(Name::new(&text), Err(NameError::TooLong));
        }
    }

    #[test]
    fn searching_does_not_see_case_or_width() {
        assert_eq!(fold("Ｌｕｎｇ ΜΔΤ"), fold("lung μδτ"));
        assert_eq!(Name::new("Lung MDT").map(|name| name.folded()).as_deref(), Ok("lung mdt"));
    }
}
