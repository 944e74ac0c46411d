//! The bundled transport of a description: ICE credentials, certificate, DTLS role, SCTP. It refuses to know media.

use super::bounds;
use super::description::value;
use super::error::NegotiationError;
use consilium_media_core::params::{Fingerprint, FingerprintHash, IceCredentials};
use rtc::sdp::SessionDescription;
use rtc::sdp::description::common::Attribute;
use rtc::sdp::description::media::MediaDescription;

/// RFC 8841 section 6.1: without the attribute.
const MAX_MESSAGE_SIZE_DEFAULT: u32 = 65_536;

#[derive(Clone, Debug)]
pub(super) struct RemoteTransport {
    pub(super) ice: IceCredentials,
    pub(super) fingerprints: Vec<Fingerprint>,
    pub(super) setup: Setup,
    pub(super) max_message_size: u32,
}

/// RFC 8842 section 5; RFC 4145 section 4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Setup {
    Active,
    Passive,
    Either,
}

pub(super) fn parse(
    session: &SessionDescription,
    bundled_first: &MediaDescription,
) -> Result<RemoteTransport, NegotiationError> {
    // All of these may stand at the session level instead (RFC 8122, RFC 8839, RFC 8842).
    let either = |key| value(&bundled_first.attributes, key).or_else(|| value(&session.attributes, key));
    let ice = parse_ice(either("ice-ufrag"), either("ice-pwd"))?;
    let setup = match either("setup") {
        Some("active") => Setup::Active,
        Some("passive") => Setup::Passive,
        Some("actpass") => Setup::Either,
        _ => return Err(NegotiationError::InvalidSetup),
    };
    let own = parse_fingerprints(&bundled_first.attributes)?;
    let fingerprints = if own.is_empty() { parse_fingerprints(&session.attributes)? } else { own };
    if fingerprints.is_empty() {
        return Err(NegotiationError::NoFingerprint);
    }
    Ok(RemoteTransport { ice, fingerprints, setup, max_message_size: max_message_size(session) })
}

fn parse_ice(ufrag: Option<&str>, pwd: Option<&str>) -> Result<IceCredentials, NegotiationError> {
    let (Some(ufrag), Some(pwd)) = (ufrag, pwd) else { return Err(NegotiationError::NoIceCredentials) };
    // ice-char of RFC 8839 section 5.4; Firefox and older Chromium keep to it.
    let legal = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
    let fits = bounds::ICE_UFRAG_LEN.contains(&ufrag.len()) && bounds::ICE_PWD_LEN.contains(&pwd.len());
    if !fits || !legal(ufrag) || !legal(pwd) {
        return Err(NegotiationError::NoIceCredentials);
    }
    Ok(IceCredentials { ufrag: ufrag.to_owned(), pwd: pwd.to_owned() })
}

/// The fingerprints with a hash that we trust. Weaker ones beside a strong one are passed over; alone they are refused
/// (RFC 8122 section 5).
fn parse_fingerprints(attributes: &[Attribute]) -> Result<Vec<Fingerprint>, NegotiationError> {
    const HASHES: [FingerprintHash; 3] = [FingerprintHash::Sha256, FingerprintHash::Sha384, FingerprintHash::Sha512];
    let mut found: Vec<Fingerprint> = Vec::new();
    let mut weak = false;
    for line in attributes.iter().filter(|a| a.key == "fingerprint").filter_map(|a| a.value.as_deref()) {
        let (name, digits) = line.trim().split_once(' ').ok_or(NegotiationError::InvalidFingerprint)?;
        let Some(hash) = HASHES.into_iter().find(|hash| hash.name().eq_ignore_ascii_case(name)) else {
            weak = true;
            continue;
        };
        let bytes = parse_hex(digits.trim()).ok_or(NegotiationError::InvalidFingerprint)?;
        if bytes.len() != hash.output_len() {
            return Err(NegotiationError::InvalidFingerprint);
        }
        let fingerprint = Fingerprint { hash, bytes };
        if found.len() < bounds::FINGERPRINTS_MAX && !found.contains(&fingerprint) {
            found.push(fingerprint);
        }
    }
    if found.is_empty() && weak { Err(NegotiationError::WeakFingerprint) } else { Ok(found) }
}

/// `AB:CD:…`
fn parse_hex(digits: &str) -> Option<Vec<u8>> {
    let octet = |pair: &str| match pair.as_bytes() {
        [high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => u8::from_str_radix(pair, 16).ok(),
        _ => None,
    };
    digits.split(':').map(octet).collect()
}

fn max_message_size(session: &SessionDescription) -> u32 {
    let announced = session.media_descriptions.iter().find_map(|media| value(&media.attributes, "max-message-size"));
    match announced.and_then(|size| size.parse::<u64>().ok()) {
        // Zero means any size (RFC 8841 section 6).
        Some(0) => u32::MAX,
        Some(size) => u32::try_from(size).unwrap_or(u32::MAX),
        None => MAX_MESSAGE_SIZE_DEFAULT,
    }
}
