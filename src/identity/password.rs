//! Passwords: what may be one (NIST SP 800-63B section 5.1.1.2: long rather than odd, none that everybody tries first), and
//! the hash that is kept of it (argon2id). It knows neither accounts nor when somebody tries.

use argon2::Argon2;
use argon2::password_hash::phc;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use rand::Rng;
use std::fmt;
use unicode_normalization::UnicodeNormalization;

/// In characters. NIST asks for 8, or 15 where nothing else protects; attempts are limited here.
pub const PASSWORD_LEN_MIN: usize = 12;
/// In characters. NIST asks for 64 at least; a bound, because hashing takes what it gets.
pub const PASSWORD_LEN_MAX: usize = 128;
/// Below this many different characters it is one word typed over and over.
const DIFFERENT_MIN: usize = 5;
/// A part of a password that is the login tells nobody anything new; shorter logins occur by chance.
const LOGIN_PART_MIN: usize = 4;
/// 20 of 32 letters: 100 bits.
const GENERATED_LEN: usize = 20;
/// Without what is read as something else.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
/// Of those that lists of leaked passwords have in the first places and that are long enough: compared without case.
const COMMON: &[&str] = &[
    "123456789012",
    "1234567890123",
    "12345678901234",
    "123456789012345",
    "1234567890123456",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "1qazxsw23edc",
    "abcdefghijkl",
    "administrator",
    "administrator1",
    "changemeplease",
    "correcthorsebatterystaple",
    "iloveyou1234",
    "letmein12345",
    "password1234",
    "password12345",
    "password123456",
    "password2026",
    "passwordpassword",
    "p@ssw0rd1234",
    "qazwsxedcrfv",
    "qwerty123456",
    "qwertyqwerty",
    "qwertyuiop123",
    "qwertyuiop[]",
    "qwertyuiopas",
    "welcome12345",
    "welcome123456",
    "zxcvbnm12345",
];

/// A password in Unicode's form KC, so that every keyboard's spelling is one. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasswordFlaw {
    #[error("A password has at least 12 characters.")]
    TooShort,
    #[error("A password has at most 128 characters.")]
    TooLong,
    #[error("This password is among the first that anybody tries. Take another, for instance several words.")]
    Common,
    #[error("A password does not hold the name that one signs in with.")]
    HoldsLogin,
}

impl Password {
    /// One that somebody wants to have from now on.
    pub fn chosen(text: &str, login: &str) -> Result<Self, PasswordFlaw> {
        let password = Self::presented(text).ok_or(PasswordFlaw::TooLong)?;
        let folded = password.0.to_lowercase();
        let mut different: Vec<char> = folded.chars().collect();
        different.sort_unstable();
        different.dedup();
        if password.0.chars().count() < PASSWORD_LEN_MIN {
            return Err(PasswordFlaw::TooShort);
        }
        if different.len() < DIFFERENT_MIN || COMMON.contains(&folded.as_str()) {
            return Err(PasswordFlaw::Common);
        }
        if login.len() >= LOGIN_PART_MIN && folded.contains(&login.to_lowercase()) {
            return Err(PasswordFlaw::HoldsLogin);
        }
        Ok(password)
    }

    /// One that somebody says they have. `None` where it is longer than any.
    pub fn presented(text: &str) -> Option<Self> {
        // What is far too long is not normalised first.
        let normal: String = (text.len() <= PASSWORD_LEN_MAX * 16).then(|| text.nfkc().collect())?;
        (normal.chars().count() <= PASSWORD_LEN_MAX).then_some(Self(normal))
    }

    /// One that nobody chose.
    pub fn generate() -> Self {
        let mut random = [0; GENERATED_LEN];
        rand::rng().fill_bytes(&mut random);
        Self(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
    }

    /// Named so that a reader of the call sees what is given away.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Takes about 20 ms of a core and 19 MiB: for a thread that may block. `None` where the system has no randomness.
    pub fn hash(&self) -> Option<PasswordHash> {
        let hash: phc::PasswordHash = argon2().hash_password(self.0.as_bytes()).ok()?;
        Some(PasswordHash(hash.to_string()))
    }

    /// As slow as [`Password::hash`], and slow too where there is nothing to compare with: time must not tell which accounts
    /// exist.
    pub fn matches(&self, hash: Option<&PasswordHash>) -> bool {
        match hash.and_then(|hash| phc::PasswordHash::new(&hash.0).ok()) {
            Some(hash) => argon2().verify_password(self.0.as_bytes(), &hash).is_ok(),
            None => {
                let _ = self.hash();
                false
            }
        }
    }
}

/// OWASP's recommendation, which is the library's default: argon2id with 19 MiB, two passes, one lane.
fn argon2() -> Argon2<'static> {
    Argon2::default()
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// In the PHC string format, which holds algorithm, costs and salt.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_and_not_what_everybody_tries() {
        for good in ["three blue horses", "zw\u{f6}lf kleine B\u{e4}ren", "正确的马电池钉书针三四五"] {
            assert!(Password::chosen(good, "ann").is_ok(), "{good}");
        }
        for (wrong, flaw) in [
            ("", PasswordFlaw::TooShort),
            ("elevenchars", PasswordFlaw::TooShort),
            ("Password1234", PasswordFlaw::Common),
            ("ｐａｓｓｗｏｒｄ１２３４", PasswordFlaw::Common),
            ("aaaaaaaaaaaaaaaa", PasswordFlaw::Common),
            ("abababababababab", PasswordFlaw::Common),
            ("my name is Ann.Other!", PasswordFlaw::HoldsLogin),
        ] {
            assert_eq!(Password::chosen(wrong, "ann.other"), Err(flaw), "{wrong}");
        }
        for length in [PASSWORD_LEN_MAX + 1, 1 << 20] {
            assert_eq!(Password::chosen(&"x".repeat(length), "ann"), Err(PasswordFlaw::TooLong));
        }
        assert!(Password::chosen(Password::generate().expose(), "ann").is_ok());
        assert_ne!(Password::generate(), Password::generate());
    }

    #[test]
    fn every_entry_of_the_list_would_otherwise_be_a_password() {
        for common in COMMON {
            assert!(common.len() >= PASSWORD_LEN_MIN, "{common} is refused for its length already");
            assert_eq!(Password::chosen(common, "ann"), Err(PasswordFlaw::Common), "{common}");
        }
    }

    #[test]
    fn a_hash_is_of_one_password_in_every_spelling_and_never_twice_the_same() {
        let composed = Password::chosen("dr si\u{e2}n has twelve", "x").unwrap();
        let hash = composed.hash().unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        assert!(composed.matches(Some(&hash)));
        assert!(Password::presented("dr sia\u{302}n has twelve").unwrap().matches(Some(&hash)));
        assert!(!Password::presented("dr sian has twelve").unwrap().matches(Some(&hash)));
        assert!(!composed.matches(None));
        assert!(!composed.matches(Some(&PasswordHash::from_stored("$argon2id$".into()))));
        assert_ne!(composed.hash().unwrap(), hash);
        assert!(!format!("{composed:?} {hash:?}").contains("twelve"));
    }
}
