//! Writes descriptions, line by line. It refuses to decide anything: it is told what to write.

use super::LocalTransport;
use super::bounds::STREAM_ID_LEN_MAX;
use super::codecs::{Feedback, SectionCodec, clock_rate, rtpmap};
use consilium_media_core::ids::Ssrc;
use consilium_media_core::limits::DATA_MESSAGE_LEN_MAX;
use consilium_media_core::params::DtlsRole;
use std::fmt::{Arguments, Write};
use std::net::SocketAddr;

/// The discard port of a section that shares the bundle's transport (RFC 8829 section 5.2.1).
pub(super) const PORT: u16 = 9;
/// RFC 8832 leaves it open; every browser says 5000.
const SCTP_PORT: u16 = 5_000;

pub(super) struct Text {
    out: String,
}

/// What our `a=setup` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LocalSetup {
    Either,
    Decided(DtlsRole),
}

impl Text {
    /// The session part. `id` must fit in 63 bits (RFC 8829 section 5.2.1).
    pub(super) fn new(id: u64, version: u64) -> Self {
        let mut text = Self { out: String::with_capacity(8 * 1024) };
        text.raw(format_args!("v=0"));
        text.raw(format_args!("o=- {id} {version} IN IP4 0.0.0.0"));
        text.raw(format_args!("s=-"));
        text.raw(format_args!("t=0 0"));
        // Attributes of the session come before the first section. Lite: RFC 8839 section 5.3.
        text.attribute(format_args!("ice-lite"));
        text.attribute(format_args!("msid-semantic: WMS *"));
        text
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    fn raw(&mut self, line: Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.out.write_fmt(line);
        self.out.push_str("\r\n");
    }

    pub(super) fn attribute(&mut self, line: Arguments<'_>) {
        self.out.push_str("a=");
        self.raw(line);
    }

    pub(super) fn section(&mut self, media: &str, port: u16, protocol: &str, formats: Arguments<'_>) {
        self.raw(format_args!("m={media} {port} {protocol} {formats}"));
        self.raw(format_args!("c=IN IP4 0.0.0.0"));
    }

    pub(super) fn transport(&mut self, local: &LocalTransport, setup: LocalSetup) {
        self.attribute(format_args!("ice-ufrag:{}", local.ice.ufrag));
        self.attribute(format_args!("ice-pwd:{}", local.ice.pwd));
        let digits: Vec<String> = local.fingerprint.bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        self.attribute(format_args!("fingerprint:{} {}", local.fingerprint.hash.name(), digits.join(":")));
        self.attribute(format_args!(
            "setup:{}",
            match setup {
                LocalSetup::Either => "actpass",
                LocalSetup::Decided(DtlsRole::Client) => "active",
                LocalSetup::Decided(DtlsRole::Server) => "passive",
            }
        ));
    }

    /// All addresses that we have: nothing is trickled afterwards.
    pub(super) fn candidates(&mut self, candidates: &[(SocketAddr, u32)]) {
        for (index, (address, priority)) in candidates.iter().enumerate() {
            let (ip, port) = (address.ip(), address.port());
            self.attribute(format_args!("candidate:{} 1 udp {priority} {ip} {port} typ host", index + 1));
        }
        self.attribute(format_args!("end-of-candidates"));
    }

    pub(super) fn data_channel(&mut self) {
        self.attribute(format_args!("sctp-port:{SCTP_PORT}"));
        self.attribute(format_args!("max-message-size:{DATA_MESSAGE_LEN_MAX}"));
    }

    pub(super) fn codec(&mut self, codec: &SectionCodec, without: &[Feedback], more: &[(&str, &str)]) {
        let payload_type = codec.payload_type().get();
        self.attribute(format_args!("rtpmap:{payload_type} {}", rtpmap(codec.codec())));
        for feedback in codec.feedback.iter().filter(|feedback| !without.contains(feedback)) {
            self.attribute(format_args!("rtcp-fb:{payload_type} {}", feedback.name()));
        }
        let given = codec.fmtp.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let parameters: Vec<String> = given
            .chain(more.iter().copied())
            .map(|(key, value)| if key.is_empty() { value.to_owned() } else { format!("{key}={value}") })
            .collect();
        if !parameters.is_empty() {
            self.attribute(format_args!("fmtp:{payload_type} {}", parameters.join(";")));
        }
        if let Some(rtx) = codec.published.rtx {
            self.attribute(format_args!("rtpmap:{} rtx/{}", rtx.get(), clock_rate(codec.codec())));
            self.attribute(format_args!("fmtp:{} apt={payload_type}", rtx.get()));
        }
    }

    /// What we send on a section: RFC 8830, RFC 5576 and RFC 4588 section 8.
    pub(super) fn stream(&mut self, stream: &str, track: &str, cname: &str, ssrc: Ssrc, rtx_ssrc: Option<Ssrc>) {
        self.attribute(format_args!("msid:{} {}", token(stream), token(track)));
        let ssrcs = [Some(ssrc), rtx_ssrc];
        if let Some(rtx_ssrc) = rtx_ssrc {
            self.attribute(format_args!("ssrc-group:FID {} {}", ssrc.get(), rtx_ssrc.get()));
        }
        for ssrc in ssrcs.into_iter().flatten() {
            self.attribute(format_args!("ssrc:{} cname:{}", ssrc.get(), token(cname)));
        }
    }
}

/// The payload types of an m-line: each codec, then its retransmissions.
pub(super) fn formats(codecs: &[&SectionCodec]) -> String {
    let all = codecs.iter().flat_map(|codec| [Some(codec.payload_type()), codec.published.rtx]).flatten();
    all.map(|payload_type| payload_type.get().to_string()).collect::<Vec<_>>().join(" ")
}

/// A stream's name may come from a client: whatever is not a token character (RFC 8866) becomes `-`.
pub(super) fn token(text: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`{|}~".contains(c);
    let kept: String = text.chars().take(STREAM_ID_LEN_MAX).map(|c| if legal(c) { c } else { '-' }).collect();
    if kept.is_empty() { "-".to_owned() } else { kept }
}
