//! Trickled candidates (RFC 8838, RFC 8839): checked, since a malformed one is a client's fault worth naming. A lite
//! agent needs none of them: it learns addresses from checks.

use super::bounds::CANDIDATE_LEN_MAX;
use super::error::NegotiationError;
use serde::Deserialize;
use std::net::IpAddr;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RemoteCandidate {
    EndOfCandidates,
    Address {
        transport: CandidateTransport,
        priority: u32,
        /// `None` for a name: browsers hide host addresses behind multicast DNS.
        ip: Option<IpAddr>,
        port: u16,
        kind: CandidateKind,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CandidateTransport {
    Udp,
    Tcp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CandidateKind {
    Host,
    ServerReflexive,
    PeerReflexive,
    Relayed,
}

/// `RTCIceCandidateInit` of the W3C API; only the candidate line is used.
#[derive(Deserialize)]
struct CandidateInit {
    #[serde(default)]
    candidate: Option<String>,
}

pub fn parse_candidate(candidate_init_json: &str) -> Result<RemoteCandidate, NegotiationError> {
    if candidate_init_json.len() > CANDIDATE_LEN_MAX {
        return Err(NegotiationError::TooLong);
    }
    let init: CandidateInit =
        serde_json::from_str(candidate_init_json).map_err(|_| NegotiationError::InvalidCandidate)?;
    let text = init.candidate.unwrap_or_default();
    let line = text.trim();
    if line.is_empty() {
        return Ok(RemoteCandidate::EndOfCandidates);
    }
    parse_line(line.strip_prefix("a=").unwrap_or(line)).ok_or(NegotiationError::InvalidCandidate)
}

/// RFC 8839 section 5.1: foundation, component, transport, priority, address, port, `typ`, type, extensions.
fn parse_line(line: &str) -> Option<RemoteCandidate> {
    let mut words = line.strip_prefix("candidate:")?.split_whitespace();
    let _foundation = words.next()?;
    let _component: u16 = words.next()?.parse().ok()?;
    let transport = match words.next()? {
        word if word.eq_ignore_ascii_case("udp") => CandidateTransport::Udp,
        word if word.eq_ignore_ascii_case("tcp") || word.eq_ignore_ascii_case("ssltcp") => CandidateTransport::Tcp,
        _ => return None,
    };
    let priority = words.next()?.parse().ok()?;
    let ip = words.next()?.parse().ok();
    let port = words.next()?.parse().ok()?;
    let kind = match (words.next()?, words.next()?) {
        ("typ", "host") => CandidateKind::Host,
        ("typ", "srflx") => CandidateKind::ServerReflexive,
        ("typ", "prflx") => CandidateKind::PeerReflexive,
        ("typ", "relay") => CandidateKind::Relayed,
        _ => return None,
    };
    Some(RemoteCandidate::Address { transport, priority, ip, port, kind })
}
