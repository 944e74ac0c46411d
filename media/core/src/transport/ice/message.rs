//! STUN messages as bytes: reading a connectivity check, writing its answer (RFC 8489, RFC 8445 section 7).
//!
//! Reading borrows from the datagram and allocates nothing, because anybody may send us one. Knows nothing of peers.

use crate::drops::DropReason;
use aws_lc_rs::{constant_time, hmac};
use smallvec::SmallVec;
use std::net::{IpAddr, SocketAddr};

const HEADER_LEN: usize = 20;
const ATTRIBUTE_HEADER_LEN: usize = 4;
const MAGIC_COOKIE: [u8; 4] = 0x2112_a442_u32.to_be_bytes();
const TRANSACTION_LEN: usize = 12;
const INTEGRITY_LEN: usize = 20;
const FINGERPRINT_LEN: usize = 4;
/// RFC 8489 section 14.7.
const FINGERPRINT_XOR: u32 = 0x5354_554e;

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_INDICATION: u16 = 0x0011;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLED: u16 = 0x8029;
/// Below it, an attribute must be understood (RFC 8489 section 14).
const COMPREHENSION_OPTIONAL: u16 = 0x8000;

/// Attribute types named in a 420 answer. More than that is not a confused client.
const UNKNOWN_ATTRIBUTES_MAX: usize = 8;
/// The longest answer: header, ERROR-CODE with its phrase, UNKNOWN-ATTRIBUTES, integrity and fingerprint make 104
/// bytes.
const ANSWER_LEN_MAX: usize = 128;

/// What a STUN message asks for. Everything else that STUN can say is refused by [`parse_stun`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StunClass {
    /// A Binding request: a connectivity or consent check.
    Request,
    /// A Binding indication: keeps a NAT open, is never answered (RFC 8445 section 11).
    Indication,
}

/// A well-formed STUN message from an unknown sender. Nothing in it may be trusted before [`StunMessage::verify`].
#[derive(Clone, Debug)]
pub struct StunMessage<'a> {
    bytes: &'a [u8],
    pub class: StunClass,
    username: Option<&'a str>,
    /// Where MESSAGE-INTEGRITY starts.
    integrity_at: Option<usize>,
    /// The sender nominates the path (RFC 8445 section 7.1.2).
    pub use_candidate: bool,
    /// The sender believes that it is the controlled agent.
    pub controlled: bool,
    /// Comprehension-required attributes that we do not know.
    unknown: SmallVec<[u16; UNKNOWN_ATTRIBUTES_MAX]>,
}

/// Takes a datagram apart. Checks all lengths, and FINGERPRINT where there is one; no secret is needed.
pub fn parse_stun(datagram: &[u8]) -> Result<StunMessage<'_>, DropReason> {
    let malformed = DropReason::StunMalformed;
    let header = datagram.get(..HEADER_LEN).ok_or(malformed)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[4..8] != MAGIC_COOKIE || length % 4 != 0 || HEADER_LEN + length != datagram.len() {
        return Err(malformed);
    }
    let class = match u16::from_be_bytes([header[0], header[1]]) {
        BINDING_REQUEST => StunClass::Request,
        BINDING_INDICATION => StunClass::Indication,
        _ => return Err(DropReason::StunUnexpected),
    };
    let mut message = StunMessage {
        bytes: datagram,
        class,
        username: None,
        integrity_at: None,
        use_candidate: false,
        controlled: false,
        unknown: SmallVec::new(),
    };
    let mut at = HEADER_LEN;
    while at < datagram.len() {
        let head = datagram.get(at..at + ATTRIBUTE_HEADER_LEN).ok_or(malformed)?;
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let start = at + ATTRIBUTE_HEADER_LEN;
        let value = datagram.get(start..start + len).ok_or(malformed)?;
        message.take_attribute(kind, value, at)?;
        at = start + len.next_multiple_of(4);
    }
    // The total is a multiple of four and each attribute is padded to one, so only an overrun could differ.
    if at == datagram.len() { Ok(message) } else { Err(malformed) }
}

impl<'a> StunMessage<'a> {
    fn take_attribute(&mut self, kind: u16, value: &'a [u8], at: usize) -> Result<(), DropReason> {
        if kind == FINGERPRINT {
            return self.check_fingerprint(value, at);
        }
        if self.integrity_at.is_some() {
            // RFC 8489 section 14.5: what follows the integrity is not covered by it, so it does not count.
            return Ok(());
        }
        match kind {
            MESSAGE_INTEGRITY if value.len() == INTEGRITY_LEN => self.integrity_at = Some(at),
            MESSAGE_INTEGRITY => return Err(DropReason::StunMalformed),
            USERNAME if self.username.is_none() => {
                self.username = Some(std::str::from_utf8(value).map_err(|_| DropReason::StunMalformed)?);
            }
            USE_CANDIDATE => self.use_candidate = true,
            ICE_CONTROLLED => self.controlled = true,
            USERNAME | PRIORITY | MESSAGE_INTEGRITY_SHA256 => {}
            _ if kind < COMPREHENSION_OPTIONAL && self.unknown.len() < UNKNOWN_ATTRIBUTES_MAX => {
                self.unknown.push(kind);
            }
            _ => {}
        }
        Ok(())
    }

    /// RFC 8489 section 14.7: it is the last attribute and covers everything before it.
    fn check_fingerprint(&self, value: &[u8], at: usize) -> Result<(), DropReason> {
        let is_last = at + ATTRIBUTE_HEADER_LEN + FINGERPRINT_LEN == self.bytes.len();
        let covered = self.bytes.get(..at).ok_or(DropReason::StunMalformed)?;
        if is_last && value == fingerprint(covered).to_be_bytes() { Ok(()) } else { Err(DropReason::StunMalformed) }
    }

    /// The fragment that we handed out: USERNAME up to the colon (RFC 8445 section 7.2.2).
    pub fn local_ufrag(&self) -> Option<&'a str> {
        self.username?.split_once(':').map(|(local, _)| local)
    }

    /// The sender's own fragment.
    pub fn remote_ufrag(&self) -> Option<&'a str> {
        self.username?.split_once(':').map(|(_, remote)| remote)
    }

    pub fn unknown_attributes(&self) -> &[u16] {
        &self.unknown
    }

    /// Whether the sender knows the password behind `key`.
    pub(super) fn verify(&self, key: &hmac::Key) -> bool {
        let Some(at) = self.integrity_at else { return false };
        let (Some(covered), Some(value)) = (
            self.bytes.get(..at),
            self.bytes.get(at + ATTRIBUTE_HEADER_LEN..at + ATTRIBUTE_HEADER_LEN + INTEGRITY_LEN),
        ) else {
            return false;
        };
        constant_time::verify_slices_are_equal(integrity(covered, key).as_ref(), value).is_ok()
    }

    fn transaction(&self) -> &[u8] {
        self.bytes.get(8..8 + TRANSACTION_LEN).unwrap_or_default()
    }
}

/// HMAC-SHA1 over the message up to its MESSAGE-INTEGRITY, with the length field as if it ended there (RFC 8489
/// section 14.5).
fn integrity(covered: &[u8], key: &hmac::Key) -> hmac::Tag {
    let length = (covered.len() + ATTRIBUTE_HEADER_LEN + INTEGRITY_LEN).saturating_sub(HEADER_LEN) as u16;
    let mut context = hmac::Context::with_key(key);
    context.update(covered.get(..2).unwrap_or_default());
    context.update(&length.to_be_bytes());
    context.update(covered.get(4..).unwrap_or_default());
    context.sign()
}

fn fingerprint(covered: &[u8]) -> u32 {
    crc32(covered) ^ FINGERPRINT_XOR
}

/// CRC-32 of ISO HDLC, a byte at a time.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(u32::MAX, |crc, &byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}

/// The answer to one request, ready to send.
pub(super) struct Answer {
    bytes: [u8; ANSWER_LEN_MAX],
    len: usize,
}

impl Answer {
    /// RFC 8445 section 7.3: the request came from `remote`.
    pub(super) fn success(request: &StunMessage<'_>, remote: SocketAddr, key: &hmac::Key) -> Self {
        let mut answer = Self::start(BINDING_SUCCESS, request);
        answer.xor_mapped_address(remote);
        answer.finish(key)
    }

    /// RFC 8445 section 7.3.1.1.
    pub(super) fn role_conflict(request: &StunMessage<'_>, key: &hmac::Key) -> Self {
        let mut answer = Self::start(BINDING_ERROR, request);
        answer.attribute(ERROR_CODE, &error_code(487, *b"Role Conflict"));
        answer.finish(key)
    }

    /// RFC 8489 section 6.3.1.
    pub(super) fn unknown_attributes(request: &StunMessage<'_>, key: &hmac::Key) -> Self {
        let mut answer = Self::start(BINDING_ERROR, request);
        answer.attribute(ERROR_CODE, &error_code(420, *b"Unknown Attribute"));
        let types: SmallVec<[u8; 2 * UNKNOWN_ATTRIBUTES_MAX]> =
            request.unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        answer.attribute(UNKNOWN_ATTRIBUTES, &types);
        answer.finish(key)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn start(kind: u16, request: &StunMessage<'_>) -> Self {
        let mut answer = Self { bytes: [0; ANSWER_LEN_MAX], len: 0 };
        answer.append(&kind.to_be_bytes());
        answer.append(&[0; 2]);
        answer.append(&MAGIC_COOKIE);
        answer.append(request.transaction());
        answer
    }

    fn append(&mut self, bytes: &[u8]) {
        // Everything appended is ours and of bounded length: see ANSWER_LEN_MAX.
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.append(&kind.to_be_bytes());
        self.append(&(value.len() as u16).to_be_bytes());
        self.append(value);
        self.len = self.len.next_multiple_of(4);
        self.set_length(self.len);
    }

    /// The header's length field for a message of `total` bytes.
    fn set_length(&mut self, total: usize) {
        self.bytes[2..4].copy_from_slice(&((total - HEADER_LEN) as u16).to_be_bytes());
    }

    /// RFC 8489 section 14.2.
    fn xor_mapped_address(&mut self, remote: SocketAddr) {
        let mut mask = [0; 16];
        mask.copy_from_slice(&self.bytes[4..HEADER_LEN]);
        let [high, low] = (remote.port() ^ u16::from_be_bytes([mask[0], mask[1]])).to_be_bytes();
        match remote.ip() {
            IpAddr::V4(ip) => {
                let mut value = [0, 1, high, low, 0, 0, 0, 0];
                value[4..].iter_mut().zip(ip.octets().iter().zip(mask)).for_each(|(out, (a, b))| *out = a ^ b);
                self.attribute(XOR_MAPPED_ADDRESS, &value);
            }
            IpAddr::V6(ip) => {
                let mut value = [0; 20];
                value[..4].copy_from_slice(&[0, 2, high, low]);
                value[4..].iter_mut().zip(ip.octets().iter().zip(mask)).for_each(|(out, (a, b))| *out = a ^ b);
                self.attribute(XOR_MAPPED_ADDRESS, &value);
            }
        }
    }

    fn finish(mut self, key: &hmac::Key) -> Self {
        let tag = integrity(&self.bytes[..self.len], key);
        self.attribute(MESSAGE_INTEGRITY, tag.as_ref());
        // FINGERPRINT covers a header that already counts it.
        self.set_length(self.len + ATTRIBUTE_HEADER_LEN + FINGERPRINT_LEN);
        let value = fingerprint(&self.bytes[..self.len]);
        self.attribute(FINGERPRINT, &value.to_be_bytes());
        self
    }
}

/// RFC 8489 section 14.8: two reserved bytes, the hundreds, the rest, and a phrase for people.
fn error_code<const N: usize>(code: u16, phrase: [u8; N]) -> SmallVec<[u8; 32]> {
    let mut value = SmallVec::from_slice(&[0, 0, (code / 100) as u8, (code % 100) as u8]);
    value.extend_from_slice(&phrase);
    value
}
