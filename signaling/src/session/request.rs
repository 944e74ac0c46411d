//! What a join request says: a protobuf message in the query, or parameters of their own.

use crate::room::permission::Permission;
use crate::room::{ConnectionMode, Join};
use crate::rooms::Entry;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use flate2::read::GzDecoder;
use livekit_protocol::wrapped_join_request::Compression;
use livekit_protocol::{ClientInfo, JoinRequest, WrappedJoinRequest};
use prost::Message;
use std::collections::HashMap;
use std::io::Read;

/// Longest join request once decompressed, in bytes: a description of 256 KiB and what stands beside it. The URL bounds
/// the compressed one.
const JOIN_REQUEST_LEN_MAX: u64 = 512 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("the query cannot be read")]
    Query,
    #[error("the join request cannot be read")]
    JoinRequest,
    #[error("the join request is too long")]
    TooLong,
}

/// `/rtc/v1`: one peer connection.
pub(super) fn from_join_request(parameters: &HashMap<String, String>) -> Result<Entry, RequestError> {
    let request = match parameters.get("join_request") {
        Some(encoded) => decode(encoded)?,
        None => JoinRequest::default(),
    };
    if request.reconnect {
        return Ok(Entry::Resume { participant_sid: request.participant_sid });
    }
    let settings = request.connection_settings.as_ref();
    let auto_subscribe = settings.is_none_or(|settings| settings.auto_subscribe);
    let adaptive_stream = settings.is_some_and(|settings| settings.adaptive_stream);
    Ok(Entry::Join(Box::new(Join {
        metadata: request.metadata,
        attributes: request.participant_attributes,
        client: request.client_info.unwrap_or_default(),
        auto_subscribe,
        adaptive_stream,
        add_tracks: request.add_track_requests,
        offer: request.publisher_offer.filter(|offer| !offer.sdp.is_empty()),
        ..nobody(ConnectionMode::Single)
    })))
}

/// `/rtc`: two peer connections.
pub(super) fn from_query(parameters: &HashMap<String, String>) -> Result<Entry, RequestError> {
    let text = |name: &str| parameters.get(name).cloned().unwrap_or_default();
    if flag(parameters, "reconnect") == Some(true) {
        return Ok(Entry::Resume { participant_sid: text("sid") });
    }
    let attributes = match parameters.get("attributes").filter(|text| !text.is_empty()) {
        Some(text) => serde_json::from_str(text).map_err(|_| RequestError::Query)?,
        None => HashMap::new(),
    };
    let number = |name: &str| parameters.get(name).and_then(|value| value.parse().ok()).unwrap_or_default();
    let client = ClientInfo {
        version: text("version"),
        protocol: number("protocol"),
        os: text("os"),
        os_version: text("os_version"),
        device_model: text("device_model"),
        browser: text("browser"),
        browser_version: text("browser_version"),
        network: text("network"),
        client_protocol: number("client_protocol"),
        ..Default::default()
    };
    let auto_subscribe = flag(parameters, "auto_subscribe").unwrap_or(true);
    let adaptive_stream = flag(parameters, "adaptive_stream").unwrap_or(false);
    Ok(Entry::Join(Box::new(Join {
        attributes,
        client,
        auto_subscribe,
        adaptive_stream,
        ..nobody(ConnectionMode::Dual)
    })))
}

/// Who it is and what they may do stands in the token, and is filled in from it.
fn nobody(mode: ConnectionMode) -> Join {
    Join {
        identity: String::new(),
        name: String::new(),
        metadata: String::new(),
        attributes: HashMap::new(),
        permission: Permission {
            can_subscribe: false,
            can_publish: false,
            can_publish_data: false,
            can_update_metadata: false,
            hidden: false,
            recorder: false,
            sources: None,
        },
        kind: 0,
        client: ClientInfo::default(),
        auto_subscribe: true,
        adaptive_stream: false,
        mode,
        add_tracks: Vec::new(),
        offer: None,
    }
}

fn flag(parameters: &HashMap<String, String>, name: &str) -> Option<bool> {
    match parameters.get(name).map(String::as_str) {
        Some("1" | "true") => Some(true),
        Some("0" | "false") => Some(false),
        _ => None,
    }
}

/// Base64url, with or without padding; some SDKs use the standard alphabet.
fn decode(encoded: &str) -> Result<JoinRequest, RequestError> {
    let standard: String = encoded
        .trim_end_matches('=')
        .chars()
        .map(|c| match c {
            '-' => '+',
            // A plus sign that nobody escaped reads as a space.
            '_' => '/',
            ' ' => '+',
            c => c,
        })
        .collect();
    let bytes = STANDARD_NO_PAD.decode(standard).map_err(|_| RequestError::JoinRequest)?;
    let wrapped = WrappedJoinRequest::decode(&bytes[..]).map_err(|_| RequestError::JoinRequest)?;
    let message = match wrapped.compression() {
        Compression::None => wrapped.join_request,
        Compression::Gzip => inflate(&wrapped.join_request)?,
    };
    JoinRequest::decode(&message[..]).map_err(|_| RequestError::JoinRequest)
}

/// A few bytes can inflate to gigabytes: reading stops at the limit.
fn inflate(compressed: &[u8]) -> Result<Vec<u8>, RequestError> {
    let mut message = Vec::new();
    let mut decoder = GzDecoder::new(compressed).take(JOIN_REQUEST_LEN_MAX + 1);
    decoder.read_to_end(&mut message).map_err(|_| RequestError::JoinRequest)?;
    if message.len() as u64 > JOIN_REQUEST_LEN_MAX { Err(RequestError::TooLong) } else { Ok(message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
    use flate2::Compression as Level;
    use flate2::write::GzEncoder;
    use livekit_protocol::{ConnectionSettings, SessionDescription};
    use proptest::prelude::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Level::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn wrapped(compression: Compression, join_request: Vec<u8>) -> Vec<u8> {
        WrappedJoinRequest { compression: compression.into(), join_request }.encode_to_vec()
    }

    fn parse(encoded: String) -> Result<Entry, RequestError> {
        from_join_request(&HashMap::from([("join_request".to_owned(), encoded)]))
    }

    fn request() -> JoinRequest {
        JoinRequest {
            connection_settings: Some(ConnectionSettings { adaptive_stream: true, ..Default::default() }),
            publisher_offer: Some(SessionDescription { sdp: "v=0".into(), id: 7, ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn a_join_request_is_read_in_every_encoding_of_the_sdks() {
        let message = request().encode_to_vec();
        let plain = wrapped(Compression::None, message.clone());
        let compressed = wrapped(Compression::Gzip, gzip(&message));
        for encoded in [
            URL_SAFE.encode(&plain),
            URL_SAFE_NO_PAD.encode(&plain),
            STANDARD_NO_PAD.encode(&plain),
            URL_SAFE.encode(&compressed),
        ] {
            let Ok(Entry::Join(join)) = parse(encoded) else { panic!("not a join") };
            assert!(!join.auto_subscribe && join.adaptive_stream);
            assert_eq!(join.offer.map(|offer| offer.id), Some(7));
        }
    }

    #[test]
    fn a_compression_bomb_is_refused_without_being_inflated() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        let error = parse(URL_SAFE.encode(wrapped(Compression::Gzip, bomb))).err();
        assert_eq!(error, Some(RequestError::TooLong));
    }

    #[test]
    fn a_reconnect_names_its_participant_in_both_forms() {
        let request = JoinRequest { reconnect: true, participant_sid: "PA_1".into(), ..Default::default() };
        let single = parse(URL_SAFE.encode(wrapped(Compression::None, request.encode_to_vec())));
        let query = [("reconnect", "1"), ("sid", "PA_1")];
        let dual = from_query(&query.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        for entry in [single, dual] {
            assert!(matches!(entry, Ok(Entry::Resume { participant_sid }) if participant_sid == "PA_1"));
        }
    }

    proptest! {
        #[test]
        fn no_join_request_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(URL_SAFE.encode(&bytes));
            let _ = parse(URL_SAFE.encode(wrapped(Compression::Gzip, bytes.clone())));
            let _ = parse(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}
