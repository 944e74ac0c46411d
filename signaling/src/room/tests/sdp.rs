//! Descriptions of a scripted client: as short as they may be.

use std::fmt::Write;

#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) kind: &'static str,
    pub(super) direction: &'static str,
    /// Track id of the msid, for a section that the client sends on.
    pub(super) track: Option<String>,
    /// A video section has VP9 before VP8.
    pub(super) vp9: bool,
}

impl Section {
    pub(super) fn with_vp9(self) -> Self {
        Self { vp9: true, ..self }
    }
}

pub(super) fn receiving(kind: &'static str) -> Section {
    Section { kind, direction: "recvonly", track: None, vp9: false }
}

pub(super) fn sending(kind: &'static str, track: &str) -> Section {
    Section { kind, direction: "sendonly", track: Some(track.to_owned()), vp9: false }
}

/// Section `n` has the mid `n`; the data channel comes last in the text but has the mid `data`.
pub(super) fn offer(ufrag: &str, sections: &[Section]) -> String {
    let mut mids: Vec<String> = vec!["data".to_owned()];
    mids.extend((0..sections.len()).map(|index| index.to_string()));
    let mut sdp = format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=extmap-allow-mixed\r\n",
        mids.join(" ")
    );
    let transport = |setup: &str| {
        format!(
            "a=ice-ufrag:{ufrag}\r\na=ice-pwd:0123456789abcdef01234567\r\na=fingerprint:sha-256 {}\r\na=setup:{setup}\r\n",
            vec!["AB"; 32].join(":")
        )
    };
    let _ = write!(
        sdp,
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n{}a=mid:data\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n",
        transport("actpass")
    );
    for (index, section) in sections.iter().enumerate() {
        let (payload, codec) = match section.kind {
            "audio" => (
                "111",
                "a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n",
            ),
            _ if section.vp9 => (
                "98 96",
                "a=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=0\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:* nack pli\r\n",
            ),
            _ => ("96", "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n"),
        };
        let _ = write!(
            sdp,
            "m={} 9 UDP/TLS/RTP/SAVPF {payload}\r\nc=IN IP4 0.0.0.0\r\n{}a=mid:{index}\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na={}\r\na=rtcp-mux\r\n{codec}",
            section.kind,
            transport("actpass"),
            section.direction,
        );
        if let Some(track) = &section.track {
            let _ = write!(sdp, "a=msid:- {track}\r\na=ssrc:{} cname:x\r\n", 1000 + index);
        }
    }
    sdp
}

/// The answer of a client that takes everything offered.
pub(super) fn answer(offer: &str, ufrag: &str) -> String {
    let mut sdp = String::new();
    let fingerprint = vec!["CD"; 32].join(":");
    for line in offer.lines() {
        let line = line.trim_end();
        let _ = match line {
            "a=sendonly" => write!(sdp, "a=recvonly\r\n"),
            _ if line.starts_with("a=setup:") => write!(sdp, "a=setup:active\r\n"),
            _ if line.starts_with("a=ice-ufrag:") => write!(sdp, "a=ice-ufrag:{ufrag}\r\n"),
            _ if line.starts_with("a=ice-pwd:") => write!(sdp, "a=ice-pwd:0123456789abcdef01234567\r\n"),
            _ if line.starts_with("a=fingerprint:") => write!(sdp, "a=fingerprint:sha-256 {fingerprint}\r\n"),
            _ if ["a=candidate:", "a=end-of-candidates", "a=ice-lite", "a=ssrc", "a=msid"]
                .iter()
                .any(|drop| line.starts_with(drop)) =>
            {
                Ok(())
            }
            _ => write!(sdp, "{line}\r\n"),
        };
    }
    sdp
}

/// Leaves VP9 out of an answer to an offer of ours, in which it has these payload types.
pub(super) fn without_vp9(answer: &str) -> String {
    const VP9: [&str; 4] = ["98", "99", "100", "101"];
    let kept = |line: &&str| VP9.iter().all(|format| !line.contains(&format!(":{format} ")));
    let mut sdp = String::new();
    for line in answer.lines().filter(kept) {
        if line.starts_with("m=video") {
            let words: Vec<_> = line.split(' ').filter(|word| !VP9.contains(word)).collect();
            let _ = write!(sdp, "{}\r\n", words.join(" "));
        } else {
            let _ = write!(sdp, "{line}\r\n");
        }
    }
    sdp
}
