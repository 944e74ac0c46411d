//! What we send to one peer: seals RTP under an index that the caller chose, and RTCP under an index of its own. Keeps no
//! state per SSRC.

use super::cipher::SessionCipher;
use super::keys::{MasterKey, Protocol};
use super::{
    RTCP_HEADER_LEN, RTP_HEADER_LEN, SRTCP_ENCRYPTED, SRTCP_INDEX_LEN, SRTCP_INDEX_MAX, SRTP_INDEX_MAX, SrtpError,
    SrtpProfile, rtcp_ssrc, rtp_fields,
};
use crate::ids::{ExtSeqNo, Ssrc};

/// The sending half of a peer connection's SRTP.
///
/// The caller never seals two different packets under the same SSRC and index: with GCM that gives the authentication key
/// away (RFC 7714 section 8.4). A retransmission therefore leaves on its own SSRC, or byte for byte as before.
pub struct SrtpOutbound {
    profile: SrtpProfile,
    rtp: SessionCipher,
    rtcp: SessionCipher,
    /// One counter for all our SSRCs: RFC 3711 section 3.2.1 has one each, and receivers take gaps as loss.
    next_rtcp_index: u32,
}

impl SrtpOutbound {
    pub fn new(profile: SrtpProfile, master: &MasterKey) -> Result<Self, SrtpError> {
        let rtp = SessionCipher::new(profile, Protocol::Rtp, master)?;
        let rtcp = SessionCipher::new(profile, Protocol::Rtcp, master)?;
        Ok(Self::with_ciphers(profile, rtp, rtcp, 0))
    }

    pub(super) fn with_ciphers(
        profile: SrtpProfile,
        rtp: SessionCipher,
        rtcp: SessionCipher,
        next_rtcp_index: u32,
    ) -> Self {
        Self { profile, rtp, rtcp, next_rtcp_index }
    }

    /// What sealing adds to an RTP packet, in bytes.
    pub fn rtp_overhead(&self) -> usize {
        self.profile.rtp_overhead()
    }

    /// What sealing adds to a compound RTCP packet, in bytes.
    pub fn rtcp_overhead(&self) -> usize {
        self.profile.rtcp_overhead()
    }

    /// Seals `payload`, which stays as it is, behind the header that stands in `out` already. `out` is exactly
    /// `header_len + payload.len() + rtp_overhead()` long.
    pub fn seal_rtp_from(
        &self,
        ssrc: Ssrc,
        index: ExtSeqNo,
        out: &mut [u8],
        header_len: usize,
        payload: &[u8],
    ) -> Result<(), SrtpError> {
        self.seal_padded_rtp_from(ssrc, index, out, header_len, (payload, &[]))
    }

    /// As [`Self::seal_rtp_from`], with padding behind the payload. The header says that there is some.
    pub fn seal_padded_rtp_from(
        &self,
        ssrc: Ssrc,
        index: ExtSeqNo,
        out: &mut [u8],
        header_len: usize,
        (payload, padding): (&[u8], &[u8]),
    ) -> Result<(), SrtpError> {
        check_rtp(out, header_len, ssrc, index)?;
        let (header, rest) = out.split_at_mut_checked(header_len).ok_or(SrtpError::Length)?;
        if rest.len() != payload.len() + padding.len() + self.rtp_overhead() {
            return Err(SrtpError::Length);
        }
        let (body, rest) = rest.split_at_mut_checked(payload.len()).ok_or(SrtpError::Length)?;
        match &self.rtp {
            SessionCipher::Gcm(gcm) => gcm.seal_from((ssrc, index.get()), header, (payload, padding), body, rest),
            SessionCipher::Cm(_) => {
                body.copy_from_slice(payload);
                rest.get_mut(..padding.len()).ok_or(SrtpError::Length)?.copy_from_slice(padding);
                self.seal_rtp_in_place(ssrc, index, out, header_len)
            }
        }
    }

    /// Seals the payload that stands in `out` behind the header; the last `rtp_overhead()` bytes of `out` take the tag.
    pub fn seal_rtp_in_place(
        &self,
        ssrc: Ssrc,
        index: ExtSeqNo,
        out: &mut [u8],
        header_len: usize,
    ) -> Result<(), SrtpError> {
        check_rtp(out, header_len, ssrc, index)?;
        let len = out.len().checked_sub(self.rtp_overhead()).ok_or(SrtpError::Length)?;
        let (message, tag) = out.split_at_mut_checked(len).ok_or(SrtpError::Length)?;
        let (header, payload) = message.split_at_mut_checked(header_len).ok_or(SrtpError::Length)?;
        match &self.rtp {
            SessionCipher::Gcm(gcm) => gcm.seal_in_place((ssrc, index.get()), header, payload, tag),
            SessionCipher::Cm(cm) => {
                cm.apply_keystream((ssrc, index.get()), payload)?;
                tag.copy_from_slice(&cm.tag(message, &index.roll_over().to_be_bytes()));
                Ok(())
            }
        }
    }

    /// Seals the compound packet in the first `len` bytes of `out`, which has room for `rtcp_overhead()` more. Returns the
    /// length to send.
    pub fn seal_rtcp(&mut self, out: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let total = len.checked_add(self.rtcp_overhead()).ok_or(SrtpError::Length)?;
        let out = out.get_mut(..total).ok_or(SrtpError::Length)?;
        let body_len = len.checked_sub(RTCP_HEADER_LEN).ok_or(SrtpError::Malformed)?;
        let ssrc = rtcp_ssrc(out).ok_or(SrtpError::Malformed)?;
        let index = self.next_rtcp_index;
        if index > SRTCP_INDEX_MAX {
            return Err(SrtpError::KeyExhausted);
        }
        let word = (index | SRTCP_ENCRYPTED).to_be_bytes();
        match &self.rtcp {
            SessionCipher::Gcm(gcm) => {
                let (header, rest) = out.split_at_mut_checked(RTCP_HEADER_LEN).ok_or(SrtpError::Length)?;
                let (body, trailer) = rest.split_at_mut_checked(body_len).ok_or(SrtpError::Length)?;
                let (tag, index_at) = trailer.split_at_mut_checked(self.profile.tag_len()).ok_or(SrtpError::Length)?;
                let mut aad = [0; RTCP_HEADER_LEN + SRTCP_INDEX_LEN];
                aad[..RTCP_HEADER_LEN].copy_from_slice(header);
                aad[RTCP_HEADER_LEN..].copy_from_slice(&word);
                gcm.seal_in_place((ssrc, index.into()), &aad, body, tag)?;
                index_at.copy_from_slice(&word);
            }
            SessionCipher::Cm(cm) => {
                let (message, tag) = out.split_at_mut_checked(len + SRTCP_INDEX_LEN).ok_or(SrtpError::Length)?;
                let (plain, index_at) = message.split_at_mut_checked(len).ok_or(SrtpError::Length)?;
                let body = plain.get_mut(RTCP_HEADER_LEN..).ok_or(SrtpError::Length)?;
                cm.apply_keystream((ssrc, index.into()), body)?;
                index_at.copy_from_slice(&word);
                tag.copy_from_slice(&cm.tag(message, &[]));
            }
        }
        self.next_rtcp_index = index + 1;
        Ok(total)
    }
}

/// A header that disagrees with the index would be undecodable, and would hide that an index is used twice.
fn check_rtp(out: &[u8], header_len: usize, ssrc: Ssrc, index: ExtSeqNo) -> Result<(), SrtpError> {
    if index.get() > SRTP_INDEX_MAX {
        return Err(SrtpError::KeyExhausted);
    }
    if header_len < RTP_HEADER_LEN {
        return Err(SrtpError::Length);
    }
    match rtp_fields(out) {
        Some(fields) if fields == (index.seq(), ssrc) => Ok(()),
        Some(_) => Err(SrtpError::Malformed),
        None => Err(SrtpError::Length),
    }
}

impl std::fmt::Debug for SrtpOutbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtpOutbound").field("profile", &self.profile).finish_non_exhaustive()
    }
}
