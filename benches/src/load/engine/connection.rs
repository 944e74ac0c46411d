//! One peer connection of a member: its socket, its WebRTC endpoint, what it sends and what it receives.

use super::Due;
use super::Measured;
use super::incoming::Incoming;
use super::socket::LoadSocket;
use super::stream::Stream;
use super::tally::{Counts, LastSent, Noted, StreamKey, Window};
use crate::load::payload;
use crate::load::plan::Plan;
use crate::load::seam::{Connection, ConnectionId, MemberId, RTX, StreamKind};
use crate::peer::{OpenError, Peer, Received};
use crate::random::Random;
use consilium_media_core::ids::{ExtSeqNo, RtpTime, SeqNo, Ssrc};
use consilium_media_core::wire::ntp::NtpTime;
use consilium_media_core::wire::rtcp::{self, RtcpPacket, RtcpWriter};
use consilium_media_core::wire::rtp::RtpPacket;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// SSRCs that one receiver follows; a server that sends more is not measured.
const INCOMING_MAX: usize = 2_048;
/// Report blocks in one receiver report (RFC 3550 section 6.4.2).
const REPORT_BLOCKS_MAX: usize = 31;

/// The time in both clocks.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) at: Instant,
    /// Since the Unix epoch.
    pub(super) ns: u64,
}

pub(super) struct LoadConnection {
    pub(super) id: ConnectionId,
    pub(super) socket: LoadSocket,
    pub(super) streams: Vec<Stream>,
    pub(super) started: Instant,
    /// When the endpoint's timers are looked at next.
    pub(super) endpoint_due: Option<Instant>,
    peer: Peer,
    server: SocketAddr,
    connected: Option<oneshot::Sender<Result<Instant, String>>>,
    incoming: Vec<Incoming>,
    /// Index of the stream that the last packet belonged to: packets come in runs.
    recent: usize,
    transport_seq: u16,
    random: Random,
    loss: f64,
    rtcp: Vec<u8>,
    buffer: Vec<u8>,
}

impl LoadConnection {
    pub(super) fn new(now: Instant, connection: Connection, socket: LoadSocket, plan: &Plan) -> Self {
        let Connection { id, peer, server, connected } = connection;
        Self {
            id,
            socket,
            streams: Vec::new(),
            started: now,
            endpoint_due: None,
            peer,
            server,
            connected: Some(connected),
            incoming: Vec::new(),
            recent: 0,
            transport_seq: 0,
            random: Random::new(plan.seed ^ u64::from(id.member.0) << 32),
            loss: plan.loss,
            rtcp: Vec::new(),
            buffer: Vec::new(),
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.peer.is_connected()
    }

    /// Whether an entry of the schedule still stands: a later one for the same thing replaces it.
    pub(super) fn is_due(&self, at: Instant, due: Due) -> bool {
        match due {
            Due::Stream(stream) => self.streams.get(stream).is_some_and(|stream| stream.due == Some(at)),
            Due::Endpoint => self.endpoint_due == Some(at),
            Due::Reports | Due::Requests => true,
        }
    }

    /// Tells whoever waits that it will never be connected.
    pub(super) fn give_up(mut self, cause: String) {
        if let Some(connected) = self.connected.take() {
            // Whoever waited may have given up.
            let _ = connected.send(Err(cause));
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.peer.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let result = self.peer.handle_timeout(now).map_err(|error| error.to_string());
        self.settle(now, result);
    }

    /// Sends what the endpoint wants sent, and tells when it is connected or cannot be.
    fn settle(&mut self, now: Instant, result: Result<(), String>) {
        while let Some(datagram) = self.peer.poll_transmit() {
            // Lost like any other datagram; ICE and DTLS send again.
            let _ = self.socket.send(self.server, &datagram, datagram.len());
        }
        let outcome = match result {
            Err(error) => Err(error),
            Ok(()) if self.peer.is_connected() => Ok(now),
            Ok(()) => return,
        };
        if let Some(connected) = self.connected.take() {
            // Whoever waited may have given up.
            let _ = connected.send(outcome);
        }
    }

    /// Takes one datagram. `arrived_ns` is the kernel's time.
    pub(super) fn handle_datagram(&mut self, now: Now, arrived_ns: u64, datagram: &mut [u8], measured: &mut Measured) {
        let (Some(&first), Some(&second)) = (datagram.first(), datagram.get(1)) else { return };
        match (first, second) {
            (128..=191, 192..=223) => self.handle_rtcp(now, datagram, measured),
            (128..=191, _) => self.handle_rtp(arrived_ns, datagram, measured),
            _ => {
                let result = self.peer.handle_datagram(now.at, datagram);
                self.settle(now.at, result.map(|_: Received| ()).map_err(|error| error.to_string()));
            }
        }
    }

    fn handle_rtp(&mut self, arrived_ns: u64, datagram: &mut [u8], measured: &mut Measured) {
        if self.loss > 0.0 && (self.random.below(1_000_000) as f64) < self.loss * 1e6 {
            measured.thrown_away += 1;
            return;
        }
        let opened = match self.peer.open_rtp(datagram) {
            Ok(opened) => opened,
            Err(OpenError::Replayed) => {
                measured.duplicates += 1;
                return;
            }
            Err(OpenError::Refused) => {
                measured.refused += 1;
                return;
            }
        };
        let Some(rtp) = datagram.get(..opened.len).and_then(|plain| RtpPacket::parse(plain).ok()) else { return };
        if rtp.payload_type().get() == RTX {
            return self.handle_again(arrived_ns, rtp.payload(), measured);
        }
        let Some(index) = self.incoming_index(rtp.ssrc(), opened.ext_seq) else { return };
        let incoming = &mut self.incoming[index];
        incoming.arrived(opened.ext_seq);
        let Some(mark) = payload::read(rtp.payload()) else { return };
        if incoming.tally.note(measured.window, &mark) == Noted::Measured {
            measured.delay(arrived_ns.saturating_sub(mark.sent_ns));
            measured.bytes += datagram.len() as u64;
        }
    }

    /// A packet that was asked for again (RFC 4588 section 4): its number, then what it carries.
    fn handle_again(&mut self, arrived_ns: u64, payload: &[u8], measured: &mut Measured) {
        let Some((seq, payload)) = payload.split_first_chunk() else { return };
        let Some(mark) = payload::read(payload) else { return };
        let Some(incoming) = self.incoming.iter_mut().find(|incoming| incoming.tally.carries(&mark)) else { return };
        if !incoming.came_again(SeqNo::new(u16::from_be_bytes(*seq))) {
            measured.duplicates += 1;
        } else if incoming.tally.note(measured.window, &mark) == Noted::Measured {
            measured.delay(arrived_ns.saturating_sub(mark.sent_ns));
            measured.bytes += payload.len() as u64;
        }
    }

    fn incoming_index(&mut self, ssrc: Ssrc, first: ExtSeqNo) -> Option<usize> {
        if self.incoming.get(self.recent).is_some_and(|incoming| incoming.ssrc == ssrc) {
            return Some(self.recent);
        }
        let index = match self.incoming.iter().position(|incoming| incoming.ssrc == ssrc) {
            Some(index) => index,
            None if self.incoming.len() < INCOMING_MAX => {
                self.incoming.push(Incoming::new(ssrc, first));
                self.incoming.len() - 1
            }
            None => return None,
        };
        self.recent = index;
        Some(index)
    }

    fn handle_rtcp(&mut self, now: Now, datagram: &mut [u8], measured: &mut Measured) {
        let Some(len) = self.peer.open_rtcp(datagram) else { return };
        let Some(plain) = datagram.get(..len) else { return };
        for packet in rtcp::compound(plain) {
            match packet {
                Ok(RtcpPacket::Pli(pli)) => self.keyframe(pli.media),
                Ok(RtcpPacket::Fir(fir)) => fir.entries().for_each(|entry| self.keyframe(entry.ssrc)),
                Ok(RtcpPacket::Nack(nack)) => {
                    measured.upstream_nacks += nack.lost().count() as u64;
                    self.send_again(nack.media, nack.lost());
                }
                Ok(RtcpPacket::SenderReport(report)) => {
                    if let Some(incoming) = self.incoming.iter_mut().find(|incoming| incoming.ssrc == report.ssrc) {
                        incoming.sender_report = Some((report.ntp.middle32(), now.ns));
                    }
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    fn keyframe(&mut self, ssrc: Ssrc) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.out.ssrc == ssrc) {
            stream.keyframe_wanted = true;
        }
    }

    fn send_again(&self, ssrc: Ssrc, lost: impl Iterator<Item = SeqNo>) {
        let Some(stream) = self.streams.iter().find(|stream| stream.out.ssrc == ssrc) else { return };
        for datagram in lost.filter_map(|seq| stream.sent_before(seq)) {
            let _ = self.socket.send(self.server, datagram, datagram.len());
        }
    }

    /// Sends `stream`'s next frame, or the next packet of one whose packets are spread. Returns when it wants to go on.
    pub(super) fn send_media(&mut self, now: Now, stream: usize, plan: &Plan, factor: f64) -> Option<Duration> {
        let Some(srtp) = self.peer.outbound() else { return Some(Duration::from_millis(20)) };
        let stream = self.streams.get_mut(stream)?;
        let mut frame = match stream.rest.take() {
            Some(frame) => frame,
            None if !stream.enabled => return None,
            None => stream.next_frame(now.at.saturating_duration_since(self.started)),
        };
        let interval = stream.interval(factor);
        let burst = plan.paced == 0.0 || frame.packets == 1;
        self.buffer.clear();
        let mut run: Option<(usize, usize)> = None;
        while !frame.is_done() {
            let start = self.buffer.len();
            let len = stream.compose(&mut frame, srtp, self.transport_seq, now.ns, &mut self.buffer)?;
            self.transport_seq = self.transport_seq.wrapping_add(1);
            // A train is of one length.
            run = match run {
                Some((from, segment)) if segment == len => Some((from, segment)),
                Some((from, segment)) => {
                    let _ = self.socket.send(self.server, &self.buffer[from..start], segment);
                    Some((start, len))
                }
                None => Some((start, len)),
            };
            if !burst {
                break;
            }
        }
        if let Some((from, segment)) = run {
            // What the kernel does not take is lost, and counted where it is missed.
            let _ = self.socket.send(self.server, &self.buffer[from..], segment);
        }
        if burst || frame.is_done() {
            let spent = if burst { Duration::ZERO } else { interval.mul_f64(plan.paced) };
            return Some(interval - spent.min(interval));
        }
        let step = interval.mul_f64(plan.paced / (frame.packets - 1).max(1) as f64);
        stream.rest = Some(frame);
        Some(step)
    }

    /// Sender and receiver reports.
    pub(super) fn send_reports(&mut self, now: Now, ntp: NtpTime) {
        let own = self.streams.first().map_or(Ssrc::new(1), |stream| stream.out.ssrc);
        let elapsed_us = now.at.saturating_duration_since(self.started).as_micros() as u64;
        self.rtcp.clear();
        let mut writer = RtcpWriter::new(&mut self.rtcp);
        for stream in &self.streams {
            let clock_hz = if stream.out.kind == StreamKind::Video { 90_000 } else { 48_000 };
            let time = RtpTime::new((elapsed_us * clock_hz / 1_000_000) as u32);
            writer.sender_report(stream.out.ssrc, ntp, time, stream.packets as u32, stream.octets as u32, &[]);
        }
        self.send_rtcp();
        let blocks: Vec<_> = self.incoming.iter_mut().map(|incoming| incoming.report(now.ns)).collect();
        for blocks in blocks.chunks(REPORT_BLOCKS_MAX) {
            self.rtcp.clear();
            RtcpWriter::new(&mut self.rtcp).receiver_report(own, blocks);
            self.send_rtcp();
        }
    }

    /// Asks for what is missing; without `nack`, forgets it.
    pub(super) fn send_requests(&mut self, nack: bool) {
        let own = self.streams.first().map_or(Ssrc::new(1), |stream| stream.out.ssrc);
        self.rtcp.clear();
        for incoming in &mut self.incoming {
            if !nack {
                incoming.forget_missing();
                continue;
            }
            let lost = incoming.requests();
            if !lost.is_empty() {
                RtcpWriter::new(&mut self.rtcp).nack(own, incoming.ssrc, &lost);
            }
        }
        self.send_rtcp();
    }

    fn send_rtcp(&mut self) {
        if self.rtcp.is_empty() {
            return;
        }
        if let Some(sealed) = self.peer.seal_rtcp(&self.rtcp) {
            let _ = self.socket.send(self.server, &sealed, sealed.len());
        }
    }

    /// Streams that arrive of members for whom `sends` is true.
    pub(super) fn incoming_len(&self, sends: impl Fn(MemberId) -> bool) -> usize {
        self.incoming.iter().filter_map(|incoming| incoming.tally.sender()).filter(|&member| sends(member)).count()
    }

    pub(super) fn packets_sent(&self) -> u64 {
        self.streams.iter().map(|stream| stream.packets).sum()
    }

    pub(super) fn reset(&mut self) {
        self.incoming.iter_mut().for_each(|incoming| incoming.tally.reset());
    }

    /// Adds up what arrived in the window; `sent` is missing for one that ends before the window does.
    pub(super) fn collect(&self, sent: Option<&LastSent>) -> Counts {
        let mut counts = Counts::default();
        for Incoming { tally, .. } in &self.incoming {
            counts += sent.map_or_else(|| tally.so_far(), |sent| tally.finish(sent));
        }
        counts
    }

    pub(super) fn note_sent(&self, sent: &mut LastSent) {
        for stream in &self.streams {
            let key = StreamKey { member: self.id.member, kind: stream.out.kind, layer: stream.out.layer };
            sent.insert(key, stream.packets);
        }
    }

    pub(super) fn local_port(&self) -> io::Result<u16> {
        self.socket.io.local_addr().map(|address| address.port())
    }
}

/// Where the window stands.
pub(super) fn is_over(window: Option<Window>, now_ns: u64) -> bool {
    window.is_some_and(|window| now_ns >= window.end_ns)
}
