//! RTCP that we send: transport-wide feedback, NACKs, keyframe requests, sender and receiver reports.

use super::Worker;
use crate::batch::{Priority, SendBatch};
use crate::ids::Ssrc;
use crate::ingress::loss::Repair;
use crate::ingress::round_trip::RoundTrip;
use crate::limits::ENCODINGS_MAX;
use crate::params::MediaKind;
use crate::wire::ntp::NtpTime;
use crate::wire::rtcp::{FirEntry, RTCP_LEN_MAX, ReportBlock, RtcpWriter};
use crate::worker::keys::{PeerKey, TrackKey};
use std::time::{Duration, Instant};

/// Soon after the first media, so that receivers can synchronise early.
pub(super) const FIRST_REPORT_DELAY: Duration = Duration::from_millis(200);
/// Browsers send a report per second for video; round trips and clock drift need no more.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// A subscription that has sent nothing for so long has no sender report: its clock stands still.
const SENDER_REPORT_IDLE: Duration = Duration::from_secs(5);
/// A sender report, its CNAME and the longest CNAME's padding: room that is left for one more.
const SENDER_REPORT_ROOM: usize = 28 + 8 + 256 + 4;
/// Report blocks in one receiver report (RFC 3550 section 6.4.2: five bits).
const REPORT_BLOCKS_MAX: usize = 31;
/// Streams that an estimate names: the count has eight bits (draft-alvestrand-rmcat-remb-03 section 2.2).
const REMB_SSRCS_MAX: usize = 255;

impl Worker {
    /// Sends what a peer's timers say, and sets them anew.
    pub(super) fn send_due_reports(&mut self, now: Instant, key: PeerKey, out: &mut SendBatch) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let Some(peer) = self.peers.get_mut(key) else { return };
        let timers = &mut peer.timers;
        let (feedback, repair, report) = (due(timers.feedback), due(timers.repair), due(timers.report));
        if feedback {
            timers.feedback = None;
        }
        if repair {
            timers.begin_repair(now);
        }
        if report {
            timers.report = Some(now + REPORT_INTERVAL);
            peer.bandwidth.handle_silence(now);
        }
        if feedback {
            self.send_transport_cc(key, out);
            self.send_remb(now, key, out);
        }
        if repair {
            self.send_repairs(now, key, out);
        }
        if report {
            for track in self.peers.get(key).map(|peer| peer.tracks.clone()).unwrap_or_default() {
                self.retarget_track(now, track, out);
            }
            self.allocate(now, key, out);
            self.send_receiver_report(now, key, out);
            self.send_sender_reports(now, key, out);
        }
    }

    /// Seals what `compose` writes and sends it to a peer. Nothing is sent when nothing was written, or before the keys are
    /// there.
    fn send_rtcp(&mut self, key: PeerKey, out: &mut SendBatch, compose: impl FnOnce(&mut RtcpWriter<'_>)) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(to) = peer.transport.destination() else { return };
        let Some(outbound) = peer.outbound.as_mut() else { return };
        self.rtcp.clear();
        compose(&mut RtcpWriter::new(&mut self.rtcp));
        let len = self.rtcp.len();
        if len == 0 {
            return;
        }
        self.rtcp.resize(len + outbound.rtcp_overhead(), 0);
        if let Ok(sealed) = outbound.seal_rtcp(&mut self.rtcp, len) {
            out.push(to, Priority::High, &self.rtcp[..sealed]);
        }
    }

    fn send_transport_cc(&mut self, key: PeerKey, out: &mut SendBatch) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(media) = peer.transport_cc.media else { return };
        let Some(mut recorder) = peer.transport_cc.recorder.take() else { return };
        let sender = self.feedback_ssrc;
        // One message reports thousands of packets; what does not fit goes into the next.
        let mut more = true;
        while more {
            more = false;
            self.send_rtcp(key, out, |rtcp| more = rtcp.transport_cc(&mut recorder, sender, media));
        }
        if let Some(peer) = self.peers.get_mut(key) {
            peer.transport_cc.recorder = Some(recorder);
        }
    }

    /// Tells a publisher that knows no transport-wide feedback what its path carries.
    fn send_remb(&mut self, now: Instant, key: PeerKey, out: &mut SendBatch) {
        let Self { peers, tracks, .. } = self;
        let Some(peer) = peers.get_mut(key) else { return };
        let Some(uplink) = &mut peer.uplink else { return };
        let streams = || peer.tracks.iter().filter_map(|track| tracks.get(*track)).flat_map(|track| &track.streams);
        let totals = streams().map(|stream| stream.reception.totals());
        let totals = totals.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        let Some(bps) = uplink.poll(now, totals, peer.rtt.map(|rtt| rtt.mean)) else { return };
        let ssrcs: Vec<Ssrc> = streams().filter_map(|stream| stream.ssrc).take(REMB_SSRCS_MAX).collect();
        let sender = self.feedback_ssrc;
        self.send_rtcp(key, out, |rtcp| {
            rtcp.remb(sender, bps, &ssrcs);
        });
    }

    /// Asks the publisher of `track` for a keyframe of one encoding: now, or when the throttle allows.
    pub(super) fn request_keyframe(&mut self, now: Instant, key: TrackKey, stream: usize, out: &mut SendBatch) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        let publisher = track.publisher;
        let Some(stream) = track.streams.get_mut(stream) else { return };
        if track.kind == MediaKind::Audio {
            return;
        }
        stream.keyframes.want();
        self.send_keyframe_request(now, key, out);
        self.schedule(publisher);
    }

    /// Sends the keyframe requests of a track that are due, and enters the time of the next.
    fn send_keyframe_request(&mut self, now: Instant, key: TrackKey, out: &mut SendBatch) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        let publisher = track.publisher;
        let with_fir = track.asks_with_fir();
        let mut asked = smallvec::SmallVec::<[FirEntry; ENCODINGS_MAX]>::new();
        let mut next: Option<Instant> = None;
        // A still screen sends nothing and can be asked; an encoding that is silent while others are not was stopped.
        let all_silent = !track.streams.iter().any(|stream| stream.is_active(now));
        for stream in &mut track.streams {
            // An encoding that never sent, or that was stopped, begins with a keyframe.
            let Some(ssrc) = stream.ssrc.filter(|_| stream.has_started()) else { continue };
            if !all_silent && !stream.is_active(now) {
                stream.keyframes.forget();
                continue;
            }
            if stream.keyframes.poll(now) {
                asked.push(FirEntry { ssrc, seq_nr: stream.keyframes.number() });
            }
            next = [next, stream.keyframes.due(now)].into_iter().flatten().min();
        }
        if let (Some(next), Some(peer)) = (next, self.peers.get_mut(publisher)) {
            peer.timers.repair_by(next);
        }
        self.stats.keyframe_requests_sent += asked.len() as u64;
        let sender = self.feedback_ssrc;
        self.send_rtcp(publisher, out, |rtcp| {
            if with_fir {
                rtcp.fir(sender, &asked);
                return;
            }
            for entry in asked {
                rtcp.pli(sender, entry.ssrc);
            }
        });
    }

    /// NACKs and keyframe requests of all tracks of a publisher.
    fn send_repairs(&mut self, now: Instant, key: PeerKey, out: &mut SendBatch) {
        let Some(rtt) = self.peers.get(key).map(|peer| peer.rtt) else { return };
        let mut index = 0;
        while let Some(track) = self.peers.get(key).and_then(|peer| peer.tracks.get(index).copied()) {
            index += 1;
            self.send_nacks(now, key, track, rtt, out);
            self.send_keyframe_request(now, track, out);
        }
    }

    fn send_nacks(&mut self, now: Instant, peer: PeerKey, key: TrackKey, rtt: Option<RoundTrip>, out: &mut SendBatch) {
        let sender = self.feedback_ssrc;
        let Some(streams) = self.tracks.get(key).filter(|track| track.has_nack()).map(|track| track.streams.len())
        else {
            return;
        };
        let mut lost = std::mem::take(&mut self.lost);
        for index in 0..streams {
            let Some(stream) = self.tracks.get_mut(key).and_then(|track| track.streams.get_mut(index)) else { break };
            lost.clear();
            let repair = stream.loss.poll_requests(now, rtt, &mut lost);
            let (ssrc, due) = (stream.ssrc, stream.loss.next_due());
            if repair == Repair::Overdue {
                self.request_keyframe(now, key, index, out);
            }
            if let (Some(due), Some(peer)) = (due, self.peers.get_mut(peer)) {
                peer.timers.repair_by(due);
            }
            let Some(media) = ssrc.filter(|_| !lost.is_empty()) else { continue };
            self.stats.nacks_sent += lost.len() as u64;
            self.send_rtcp(peer, out, |rtcp| {
                rtcp.nack(sender, media, &lost);
            });
        }
        self.lost = lost;
    }

    /// RFC 3550 section 6.4.2, one block per encoding that has sent something.
    fn send_receiver_report(&mut self, now: Instant, key: PeerKey, out: &mut SendBatch) {
        let Some(peer) = self.peers.get(key) else { return };
        let mut blocks: Vec<ReportBlock> = Vec::new();
        for track in &peer.tracks {
            let Some(track) = self.tracks.get_mut(*track) else { continue };
            for stream in &mut track.streams {
                let (Some(ssrc), Some(report)) = (stream.ssrc, stream.reception.report()) else { continue };
                let (lsr, dlsr) = stream.sender_report.map_or((0, 0), |mark| {
                    let since = now.saturating_duration_since(mark.arrival);
                    (mark.ntp.middle32(), (since.as_nanos() * 65_536 / 1_000_000_000) as u32)
                });
                blocks.push(ReportBlock {
                    ssrc,
                    fraction_lost: report.fraction_lost,
                    cumulative_lost: report.cumulative_lost,
                    highest_seq: report.highest_seq,
                    jitter: report.jitter,
                    lsr,
                    dlsr,
                });
            }
        }
        let sender = self.feedback_ssrc;
        for blocks in blocks.chunks(REPORT_BLOCKS_MAX) {
            self.send_rtcp(key, out, |rtcp| {
                rtcp.receiver_report(sender, blocks);
            });
        }
    }

    /// One sender report per subscription that is sending, several to a datagram.
    fn send_sender_reports(&mut self, now: Instant, key: PeerKey, out: &mut SendBatch) {
        let ntp = self.clock.ntp(now);
        let Some(peer) = self.peers.get(key) else { return };
        let mut next = 0;
        let keys = peer.subscriptions.clone();
        while next < keys.len() {
            let reports: Vec<_> = keys[next..].iter().map(|&key| self.sender_report(now, ntp, key)).collect();
            self.send_rtcp(key, out, |rtcp| {
                for report in reports {
                    if rtcp.len() + SENDER_REPORT_ROOM > RTCP_LEN_MAX {
                        break;
                    }
                    next += 1;
                    let Some(report) = report else { continue };
                    rtcp.sender_report(report.ssrc, ntp, report.rtp, report.packets, report.octets, &[]);
                    rtcp.sdes_cname(report.ssrc, report.cname.as_bytes());
                }
            });
            if self.peers.get(key).is_none_or(|peer| !peer.is_connected()) {
                return;
            }
        }
    }

    /// `None` while the publisher has not reported: without it, our report could only desynchronise.
    fn sender_report(&self, now: Instant, ntp: NtpTime, key: crate::worker::keys::SubscriptionKey) -> Option<SrFields> {
        let subscription = self.subscriptions.get(key)?;
        let idle = now.saturating_duration_since(subscription.last_sent?);
        let track = self.tracks.get(subscription.track)?;
        let stream = track.streams.get(subscription.current?)?;
        let mark = stream.sender_report?;
        let offset = self.peers.get(track.publisher)?.clock.offset()?;
        let incoming = mark.rtp_at(ntp, offset, track.clock_rate());
        (idle < SENDER_REPORT_IDLE).then_some(())?;
        Some(SrFields {
            ssrc: subscription.ssrc,
            rtp: subscription.outgoing_time(incoming)?,
            packets: subscription.packets_sent,
            octets: subscription.octets_sent,
            cname: subscription.cname.clone(),
        })
    }
}

struct SrFields {
    ssrc: Ssrc,
    rtp: crate::ids::RtpTime,
    packets: u32,
    octets: u32,
    cname: String,
}
