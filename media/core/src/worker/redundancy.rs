//! Lost packets of redundant audio, taken out of those that follow them (RFC 2198).
//!
//! A subscriber with RED could repair most gaps itself, one without cannot; both are given what was lost as if it had arrived,
//! with the redundancy that it had. It counts like a retransmission: as lost on the way, and as no longer missing.

use super::Worker;
use crate::batch::SendBatch;
use crate::codec::red::{self, RedBlock};
use crate::ids::{ExtSeqNo, PayloadType, RtpTime};
use crate::ingress::loss::Source;
use crate::ingress::stream::Stream;
use crate::limits::DATAGRAM_LEN_MAX;
use crate::params::Codec;
use crate::peer::routes::Target;
use crate::wire::rtp::{HeaderFields, RTP_HEADER_LEN, RtpPacket, write_header};
use std::time::Instant;

/// Lost packets in a row up to which the last ones are looked for: of a longer gap they would be a small part.
const GAP_MAX: u64 = 8;

/// Where the audio before a gap ended.
struct Before {
    ext_seq: ExtSeqNo,
    /// Timestamp units from one packet to the next, over the gap.
    frame: u32,
}

impl Worker {
    /// The packet after a gap: what it carries of those before it is taken in first.
    pub(super) fn unpack_redundancy(
        &mut self,
        now: Instant,
        target: Target,
        ext_seq: ExtSeqNo,
        rtp: &RtpPacket<'_>,
        out: &mut SendBatch,
    ) {
        let Some(blocks) = red::blocks(rtp.payload()) else { return };
        let redundant_len = blocks.clone().count().saturating_sub(1);
        let Some(before) = self.before_gap(target, ext_seq, rtp.timestamp()) else { return };
        for (index, block) in blocks.take(redundant_len).enumerate() {
            let back = (redundant_len - index) as u64;
            // A block is that packet's if it stands where that packet stood in time. Encrypted payloads fit nowhere.
            if ext_seq.get() - back <= before.ext_seq.get()
                || u64::from(block.timestamp_offset) != u64::from(before.frame) * back
            {
                continue;
            }
            let mut packet = [0; DATAGRAM_LEN_MAX];
            let lost = ExtSeqNo::new(ext_seq.get() - back);
            let Some(len) = self.rebuild(target, lost, before.frame, rtp, block, &mut packet) else { continue };
            let Ok(rebuilt) = RtpPacket::parse(&packet[..len]) else { continue };
            let stream = self.tracks.get_mut(target.track).and_then(|track| track.streams.get_mut(target.stream));
            let Some(stream) = stream else { return };
            let arrival = stream.recovered(now, lost.seq(), Source::Redundancy);
            // Refused where the packet came after all.
            if self.proceed(now, target, arrival, true, &rebuilt, out).is_ok() {
                self.stats.rtp_recovered += 1;
            }
        }
    }

    /// The last packet before the gap that ends with `ext_seq`; `None` where the gap is longer than [`GAP_MAX`], or the
    /// packets in it were not equally long.
    fn before_gap(&self, target: Target, ext_seq: ExtSeqNo, time: RtpTime) -> Option<Before> {
        let stream = self.tracks.get(target.track)?.streams.get(target.stream)?;
        let (distance, before) = (2..=GAP_MAX + 1).find_map(|distance| {
            let ext_seq = ExtSeqNo::new(ext_seq.get().checked_sub(distance)?);
            Some((distance, (ext_seq, RtpPacket::parse(stream.cache.get(ext_seq)?).ok()?.timestamp())))
        })?;
        let elapsed = u64::try_from(time.since(before.1)).ok()?;
        let frame = (elapsed % distance == 0).then_some(elapsed / distance)?;
        Some(Before { ext_seq: before.0, frame: u32::try_from(frame).ok()? })
    }

    /// Writes the lost packet, with what the one before it carried as its redundancy.
    fn rebuild(
        &self,
        target: Target,
        lost: ExtSeqNo,
        frame: u32,
        rtp: &RtpPacket<'_>,
        block: RedBlock<'_>,
        packet: &mut [u8],
    ) -> Option<usize> {
        let track = self.tracks.get(target.track)?;
        let is_opus = |payload_type: PayloadType| track.codec(payload_type).is_some_and(|c| c.codec == Codec::Opus);
        if !is_opus(block.payload_type) {
            return None;
        }
        let fields = HeaderFields {
            marker: false,
            payload_type: rtp.payload_type(),
            seq: lost.seq(),
            timestamp: rtp.timestamp().wrapping_add(u32::from(block.timestamp_offset).wrapping_neg()),
            ssrc: rtp.ssrc(),
        };
        // No extension: those of the packet that it came in are not its own.
        write_header(packet.get_mut(..RTP_HEADER_LEN)?, &fields, &[]);
        let earlier = primary_of(
            track.streams.get(target.stream)?,
            ExtSeqNo::new(lost.get().checked_sub(1)?),
            fields.payload_type,
        );
        let earlier = earlier.filter(|(_, payload_type)| is_opus(*payload_type)).and_then(|(data, payload_type)| {
            Some(RedBlock { payload_type, timestamp_offset: u16::try_from(frame).ok()?, data })
        });
        let primary = RedBlock { timestamp_offset: 0, ..block };
        Some(RTP_HEADER_LEN + red::compose(earlier, primary, packet.get_mut(RTP_HEADER_LEN..)?)?)
    }
}

fn primary_of(stream: &Stream, ext_seq: ExtSeqNo, red: PayloadType) -> Option<(&[u8], PayloadType)> {
    let rtp = RtpPacket::parse(stream.cache.get(ext_seq)?).ok()?;
    red::primary(Some(rtp.payload()).filter(|_| rtp.payload_type() == red)?)
}
