//! Access tokens: who may do what, signed with a key that host and server share (HS256, RFC 7515, RFC 7519).
//!
//! This file owns the claims, their JSON and the verification. It does not know rooms or HTTP: whoever acts asks the
//! [`VideoGrants`] of the verified [`Claims`].

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use livekit_protocol::{RoomConfiguration, TrackSource};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Allowed difference between our clock and the signer's. Hosts run NTP; a minute would let a token live on after the
/// host believes it dead.
pub const CLOCK_LEEWAY: Duration = Duration::from_secs(10);
/// Longest token looked at, in bytes. A token carries metadata and attributes; URLs of 64 KiB are accepted.
pub const TOKEN_LEN_MAX: usize = 64 * 1024;

/// The API keys of this server and their secrets. `Debug` hides the secrets.
#[derive(Clone, Default)]
pub struct ApiKeys {
    secrets: HashMap<String, String>,
}

impl ApiKeys {
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { secrets: pairs.into_iter().collect() }
    }

    pub fn single(key: impl Into<String>, secret: impl Into<String>) -> Self {
        Self::new([(key.into(), secret.into())])
    }

    /// The key that [`ApiKeys::sign`] uses: the first in alphabetical order, so that it does not change between starts.
    pub fn signing_key(&self) -> Option<&str> {
        self.secrets.keys().map(String::as_str).min()
    }

    /// Verifies the signature and the times of a token. Grants are for the caller to look at.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Claims, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > TOKEN_LEN_MAX {
            return Err(TokenError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        if header.alg != Algorithm::HS256 {
            return Err(TokenError::UnsupportedAlgorithm);
        }
        // Nothing of this first look is believed but the name of the key, which the signature then proves or disproves.
        let Issuer { iss } =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| TokenError::Malformed)?;
        let secret = self.secrets.get(&iss).ok_or(TokenError::UnknownKey)?;
        let key = DecodingKey::from_secret(secret.as_bytes());
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation())
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::InvalidSignature => TokenError::BadSignature,
                _ => TokenError::Malformed,
            })?
            .claims;
        claims.check_times(now)?;
        Ok(claims)
    }

    /// A key for another purpose, which `context` names, derived from the secret of [`ApiKeys::signing_key`]
    /// (HMAC-SHA256, RFC 2104).
    pub fn derive(&self, context: &str) -> Option<[u8; 32]> {
        let secret = &self.secrets[self.signing_key()?];
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        aws_lc_rs::hmac::sign(&key, context.as_bytes()).as_ref().try_into().ok()
    }

    /// Signs `claims` with [`ApiKeys::signing_key`], valid from `now` for `ttl`. `iss`, `nbf` and `exp` of `claims` are
    /// replaced.
    pub fn sign(&self, claims: &Claims, now: SystemTime, ttl: Duration) -> Result<String, SignError> {
        let key = self.signing_key().ok_or(SignError::NoKey)?;
        let claims = Claims {
            iss: key.to_owned(),
            nbf: Some(unix_seconds(now)),
            exp: unix_seconds(now).saturating_add(ttl.as_secs()),
            ..claims.clone()
        };
        let secret = EncodingKey::from_secret(self.secrets[key].as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &secret).map_err(|_| SignError::Encoding)
    }
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKeys").field("keys", &self.secrets.len()).finish_non_exhaustive()
    }
}

/// Why a token is not accepted. `Display` is a sentence for the person who made the token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum TokenError {
    #[error("no access token was given")]
    Missing,
    #[error("the access token is not a valid JSON Web Token")]
    Malformed,
    #[error("the access token is not signed with HS256")]
    UnsupportedAlgorithm,
    #[error("the access token names an API key that this server does not have")]
    UnknownKey,
    #[error("the access token's signature is wrong")]
    BadSignature,
    #[error("the access token has expired")]
    Expired,
    #[error("the access token is not valid yet")]
    NotYetValid,
    #[error("the access token carries no identity")]
    NoIdentity,
    #[error("the access token does not grant joining a room")]
    NoJoinGrant,
    #[error("the access token names no room")]
    NoRoom,
}

impl TokenError {
    /// A stable word for metrics and problem details.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Malformed => "token_malformed",
            Self::UnsupportedAlgorithm => "token_unsupported_algorithm",
            Self::UnknownKey => "token_unknown_key",
            Self::BadSignature => "token_bad_signature",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::NoIdentity => "token_no_identity",
            Self::NoJoinGrant => "token_no_join_grant",
            Self::NoRoom => "token_no_room",
        }
    }
}

/// Why a token cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignError {
    #[error("there is no API key to sign with")]
    NoKey,
    #[error("the claims cannot be encoded")]
    Encoding,
}

/// What a token says. `Debug` shows no name, identity or metadata.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Claims {
    /// The API key that signed.
    #[serde(deserialize_with = "null_as_default")]
    pub iss: String,
    /// Seconds since the Unix epoch.
    #[serde(deserialize_with = "seconds")]
    pub exp: u64,
    #[serde(deserialize_with = "optional_seconds", skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// The participant's identity, unique in a room.
    #[serde(rename = "sub", deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub identity: String,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "HashMap::is_empty")]
    pub attributes: HashMap<String, String>,
    #[serde(deserialize_with = "null_as_default")]
    pub video: VideoGrants,
    /// How the room is made if it does not exist yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_config: Option<Box<RoomConfiguration>>,
    /// Base64 of the SHA-256 of a signed body (webhooks).
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    /// The kind of participant: empty and `standard` are people.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub kind: String,
}

impl Claims {
    /// Whether the token lets its bearer join, and which room.
    pub fn join_room(&self) -> Result<&str, TokenError> {
        if !self.video.room_join {
            return Err(TokenError::NoJoinGrant);
        }
        if self.video.room.is_empty() {
            return Err(TokenError::NoRoom);
        }
        if self.identity.is_empty() {
            return Err(TokenError::NoIdentity);
        }
        Ok(&self.video.room)
    }

    /// For a room that does not exist yet: it takes so many people.
    pub fn with_room_for(self, max_participants: u32) -> Self {
        let config = self.room_config.unwrap_or_default();
        Self { room_config: Some(Box::new(RoomConfiguration { max_participants, ..*config })), ..self }
    }

    fn check_times(&self, now: SystemTime) -> Result<(), TokenError> {
        let now = unix_seconds(now);
        let leeway = CLOCK_LEEWAY.as_secs();
        if self.nbf.is_some_and(|nbf| nbf > now.saturating_add(leeway)) {
            return Err(TokenError::NotYetValid);
        }
        // A token without `exp` reads as expired in 1970: a token that never ends cannot be taken back.
        if self.exp.saturating_add(leeway) <= now {
            return Err(TokenError::Expired);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims").field("video", &self.video).field("exp", &self.exp).finish_non_exhaustive()
    }
}

/// What the bearer may do. An absent `can_*` grant means yes, as the server SDKs document; an absent `room_*` means no.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VideoGrants {
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub room: String,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub room_join: bool,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub room_create: bool,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub room_list: bool,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub room_admin: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_data: Option<bool>,
    /// Names of sources as in the token; empty allows every source. Ask [`VideoGrants::may_publish`].
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub can_publish_sources: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_update_own_metadata: Option<bool>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub hidden: bool,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub recorder: bool,
}

impl VideoGrants {
    /// Whether a track of this source may be published. A name that we do not know allows nothing, and a list of only
    /// such names is not an empty list.
    pub fn may_publish(&self, source: TrackSource) -> bool {
        self.can_publish.unwrap_or(true)
            && (self.can_publish_sources.is_empty()
                || self.can_publish_sources.iter().any(|name| source_from_name(name) == Some(source)))
    }

    /// The sources of [`VideoGrants::can_publish_sources`] that we know.
    pub fn publish_sources(&self) -> Vec<TrackSource> {
        self.can_publish_sources.iter().filter_map(|name| source_from_name(name)).collect()
    }

    pub fn may_subscribe(&self) -> bool {
        self.can_subscribe.unwrap_or(true)
    }

    /// Data follows `canPublish` where the token does not say.
    pub fn may_publish_data(&self) -> bool {
        self.can_publish_data.unwrap_or_else(|| self.can_publish.unwrap_or(true))
    }

    /// The one `can_*` grant that must be given: a participant's metadata is what hosts tell about them.
    pub fn may_update_own_metadata(&self) -> bool {
        self.can_update_own_metadata.unwrap_or(false)
    }

    /// Whether the bearer may administer `room`.
    pub fn may_administer(&self, room: &str) -> bool {
        self.room_admin && !room.is_empty() && self.room == room
    }
}

/// The server SDKs write sources in lower case (`screen_share`), JSON of the protobufs in upper case.
fn source_from_name(name: &str) -> Option<TrackSource> {
    TrackSource::from_str_name(&name.to_ascii_uppercase())
}

#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

/// HS256 alone, whatever the token's header says; the times are checked by [`Claims::check_times`] against the caller's
/// clock.
fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Some SDKs write `null` for what is not set.
fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(optional_seconds(deserializer)?.unwrap_or(0))
}

/// RFC 7519 section 2: a NumericDate may have a fraction.
fn optional_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum NumericDate {
        Whole(u64),
        Fraction(f64),
    }
    // A float saturates when converted: negative becomes 0, which is long ago.
    Ok(Option::<NumericDate>::deserialize(deserializer)?.map(|date| match date {
        NumericDate::Whole(value) => value,
        NumericDate::Fraction(value) => value as u64,
    }))
}

#[cfg(test)]
mod tests;
