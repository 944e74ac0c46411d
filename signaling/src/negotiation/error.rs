//! Why a description or candidate was refused. The sentences carry none of its text, so they may be logged.

use thiserror::Error;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum NegotiationError {
    #[error("the description is longer than this server accepts")]
    TooLong,
    #[error("the description is not well-formed SDP")]
    Malformed,
    #[error("the description has no media section")]
    NoSections,
    #[error("the description has more media sections than this server accepts")]
    TooManySections,
    #[error("a media section lists more codecs than this server accepts")]
    TooManyCodecs,
    #[error("a media section has more attributes than this server accepts")]
    TooManyAttributes,
    #[error("a media section has more header extensions than this server accepts")]
    TooManyExtensions,
    #[error("a track has more simulcast encodings than this server accepts")]
    TooManyEncodings,
    #[error("a media section has no identification (mid)")]
    MissingMid,
    #[error("a media section's identification (mid) is not valid")]
    InvalidMid,
    #[error("two media sections have the same identification (mid)")]
    DuplicateMid,
    #[error("the media sections are not bundled on one transport (BUNDLE)")]
    NotBundled,
    #[error("a media section does not multiplex RTCP with RTP (rtcp-mux)")]
    NoRtcpMux,
    #[error("the description has no valid ICE credentials")]
    NoIceCredentials,
    #[error("the description has no certificate fingerprint")]
    NoFingerprint,
    #[error("the certificate fingerprint is malformed")]
    InvalidFingerprint,
    #[error("the certificate fingerprint uses a hash that is too weak")]
    WeakFingerprint,
    #[error("the certificate changed on a live connection")]
    FingerprintChanged,
    #[error("the description does not say which side starts the DTLS handshake (setup)")]
    InvalidSetup,
    #[error("the DTLS role changed on a live connection")]
    RoleChanged,
    #[error("one header-extension id stands for two extensions")]
    ExtensionConflict,
    #[error("a track's identification (msid) is not valid")]
    InvalidTrackId,
    #[error("media sections were removed or reordered")]
    SectionsReordered,
    #[error("an answer came without an offer, or an offer to the side that offers")]
    WrongState,
    #[error("the candidate is malformed")]
    InvalidCandidate,
}
