//! Sender and receiver reports (RFC 3550 sections 6.4.1 and 6.4.2).

use crate::ids::{RtpTime, Ssrc};
use crate::wire::ntp::NtpTime;
use crate::wire::{WireError, u32_at, u64_at};

pub(super) const REPORT_BLOCK_LEN: usize = 24;
/// SSRC, NTP time, RTP time, packet and octet counts.
pub(super) const SENDER_INFO_LEN: usize = 24;

/// What a sender has sent, and the two clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub struct SenderReport<'a> {
    pub ssrc: Ssrc,
    pub ntp: NtpTime,
    pub rtp: RtpTime,
    pub packets: u32,
    pub octets: u32,
    pub reports: ReportBlocks<'a>,
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, WireError> {
        let read = || {
            Some(Self {
                ssrc: Ssrc::new(u32_at(body, 0)?),
                ntp: NtpTime::new(u64_at(body, 4)?),
                rtp: RtpTime::new(u32_at(body, 12)?),
                packets: u32_at(body, 16)?,
                octets: u32_at(body, 20)?,
                reports: ReportBlocks::parse(count, body.get(SENDER_INFO_LEN..)?)?,
            })
        };
        read().ok_or(WireError::Truncated)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct ReceiverReport<'a> {
    pub ssrc: Ssrc,
    pub reports: ReportBlocks<'a>,
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, WireError> {
        let read = || {
            let reports = ReportBlocks::parse(count, body.get(4..)?)?;
            Some(Self { ssrc: Ssrc::new(u32_at(body, 0)?), reports })
        };
        read().ok_or(WireError::Truncated)
    }
}

/// At most 31: the count has five bits.
#[derive(Clone, Copy, Debug)]
pub struct ReportBlocks<'a>(&'a [u8]);

impl<'a> ReportBlocks<'a> {
    fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        body.get(..REPORT_BLOCK_LEN * usize::from(count)).map(Self)
    }

    pub fn iter(&self) -> impl Iterator<Item = ReportBlock> + use<'a> {
        self.0.chunks_exact(REPORT_BLOCK_LEN).filter_map(ReportBlock::read)
    }
}

/// What a receiver has got of one source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportBlock {
    pub ssrc: Ssrc,
    /// Since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Since the beginning, 24 bits on the wire; negative after duplicates.
    pub cumulative_lost: i32,
    /// With the count of wraps in its upper half.
    pub highest_seq: u32,
    /// In the source's RTP clock.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP time, 0 before the first.
    pub lsr: u32,
    /// Since then, in 1/65,536 s.
    pub dlsr: u32,
}

impl ReportBlock {
    const CUMULATIVE_LOST_MIN: i32 = -(1 << 23);
    const CUMULATIVE_LOST_MAX: i32 = (1 << 23) - 1;

    fn read(bytes: &[u8]) -> Option<Self> {
        let loss = u32_at(bytes, 4)?;
        Some(Self {
            ssrc: Ssrc::new(u32_at(bytes, 0)?),
            fraction_lost: (loss >> 24) as u8,
            // Up and down again extends the sign of the 24 bits.
            cumulative_lost: (loss << 8) as i32 >> 8,
            highest_seq: u32_at(bytes, 8)?,
            jitter: u32_at(bytes, 12)?,
            lsr: u32_at(bytes, 16)?,
            dlsr: u32_at(bytes, 20)?,
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let lost = self.cumulative_lost.clamp(Self::CUMULATIVE_LOST_MIN, Self::CUMULATIVE_LOST_MAX) as u32 & 0xff_ffff;
        let loss = u32::from(self.fraction_lost) << 24 | lost;
        for word in [self.ssrc.get(), loss, self.highest_seq, self.jitter, self.lsr, self.dlsr] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }
}
