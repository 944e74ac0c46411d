//! What one peer sends us: finds the index, refuses replays, authenticates, decrypts in place. Knows nothing of tracks.

use super::cipher::SessionCipher;
use super::keys::{MasterKey, Protocol};
use super::streams::Streams;
use super::{
    RTCP_HEADER_LEN, RTP_HEADER_LEN, SRTCP_ENCRYPTED, SRTCP_INDEX_LEN, SRTP_INDEX_MAX, SrtpError, SrtpProfile,
    rtcp_ssrc, rtp_fields,
};
use crate::ids::ExtSeqNo;

/// Words of an SRTP replay window: it reaches 1,984 packets back. A keyframe burst is some hundred packets, and a packet may
/// stay out of order behind one for as long as a congested queue lasts.
const RTP_WINDOW_WORDS: usize = 32;
/// Words of an SRTCP replay window: it reaches 192 packets back; RFC 3711 section 3.3.2 asks for 64.
const RTCP_WINDOW_WORDS: usize = 4;

/// An authentic RTP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenedRtp {
    pub ext_seq: ExtSeqNo,
    /// Header and plaintext payload, without the tag, in bytes.
    pub len: usize,
}

/// The receiving half of a peer connection's SRTP.
pub struct SrtpInbound {
    profile: SrtpProfile,
    rtp: SessionCipher,
    rtcp: SessionCipher,
    rtp_streams: Streams<RTP_WINDOW_WORDS>,
    rtcp_streams: Streams<RTCP_WINDOW_WORDS>,
}

impl SrtpInbound {
    pub fn new(profile: SrtpProfile, master: &MasterKey) -> Result<Self, SrtpError> {
        let rtp = SessionCipher::new(profile, Protocol::Rtp, master)?;
        let rtcp = SessionCipher::new(profile, Protocol::Rtcp, master)?;
        Ok(Self::with_ciphers(profile, rtp, rtcp))
    }

    pub(super) fn with_ciphers(profile: SrtpProfile, rtp: SessionCipher, rtcp: SessionCipher) -> Self {
        Self { profile, rtp, rtcp, rtp_streams: Streams::new(), rtcp_streams: Streams::new() }
    }

    /// SSRCs that have sent authentic RTP.
    pub fn streams(&self) -> usize {
        self.rtp_streams.len()
    }

    /// SSRCs that have sent authentic RTCP.
    pub fn rtcp_streams(&self) -> usize {
        self.rtcp_streams.len()
    }

    /// Decrypts in place. `header_len` is fixed header, CSRCs and extension together. On failure nothing is remembered and
    /// the packet may be garbage.
    pub fn open_rtp(&mut self, packet: &mut [u8], header_len: usize) -> Result<OpenedRtp, SrtpError> {
        let (seq, ssrc) = rtp_fields(packet).ok_or(SrtpError::Malformed)?;
        let len = packet.len().checked_sub(self.profile.tag_len()).ok_or(SrtpError::Malformed)?;
        if header_len < RTP_HEADER_LEN || header_len > len {
            return Err(SrtpError::Malformed);
        }
        let slot = self.rtp_streams.find(ssrc)?;
        let ext_seq = match self.rtp_streams.window(slot) {
            Some(window) => {
                let ext_seq = ExtSeqNo::new(window.highest()).nearest(seq);
                window.check(ext_seq.get())?;
                ext_seq
            }
            // RFC 3711 section 3.3.1: a stream starts with a roll-over counter of zero at the first sequence received.
            None => ExtSeqNo::new(seq.get().into()),
        };
        if ext_seq.get() > SRTP_INDEX_MAX {
            return Err(SrtpError::KeyExhausted);
        }
        let (message, tag) = packet.split_at_mut_checked(len).ok_or(SrtpError::Malformed)?;
        match &self.rtp {
            SessionCipher::Gcm(gcm) => {
                let (header, payload) = message.split_at_mut_checked(header_len).ok_or(SrtpError::Malformed)?;
                gcm.open_in_place((ssrc, ext_seq.get()), header, payload, tag)?;
            }
            SessionCipher::Cm(cm) => {
                cm.verify(message, &ext_seq.roll_over().to_be_bytes(), tag)?;
                let payload = message.get_mut(header_len..).ok_or(SrtpError::Malformed)?;
                cm.apply_keystream((ssrc, ext_seq.get()), payload)?;
            }
        }
        self.rtp_streams.accept(slot, ssrc, ext_seq.get());
        Ok(OpenedRtp { ext_seq, len })
    }

    /// Decrypts a compound packet in place and returns its length. Unencrypted SRTCP is refused: nobody negotiates it in
    /// WebRTC (RFC 8827 section 6.5).
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let ssrc = rtcp_ssrc(packet).ok_or(SrtpError::Malformed)?;
        let len = packet.len().checked_sub(self.profile.rtcp_overhead()).ok_or(SrtpError::Malformed)?;
        let (header, rest) = packet.split_at_mut_checked(RTCP_HEADER_LEN).ok_or(SrtpError::Malformed)?;
        let body_len = len.checked_sub(RTCP_HEADER_LEN).ok_or(SrtpError::Malformed)?;
        // GCM has the tag before the index (RFC 7714 section 9.3), AES-CM behind it (RFC 3711 section 3.4).
        let index_at = match &self.rtcp {
            SessionCipher::Gcm(_) => body_len + self.profile.tag_len(),
            SessionCipher::Cm(_) => body_len,
        };
        let word =
            *rest.get(index_at..).and_then(|at| at.first_chunk::<SRTCP_INDEX_LEN>()).ok_or(SrtpError::Malformed)?;
        let value = u32::from_be_bytes(word);
        if value & SRTCP_ENCRYPTED == 0 {
            return Err(SrtpError::Malformed);
        }
        let index = u64::from(value & !SRTCP_ENCRYPTED);
        let slot = self.rtcp_streams.find(ssrc)?;
        if let Some(window) = self.rtcp_streams.window(slot) {
            window.check(index)?;
        }
        match &self.rtcp {
            SessionCipher::Gcm(gcm) => {
                let (body, trailer) = rest.split_at_mut_checked(body_len).ok_or(SrtpError::Malformed)?;
                let tag = trailer.get(..self.profile.tag_len()).ok_or(SrtpError::Malformed)?;
                let mut aad = [0; RTCP_HEADER_LEN + SRTCP_INDEX_LEN];
                aad[..RTCP_HEADER_LEN].copy_from_slice(header);
                aad[RTCP_HEADER_LEN..].copy_from_slice(&word);
                gcm.open_in_place((ssrc, index), &aad, body, tag)?;
            }
            SessionCipher::Cm(cm) => {
                let (message, tag) = packet.split_at_mut_checked(len + SRTCP_INDEX_LEN).ok_or(SrtpError::Malformed)?;
                cm.verify(message, &[], tag)?;
                let body = message.get_mut(RTCP_HEADER_LEN..len).ok_or(SrtpError::Malformed)?;
                cm.apply_keystream((ssrc, index), body)?;
            }
        }
        self.rtcp_streams.accept(slot, ssrc, index);
        Ok(len)
    }
}

impl std::fmt::Debug for SrtpInbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtpInbound").field("profile", &self.profile).finish_non_exhaustive()
    }
}
