//! Connectivity checks of a controlling ICE agent (RFC 8445 section 7.2), on rtc-stun.

use super::PeerError;
use crate::random::Random;
use rtc::crypto::RTCCryptoProvider;
use rtc::crypto::providers::AwsLcRsProvider;
use rtc::stun::attributes::{ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME};
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Message, Setter, TransactionId};

/// Of a peer-reflexive candidate with the highest local preference (RFC 8445 section 5.1.2).
const PRIORITY: u32 = (110 << 24) + (65_535 << 8) + 255;

/// A Binding request that nominates its path.
pub(super) fn check(username: &str, password: &str, random: &mut Random) -> Result<Vec<u8>, PeerError> {
    let provider = AwsLcRsProvider::new();
    let mut message = Message::new();
    message.typ = BINDING_REQUEST;
    let mut transaction = [0; 12];
    transaction.copy_from_slice(&random.bytes(12));
    message.transaction_id = TransactionId(transaction);
    message.write_header();
    message.add(ATTR_USERNAME, username.as_bytes());
    message.add(ATTR_PRIORITY, &PRIORITY.to_be_bytes());
    message.add(ATTR_ICE_CONTROLLING, &random.next_u64().to_be_bytes());
    message.add(ATTR_USE_CANDIDATE, &[]);
    let integrity = MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), provider.crypto());
    let failed = |error: rtc::shared::error::Error| PeerError::Stun(error.to_string());
    integrity.add_to(&mut message).map_err(failed)?;
    FINGERPRINT.add_to(&mut message).map_err(failed)?;
    Ok(message.raw)
}

/// Whether this is a success answer from who knows the password.
pub(super) fn is_success(datagram: &[u8], password: &str) -> bool {
    let provider = AwsLcRsProvider::new();
    let mut message = Message::new();
    message.unmarshal_binary(datagram).is_ok()
        && message.typ == BINDING_SUCCESS
        && FINGERPRINT.check(&message).is_ok()
        && MessageIntegrity::check(&mut message, password.as_bytes(), provider.crypto()).is_ok()
}
