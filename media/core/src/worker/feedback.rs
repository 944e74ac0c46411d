//! RTCP that arrives: reports, requests for packets and for keyframes.

use super::Worker;
use crate::batch::SendBatch;
use crate::drops::DropReason;
use crate::egress::held::Held;
use crate::egress::packet::{Packet, PacketInfo};
use crate::egress::send;
use crate::ids::{SeqNo, Ssrc};
use crate::ingress::clock::SenderReportMark;
use crate::ingress::round_trip::RoundTrip;
use crate::params::{Content, MediaKind, Path};
use crate::peer::routes::Purpose;
use crate::wire::rtcp::{self, ReportBlock, RtcpPacket, SenderReport, TransportCcFeedback};
use crate::wire::rtp::RtpPacket;
use crate::wire::transport_cc::Statuses;
use crate::worker::keys::{PeerKey, SubscriptionKey};
use std::time::{Duration, Instant};

/// A longer round trip in a report is a mistake of its sender, or of a clock.
const RTT_MAX: Duration = Duration::from_secs(10);

impl Worker {
    pub(super) fn handle_rtcp(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &mut [u8],
        out: &mut SendBatch,
    ) -> Result<(), DropReason> {
        let key = *self.peers_by_address.get(&path.remote).ok_or(DropReason::UnknownAddress)?;
        let peer = self.peers.get_mut(key).ok_or(DropReason::UnknownAddress)?;
        let inbound = peer.inbound.as_mut().ok_or(DropReason::SrtpNotReady)?;
        let len = inbound.open_rtcp(datagram).map_err(|error| match error.drop_reason() {
            DropReason::RtpMalformed => DropReason::RtcpMalformed,
            reason => reason,
        })?;
        peer.presence.heard(now);
        let plain = datagram.get(..len).ok_or(DropReason::RtcpMalformed)?;
        for packet in rtcp::compound(plain) {
            match packet.map_err(|_| DropReason::RtcpMalformed)? {
                RtcpPacket::SenderReport(report) => {
                    self.handle_sender_report(now, key, &report);
                    self.note_reception(now, key, report.reports.iter());
                    report.reports.iter().for_each(|block| self.handle_report_block(now, key, &block));
                }
                RtcpPacket::ReceiverReport(report) => {
                    self.note_reception(now, key, report.reports.iter());
                    report.reports.iter().for_each(|block| self.handle_report_block(now, key, &block));
                }
                RtcpPacket::Nack(nack) => self.handle_nack(now, key, nack.media, nack.lost(), out),
                RtcpPacket::Pli(pli) => self.handle_keyframe_request(now, key, pli.media, out),
                RtcpPacket::Fir(fir) => {
                    fir.entries().for_each(|entry| self.handle_keyframe_request(now, key, entry.ssrc, out));
                }
                RtcpPacket::TransportCc(feedback) => self.handle_transport_cc(now, key, &feedback),
                RtcpPacket::Remb(remb) => {
                    if let Some(peer) = self.peers.get_mut(key) {
                        peer.bandwidth.handle_remb(now, remb.bitrate_bps);
                    }
                    self.note_estimate(now, key);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn handle_sender_report(&mut self, now: Instant, key: PeerKey, report: &SenderReport<'_>) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(target) = peer.routes.lookup(report.ssrc).filter(|t| t.purpose == Purpose::Media) else { return };
        peer.clock.update(self.clock.ntp(now), report.ntp);
        let stream = self.tracks.get_mut(target.track).and_then(|track| track.streams.get_mut(target.stream));
        if let Some(stream) = stream {
            stream.sender_report = Some(SenderReportMark { ntp: report.ntp, rtp: report.rtp, arrival: now });
        }
    }

    /// RFC 3550 section 6.4.1: the round trip from the echo of our last sender report.
    fn handle_report_block(&mut self, now: Instant, key: PeerKey, block: &ReportBlock) {
        self.figures.note_report(key, block.fraction_lost);
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.bandwidth.handle_report(block.fraction_lost);
        if block.lsr == 0 {
            return;
        }
        let units = self.clock.ntp(now).middle32().wrapping_sub(block.lsr).wrapping_sub(block.dlsr);
        let rtt = Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16);
        if rtt <= RTT_MAX {
            RoundTrip::note_in(&mut peer.rtt, now, rtt);
        }
    }

    fn handle_transport_cc(&mut self, now: Instant, key: PeerKey, feedback: &TransportCcFeedback<'_>) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let statuses = Statuses::parse(feedback.body);
        if !statuses.is_ok_and(|statuses| peer.bandwidth.handle_feedback(now, &statuses)) {
            self.stats.drops.count(DropReason::RtcpMalformed);
        }
        self.note_estimate(now, key);
        self.schedule_probe(key);
    }

    pub(super) fn subscription_by_ssrc(&self, key: PeerKey, ssrc: Ssrc) -> Option<SubscriptionKey> {
        let own = &self.peers.get(key)?.subscriptions;
        own.iter().copied().find(|&s| self.subscriptions.get(s).is_some_and(|s| s.ssrc == ssrc))
    }

    fn handle_nack(
        &mut self,
        now: Instant,
        key: PeerKey,
        media: Ssrc,
        lost: impl Iterator<Item = SeqNo>,
        out: &mut SendBatch,
    ) {
        let Some(subscription) = self.subscription_by_ssrc(key, media) else { return };
        for seq in lost {
            match self.resend(now, key, subscription, seq, out) {
                Ok(copies) => self.stats.rtp_retransmitted += copies,
                Err(reason) => self.stats.drops.count(reason),
            }
        }
    }

    fn resend(
        &mut self,
        now: Instant,
        key: PeerKey,
        subscription: SubscriptionKey,
        seq: SeqNo,
        out: &mut SendBatch,
    ) -> Result<u64, DropReason> {
        let Self { peers, tracks, subscriptions, .. } = self;
        let own = subscription;
        let subscription = subscriptions.get_mut(own).ok_or(DropReason::UnknownStream)?;
        let track = tracks.get(subscription.track).ok_or(DropReason::UnknownStream)?;
        let sent = subscription.history.find(now, seq).ok_or(DropReason::NotInCache)?;
        let stream = track.streams.get(sent.stream).ok_or(DropReason::NotInCache)?;
        let stored = stream.cache.get(sent.ext_seq).ok_or(DropReason::NotInCache)?;
        let peer = peers.get_mut(key).ok_or(DropReason::SubscriberNotConnected)?;
        // Audio outranks video: of it, little can be asked for.
        let path_bps = peer.bandwidth.pace_bps(now).filter(|_| track.kind == MediaKind::Video);
        // A shared screen comes before cameras, and a keyframe costs it far more than what is missing.
        let waits = path_bps.is_some() && track.content == Content::Detail;
        if !waits && !peer.resend_budget.take(now, stored.len(), path_bps) {
            return Err(DropReason::RetransmissionBudget);
        }
        // Where a queue makes it long, sending more makes it longer.
        let is_far = peer.rtt.is_some_and(|rtt| rtt.is_long()) && peer.bandwidth.pace_bps(now).is_none();
        let mut outlet = peer.outlet(now, track.kind).ok_or(DropReason::SubscriberNotConnected)?;
        let rtp = RtpPacket::parse(stored).map_err(|_| DropReason::NotInCache)?;
        let info = PacketInfo::read(track, sent.stream, sent.ext_seq, false, &rtp).ok_or(DropReason::NotInCache)?;
        let packet = Packet::new(&info, stored);
        let outgoing = subscription.outgoing_again(sent, &info).ok_or(DropReason::NoPayloadMapping)?;
        if let Some(pacer) = outlet.pacer.as_deref_mut().filter(|_| waits) {
            let is_same = |held: &Held| held.subscription == own && held.outgoing.sent.out == sent.out;
            let fits = pacer.push_resend(Held::again(own, track, &info, outgoing), stored.len(), is_same);
            self.schedule_release(now, key);
            return if fits { Ok(0) } else { Err(DropReason::PacerFull) };
        }
        let mut len = send::retransmit(subscription, &mut outlet, &packet, &outgoing, out)?;
        subscription.history.note_resent(now, sent.out);
        // Asked for again: the request or its answer was lost, and one more loss would cost a further round trip.
        let is_late = is_far && subscription.history.times_resent(sent.out) > 1;
        let is_doubled = is_late && subscription.sends_again_as(outgoing.mapping).is_some();
        if is_doubled {
            len += send::retransmit(subscription, &mut outlet, &packet, &outgoing, out)?;
        }
        if let Some(pacer) = &mut outlet.pacer {
            pacer.note(now, len);
        }
        Ok(1 + u64::from(is_doubled))
    }

    fn handle_keyframe_request(&mut self, now: Instant, key: PeerKey, media: Ssrc, out: &mut SendBatch) {
        let Some(own) = self.subscription_by_ssrc(key, media) else { return };
        let Some(subscription) = self.subscriptions.get(own) else { return };
        // One that is on its way need not be followed by another, which would wait behind it; nor is one needed while what is
        // missing is on its way.
        let is_part =
            |held: &Held| held.subscription == own && (held.again || Some(held.time()) == subscription.keyframe_time);
        if self.peers.get(key).is_some_and(|peer| peer.pacer.holds(is_part)) {
            return;
        }
        if let Some(stream) = subscription.current.or(subscription.target) {
            self.request_keyframe(now, subscription.track, stream, out);
        }
    }
}
