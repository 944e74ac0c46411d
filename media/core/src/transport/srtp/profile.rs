//! The protection profiles that we negotiate, and their lengths. Knows nothing of keys or packets.

use super::SRTCP_INDEX_LEN;

/// A DTLS-SRTP protection profile (RFC 5764 section 4.1.2, RFC 7714 section 14.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SrtpProfile {
    AeadAes128Gcm,
    AeadAes256Gcm,
    /// What WebRTC endpoints must offer (RFC 8827 section 6.5). It costs about five times as much as GCM.
    Aes128CmHmacSha1_80,
}

impl SrtpProfile {
    pub const ALL: [Self; 3] = [Self::AeadAes128Gcm, Self::AeadAes256Gcm, Self::Aes128CmHmacSha1_80];

    /// Length of the master key and of the session encryption key, in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::Aes128CmHmacSha1_80 => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Length of the master salt and of the session salt, in bytes.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
            Self::Aes128CmHmacSha1_80 => 14,
        }
    }

    /// Length of the authentication tag, in bytes; the same for SRTP and SRTCP in these profiles.
    pub const fn tag_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
            Self::Aes128CmHmacSha1_80 => 10,
        }
    }

    /// What protection adds to an RTP packet, in bytes.
    pub const fn rtp_overhead(self) -> usize {
        self.tag_len()
    }

    /// What protection adds to a compound RTCP packet, in bytes.
    pub const fn rtcp_overhead(self) -> usize {
        self.tag_len() + SRTCP_INDEX_LEN
    }

    /// Bytes to ask of the DTLS exporter: two keys and two salts (RFC 5764 section 4.2).
    pub const fn keying_material_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }
}
