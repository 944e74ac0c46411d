//! Every bound on what a description may make us hold or do. It refuses to know why a description came.

use consilium_media_core::limits;

/// Longest description accepted, in bytes. A client with 32 sections of every codec sends about 100 KiB.
pub(super) const SDP_LEN_MAX: usize = 256 * 1024;
/// m-sections of one connection, spare and stopped ones included: four times what a peer may send on, so that a large
/// meeting's subscriptions fit beside them.
pub(super) const SECTIONS_MAX: usize = limits::RECEIVE_SECTIONS_MAX * 4;
/// Formats on one m-line. Browsers list about 25.
pub(super) const FORMATS_MAX: usize = 64;
/// Attributes of one section. Browsers send about 150; candidates and SSRCs are the rest.
pub(super) const ATTRIBUTES_MAX: usize = 1_024;
/// Header extensions of one section. Browsers offer about 14.
pub(super) const EXTENSIONS_MAX: usize = 32;
/// Certificates' hashes of one description: each is compared at the handshake. Browsers send one.
pub(super) const FINGERPRINTS_MAX: usize = 4;
/// Longest track id, in bytes. RFC 8830 says 64; one SDK prefixes its UUIDs.
pub(super) const TRACK_ID_LEN_MAX: usize = 128;
/// Longest identifier of a stream that we write, in bytes (RFC 8830 section 2).
pub(super) const STREAM_ID_LEN_MAX: usize = 64;
/// RFC 8839 section 5.4.
pub(super) const ICE_UFRAG_LEN: std::ops::RangeInclusive<usize> = 4..=256;
/// RFC 8839 section 5.4.
pub(super) const ICE_PWD_LEN: std::ops::RangeInclusive<usize> = 22..=256;
/// Longest trickled candidate, in bytes of JSON. The longest seen is about 300.
pub(super) const CANDIDATE_LEN_MAX: usize = 2_048;
/// Tracks whose preferences are remembered: announced tracks come and go, the map must not grow with them.
pub(super) const TRACK_PREFERENCES_MAX: usize = limits::RECEIVE_SECTIONS_MAX * 2;
