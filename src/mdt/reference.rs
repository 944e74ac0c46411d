//! How a case is called: a number or code of the host's own system, which tells nobody whose case it is. The form leaves no
//! place for a name, and the one number that identifies a patient anywhere in England is refused.

use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;

/// In characters. Accession and pathway numbers have about 20.
pub const REFERENCE_LEN_MAX: usize = 32;
const PATTERN: &str = "^[A-Za-z0-9._/-]*[0-9][A-Za-z0-9._/-]*$";

#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Reference(String);

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReferenceError {
    #[error("a reference has 1 to 32 letters, digits, dots, slashes, hyphens and underscores, one digit among them")]
    Form,
    #[error("a reference is not an NHS number, which tells who the patient is")]
    NhsNumber,
}

impl Reference {
    pub fn new(text: &str) -> Result<Self, ReferenceError> {
        let fits = (1..=REFERENCE_LEN_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte))
            && text.bytes().any(|byte| byte.is_ascii_digit());
        match (fits, is_nhs_number(text)) {
            (false, _) => Err(ReferenceError::Form),
            (true, true) => Err(ReferenceError::NhsNumber),
            (true, false) => Ok(Self(text.to_owned())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Ten digits of which the last is the check digit of the others, modulo 11 (NHS Data Dictionary, "NHS NUMBER").
fn is_nhs_number(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter(|c| !"._/-".contains(*c)).map_while(|c| c.to_digit(10)).collect();
    if digits.len() != 10 || text.chars().any(|c| c.is_ascii_alphabetic()) {
        return false;
    }
    let sum: u32 = digits[..9].iter().zip((2..=10).rev()).map(|(digit, weight)| digit * weight).sum();
    (11 - sum % 11) % 11 == digits[9]
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The host's system knows whose it is, and so may a reader of our log.
        f.write_str("[hidden]")
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Reference {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::schema::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .min_length(Some(1))
            .max_length(Some(REFERENCE_LEN_MAX))
            .pattern(Some(PATTERN))
            .description(Some("A number or code that does not tell whose case it is. NHS numbers are refused."))
            .into()
    }
}

impl utoipa::ToSchema for Reference {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_code_and_neither_a_name_nor_an_nhs_number() {
        for good in ["1", "LUNG-2026/0042", "a.b_7", "9434765918", "943-476-591", "X9434765919"] {
            assert!(Reference::new(good).is_ok(), "{good}");
        }
        for bad in ["", "Smith", "John Smith 1", "é1", "a1\n", "<1>", "=1+1", &"1".repeat(33)] {
            assert_eq!(Reference::new(bad), Err(ReferenceError::Form), "{bad}");
        }
        for number in ["9434765919", "943-476-5919", "943.476.5919", "0000000000"] {
            assert_eq!(Reference::new(number), Err(ReferenceError::NhsNumber), "{number}");
        }
    }
}
