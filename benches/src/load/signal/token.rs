//! Join tokens as any of the server SDKs makes them.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TTL: Duration = Duration::from_secs(6 * 3_600);

pub(super) fn join_token(key: &str, secret: &str, room: &str, identity: &str) -> Result<String, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let claims = json!({
        "iss": key,
        "sub": identity,
        "name": identity,
        // Clocks differ.
        "nbf": now.as_secs().saturating_sub(60),
        "exp": (now + TTL).as_secs(),
        "video": { "room": room, "roomJoin": true, "canPublish": true, "canSubscribe": true, "canPublishData": true },
    });
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    #[test]
    fn a_token_names_its_room_and_holder() {
        let token = join_token("key", "a secret of enough length to be one", "mdt", "anna").unwrap();
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!((&claims["sub"], &claims["video"]["room"]), (&json!("anna"), &json!("mdt")));
        assert!(claims["exp"].as_u64() > claims["nbf"].as_u64());
    }
}
