//! A model client: a peer with a real handshake, what it publishes, what it receives.

pub(crate) mod decoder;
pub(crate) mod publish;
pub(crate) mod receive;

use consilium_benches::peer::{OpenError, Peer};
use consilium_media_core::ids::{PeerId, RoomId};
use consilium_media_core::params::Path;
use consilium_media_core::transport::srtp::SrtpProfile;
use consilium_media_core::wire::rtcp::{RtcpPacket, compound};
use publish::Publisher;
use receive::{Receiver, TICK};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

pub(crate) struct Client {
    pub(crate) index: usize,
    pub(crate) id: PeerId,
    pub(crate) room: RoomId,
    pub(crate) path: Path,
    pub(crate) peer: Peer,
    pub(crate) publisher: Publisher,
    pub(crate) receiver: Receiver,
    pub(crate) connected_at: Option<Instant>,
    pub(crate) gone: bool,
    next_tick: Instant,
    /// Sealed, on their way out.
    outgoing: Vec<Vec<u8>>,
    pub(crate) keyframes_asked: u32,
    /// Datagrams that came twice, which the replay window refuses.
    pub(crate) replayed: u64,
    pub(crate) broken: Vec<String>,
}

impl Client {
    /// Pictures that do not come are given up after `patience`.
    pub(crate) fn new(index: usize, room: RoomId, seed: u64, now: Instant, patience: Duration) -> Self {
        let profiles = [SrtpProfile::AeadAes128Gcm];
        let remote = SocketAddr::from((Ipv4Addr::from(0x0a00_0001 + index as u32), 5_000));
        Self {
            index,
            id: PeerId::new(index as u64 + 1),
            room,
            path: Path { remote, local: None },
            peer: Peer::new(seed, &profiles).unwrap(),
            publisher: Publisher::new(seed ^ 0x5eed, now),
            receiver: Receiver::new(patience),
            connected_at: None,
            gone: false,
            next_tick: now,
            outgoing: Vec::new(),
            keyframes_asked: 0,
            replayed: 0,
            broken: Vec::new(),
        }
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, mut datagram: Vec<u8>) {
        match (datagram[0], datagram.get(1)) {
            // Media may overtake the end of the handshake.
            (128..=191, _) if !self.peer.is_connected() => {}
            (128..=191, Some(192..=223)) => self.handle_rtcp(now, &mut datagram),
            (128..=191, _) => match self.peer.open_rtp(&mut datagram) {
                Ok(opened) => self.receiver.handle_rtp(now, &datagram[..opened.len]),
                Err(OpenError::Replayed) => self.replayed += 1,
                Err(OpenError::Refused) => self.broken.push("a packet could not be decrypted".to_owned()),
            },
            _ => {
                self.peer.handle_datagram(now, &datagram).unwrap();
            }
        }
    }

    fn handle_rtcp(&mut self, now: Instant, datagram: &mut [u8]) {
        // A copy is refused as a replay, which is not told apart from what is broken.
        let Some(len) = self.peer.open_rtcp(datagram) else { return };
        self.receiver.handle_rtcp(now, &datagram[..len]);
        for packet in compound(&datagram[..len]) {
            let Some(srtp) = self.peer.outbound() else { return };
            match packet.unwrap() {
                RtcpPacket::Nack(nack) => self.publisher.handle_nack(now, srtp, nack.media, nack.lost()),
                RtcpPacket::Pli(pli) => {
                    self.keyframes_asked += u32::from(self.publisher.handle_keyframe_request(pli.media));
                }
                RtcpPacket::Fir(fir) => fir.entries().for_each(|entry| {
                    self.publisher.handle_keyframe_request(entry.ssrc);
                }),
                RtcpPacket::ReceiverReport(report) => {
                    report.reports.iter().for_each(|block| self.publisher.handle_report(now, &block));
                }
                _ => {}
            }
        }
    }

    /// When [`Self::run`] has something to do next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        if self.gone {
            return None;
        }
        let media = self.publisher.next_due().map_or(self.next_tick, |at| at.min(self.next_tick));
        let media = self.peer.is_connected().then_some(media);
        [self.peer.poll_timeout(), media].into_iter().flatten().min()
    }

    /// Does what is due; returns the datagrams that leave.
    pub(crate) fn run(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.peer.handle_timeout(now).unwrap();
        let mut rtcp = Vec::new();
        if let Some(srtp) = self.peer.outbound() {
            if self.connected_at.is_none() {
                self.connected_at = Some(now);
                self.publisher.begin(now);
            }
            self.publisher.run(now, srtp, &mut rtcp);
            if self.next_tick <= now {
                self.next_tick = now + TICK;
                self.receiver.run(now, self.publisher.rtt(), &mut rtcp);
            }
        }
        let mut out = std::mem::take(&mut self.outgoing);
        out.extend(std::iter::from_fn(|| self.peer.poll_transmit()));
        out.extend(self.publisher.take_packets());
        out.extend(rtcp.iter().filter_map(|packet| self.peer.seal_rtcp(packet)));
        out
    }
}
