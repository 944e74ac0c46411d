//! Descriptions (SDP, RFC 8866 and JSEP): the offers and answers of a member, and what the server's say.

use crate::load::seam::RTX;
use consilium_media_core::ids::{Mid, PayloadType, Rid, Ssrc};
use consilium_media_core::params::{Fingerprint, FingerprintHash, IceCredentials, RemoteParameters};
use std::fmt::Write;
use std::net::SocketAddr;

pub(super) const OPUS: u8 = 111;
pub(super) const VP8: u8 = 96;
/// Names of the simulcast layers, from the smallest up, as the SDKs have them.
pub(super) const RIDS: [&str; 3] = ["q", "h", "f"];
/// Sections of a description: as many as a room of a hundred needs.
pub(super) const SECTIONS_MAX: usize = 256;
/// Longest description that is read, in bytes.
const LEN_MAX: usize = 1 << 20;

const MID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const RID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
const REPAIRED_RID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
const TRANSPORT_CC_URI: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
const AUDIO_LEVEL_URI: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Audio,
    Video,
}

/// One m-section of our own offer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Section {
    pub(super) kind: Kind,
    /// What is sent on it; without, it receives.
    pub(super) send: Option<Sending>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sending {
    /// The track's id in this client.
    pub(super) cid: String,
    /// One for each layer. With more than one, layers are told by RID.
    pub(super) ssrcs: Vec<Ssrc>,
}

impl Section {
    pub(super) fn receiving(kind: Kind) -> Self {
        Self { kind, send: None }
    }
}

fn header(out: &mut String, version: u32, mids: usize) {
    let _ = write!(out, "v=0\r\no=- 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE");
    for mid in 0..mids {
        let _ = write!(out, " {mid}");
    }
    out.push_str("\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS *\r\n");
}

fn transport(out: &mut String, own: &RemoteParameters) {
    let _ = write!(out, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", own.ice.ufrag, own.ice.pwd);
    for fingerprint in &own.fingerprints {
        out.push_str("a=fingerprint:sha-256 ");
        for (index, byte) in fingerprint.bytes.iter().enumerate() {
            let _ = write!(out, "{}{byte:02X}", if index == 0 { "" } else { ":" });
        }
        out.push_str("\r\n");
    }
    out.push_str("a=setup:active\r\n");
}

/// Our offer. Mids are the sections' indices. We tell nothing of what we receive, so only what we send has transport-wide
/// feedback: a server then sends everything that was asked for.
pub(super) fn offer(version: u32, own: &RemoteParameters, sections: &[Section]) -> String {
    let mut sdp = String::with_capacity(512 + 700 * sections.len());
    header(&mut sdp, version, sections.len());
    for (mid, section) in sections.iter().enumerate() {
        let direction = if section.send.is_some() { "sendonly" } else { "recvonly" };
        let (name, payloads) = match section.kind {
            Kind::Audio => ("audio", format!("{OPUS}")),
            Kind::Video => ("video", format!("{VP8} {RTX}")),
        };
        let _ = write!(sdp, "m={name} 9 UDP/TLS/RTP/SAVPF {payloads}\r\nc=IN IP4 0.0.0.0\r\n");
        transport(&mut sdp, own);
        let _ = write!(sdp, "a=mid:{mid}\r\na={direction}\r\na=rtcp-mux\r\na=rtcp-rsize\r\n");
        let _ = write!(sdp, "a=extmap:4 {MID_URI}\r\na=extmap:3 {TRANSPORT_CC_URI}\r\n");
        match section.kind {
            Kind::Audio => {
                let _ = write!(
                    sdp,
                    "a=extmap:1 {AUDIO_LEVEL_URI}\r\na=rtpmap:{OPUS} opus/48000/2\r\n\
                     a=fmtp:{OPUS} minptime=10;useinbandfec=1\r\n"
                );
            }
            Kind::Video => {
                let _ = write!(
                    sdp,
                    "a=extmap:10 {RID_URI}\r\na=extmap:11 {REPAIRED_RID_URI}\r\na=rtpmap:{VP8} VP8/90000\r\n\
                     a=rtcp-fb:{VP8} ccm fir\r\na=rtcp-fb:{VP8} nack\r\n\
                     a=rtcp-fb:{VP8} nack pli\r\na=rtpmap:{RTX} rtx/90000\r\na=fmtp:{RTX} apt={VP8}\r\n"
                );
            }
        }
        if let Some(sending) = &section.send {
            let payload = if section.kind == Kind::Audio { OPUS } else { VP8 };
            let _ = write!(sdp, "a=rtcp-fb:{payload} transport-cc\r\n");
            write_sending(&mut sdp, sending);
        }
    }
    sdp
}

fn write_sending(sdp: &mut String, sending: &Sending) {
    let _ = write!(sdp, "a=msid:- {}\r\n", sending.cid);
    match sending.ssrcs.as_slice() {
        [ssrc] => {
            let _ = write!(sdp, "a=ssrc:{} cname:load\r\n", ssrc.get());
        }
        layers => {
            let rids = RIDS.get(..layers.len()).unwrap_or(&RIDS);
            for rid in rids {
                let _ = write!(sdp, "a=rid:{rid} send\r\n");
            }
            let _ = write!(sdp, "a=simulcast:send {}\r\n", rids.join(";"));
        }
    }
}

/// Our answer to the server's offer: everything is taken but feedback about what comes.
pub(super) fn answer(offer: &str, own: &RemoteParameters) -> String {
    let mut sdp = String::with_capacity(offer.len());
    let dropped = [
        "a=candidate:",
        "a=end-of-candidates",
        "a=ice-lite",
        "a=ice-pwd:",
        "a=ice-ufrag:",
        "a=fingerprint:",
        "a=ssrc",
        "a=msid:",
        "a=ice-options",
    ];
    let mut in_media = false;
    for line in offer.lines().map(str::trim_end) {
        if line.starts_with("m=") {
            in_media = true;
        }
        match line {
            "a=sendonly" | "a=sendrecv" => sdp.push_str("a=recvonly\r\n"),
            _ if line.starts_with("a=setup:") => {
                if in_media {
                    transport(&mut sdp, own);
                }
            }
            _ if dropped.iter().any(|prefix| line.starts_with(prefix)) || line.ends_with(" transport-cc") => {}
            _ => {
                sdp.push_str(line);
                sdp.push_str("\r\n");
            }
        }
    }
    sdp
}

/// What we need to know of the server's description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Remote {
    pub(super) ice: IceCredentials,
    pub(super) fingerprint: Fingerprint,
    /// UDP candidates of component 1.
    pub(super) candidates: Vec<SocketAddr>,
    pub(super) sections: Vec<RemoteSection>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct RemoteSection {
    pub(super) mid: String,
    pub(super) receives: bool,
    pub(super) mid_extension: Option<u8>,
    pub(super) rid_extension: Option<u8>,
    pub(super) transport_cc_extension: Option<u8>,
    pub(super) audio_level_extension: Option<u8>,
}

/// Reads a description of the server.
pub(super) fn read(sdp: &str) -> Result<Remote, &'static str> {
    if sdp.len() > LEN_MAX {
        return Err("it is too long");
    }
    let (mut ufrag, mut pwd, mut fingerprint) = (None, None, None);
    let mut candidates = Vec::new();
    let mut sections: Vec<RemoteSection> = Vec::new();
    for line in sdp.lines().map(str::trim_end) {
        if line.starts_with("m=") {
            if sections.len() >= SECTIONS_MAX {
                return Err("it has too many sections");
            }
            sections.push(RemoteSection { receives: true, ..RemoteSection::default() });
            continue;
        }
        let Some(attribute) = line.strip_prefix("a=") else { continue };
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        match name {
            "ice-ufrag" => ufrag = ufrag.or(Some(value.to_owned())),
            "ice-pwd" => pwd = pwd.or(Some(value.to_owned())),
            "fingerprint" => fingerprint = fingerprint.or_else(|| read_fingerprint(value)),
            "candidate" => candidates.extend(read_candidate(value)),
            _ => {
                if let Some(section) = sections.last_mut() {
                    read_section_attribute(section, name, value);
                }
            }
        }
    }
    let ice = ufrag.zip(pwd).map(|(ufrag, pwd)| IceCredentials { ufrag, pwd });
    Ok(Remote {
        ice: ice.ok_or("it has no ICE credentials")?,
        fingerprint: fingerprint.ok_or("it has no SHA-256 fingerprint")?,
        candidates,
        sections,
    })
}

fn read_section_attribute(section: &mut RemoteSection, name: &str, value: &str) {
    match name {
        "mid" => value.clone_into(&mut section.mid),
        "sendonly" | "inactive" => section.receives = false,
        "extmap" => {
            let Some((id, uri)) = value.split_once(' ') else { return };
            let Ok(id) = id.split('/').next().unwrap_or_default().parse::<u8>() else { return };
            match uri.split(' ').next().unwrap_or_default() {
                MID_URI => section.mid_extension = Some(id),
                RID_URI => section.rid_extension = Some(id),
                TRANSPORT_CC_URI => section.transport_cc_extension = Some(id),
                AUDIO_LEVEL_URI => section.audio_level_extension = Some(id),
                _ => {}
            }
        }
        _ => {}
    }
}

fn read_fingerprint(value: &str) -> Option<Fingerprint> {
    let (hash, hex) = value.split_once(' ')?;
    hash.eq_ignore_ascii_case("sha-256").then_some(())?;
    let bytes: Option<Vec<u8>> = hex.trim().split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    let bytes = bytes.filter(|bytes| bytes.len() == 32)?;
    Some(Fingerprint { hash: FingerprintHash::Sha256, bytes })
}

/// RFC 8839 section 5.1: foundation, component, transport, priority, address, port.
pub(super) fn read_candidate(value: &str) -> Option<SocketAddr> {
    let value = value.strip_prefix("candidate:").unwrap_or(value);
    let mut fields = value.split_whitespace().skip(1);
    (fields.next()? == "1" && fields.next()?.eq_ignore_ascii_case("udp")).then_some(())?;
    let address = fields.nth(1)?.parse().ok()?;
    let port = fields.next()?.parse().ok()?;
    Some(SocketAddr::new(address, port))
}

/// The ids that our own offer has, where the server did not refuse them.
pub(super) fn rid(layer: usize) -> Option<Rid> {
    Rid::new(RIDS.get(layer)?.as_bytes())
}

pub(super) fn mid(index: usize) -> Option<Mid> {
    Mid::new(index.to_string().as_bytes())
}

pub(super) fn payload_type(kind: Kind) -> Option<PayloadType> {
    PayloadType::new(match kind {
        Kind::Audio => OPUS,
        Kind::Video => VP8,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilium_media_core::params::DtlsRole;

    fn own() -> RemoteParameters {
        RemoteParameters {
            ice: IceCredentials { ufrag: "abcd".into(), pwd: "0123456789abcdef01234567".into() },
            fingerprints: vec![Fingerprint { hash: FingerprintHash::Sha256, bytes: (0..32).collect() }],
            dtls_role: DtlsRole::Server,
            max_message_size: 1,
        }
    }

    fn sections() -> Vec<Section> {
        let send = |cid: &str, ssrcs: &[u32]| Sending {
            cid: cid.to_owned(),
            ssrcs: ssrcs.iter().copied().map(Ssrc::new).collect(),
        };
        vec![
            Section { kind: Kind::Audio, send: Some(send("mic", &[1])) },
            Section { kind: Kind::Video, send: Some(send("cam", &[2, 3, 4])) },
            Section::receiving(Kind::Video),
        ]
    }

    #[test]
    fn what_we_offer_can_be_read_by_ourselves() {
        let sdp = offer(1, &own(), &sections());
        let remote = read(&sdp).unwrap();
        assert_eq!(remote.ice, own().ice);
        assert_eq!(remote.fingerprint, own().fingerprints[0]);
        assert_eq!(remote.sections.len(), 3);
        assert_eq!(remote.sections[1].mid, "1");
        assert_eq!((remote.sections[1].mid_extension, remote.sections[1].rid_extension), (Some(4), Some(10)));
        assert_eq!(remote.sections[0].audio_level_extension, Some(1));
        assert!(sdp.contains("a=simulcast:send q;h;f\r\n") && sdp.contains("a=ssrc:1 cname:load\r\n"));
    }

    #[test]
    fn an_answer_takes_what_was_offered_with_our_own_transport() {
        let mut theirs = own();
        theirs.ice.ufrag = "server".into();
        let offered = offer(1, &theirs, &[Section { kind: Kind::Audio, ..sections().remove(0) }]);
        let answered = answer(&offered, &own());
        assert!(answered.contains("a=recvonly\r\n") && answered.contains("a=ice-ufrag:abcd\r\n"));
        assert!(!answered.contains("server") && !answered.contains("a=ssrc") && answered.contains("a=setup:active"));
    }

    #[test]
    fn candidates_are_udp_addresses() {
        let read = |text| read_candidate(text).map(|address| address.to_string());
        assert_eq!(read("candidate:1 1 udp 2130706431 10.0.0.1 7882 typ host").as_deref(), Some("10.0.0.1:7882"));
        assert_eq!(read("1 1 UDP 1 2001:db8::1 7882 typ host").as_deref(), Some("[2001:db8::1]:7882"));
        assert_eq!(read("1 1 tcp 1 10.0.0.1 7882 typ host tcptype passive"), None);
        assert_eq!(read("1 1 udp 1 host.local 7882 typ host"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        assert_eq!(super::read("v=0\r\n"), Err("it has no ICE credentials"));
        let credentials = "a=ice-ufrag:a\r\na=ice-pwd:b\r\n";
        assert_eq!(super::read(credentials), Err("it has no SHA-256 fingerprint"));
        let sections = format!("{credentials}{}", "m=audio 9 x 0\r\n".repeat(SECTIONS_MAX + 1));
        assert_eq!(super::read(&sections), Err("it has too many sections"));
    }
}
