//! The floor under a whole server: what it cannot do without. Each packet is sealed with its subscriber's key from a shared
//! plaintext into the send buffer, and each frame leaves as one train, over real sockets to subscribers that really receive.
//! It has no input, no table, no header rewriting and no clock.
//!
//! ```text
//! mod     what is sent: seal, send
//! shape   trains and singles, in the mix of the load generator's plan
//! drain   the subscribers: sockets that a thread on another core empties
//! ```

mod drain;
mod shape;

pub use shape::{Frame, Frames, Shape};

use crate::load::process::ThreadTime;
use crate::peer::MEDIA_HEADER_LEN;
use crate::seal::{TAG_LEN, keys, seal_into};
use aws_lc_rs::aead::LessSafeKey;
use drain::Drain;
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Asked for; the kernel grants what its limits allow.
const SEND_BUFFER_BYTES: usize = 16 << 20;
/// Packets that may be under way before the next frame, in all and to each subscriber: few enough for the smallest receive
/// buffer that Linux grants unasked.
const UNDER_WAY_MAX: usize = 4_096;
const UNDER_WAY_EACH_MAX: usize = 24;
/// How long the sender sleeps when that many are: a sleeping thread uses no processor time.
const BACK_OFF: Duration = Duration::from_micros(200);
/// What has not arrived so long after it was sent never will.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest train in bytes: the largest UDP payload over IPv4, less some.
const TRAIN_BYTES_MAX: usize = 65_000;

/// What a measurement found.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub shape: Shape,
    pub seconds: f64,
    pub packets: u64,
    /// System calls, as far as the kernel took whole trains.
    pub sends: u64,
    pub packets_received: u64,
    pub cpu_ns_per_packet: f64,
    pub packets_per_cpu_second: f64,
}

pub struct Floor {
    shape: Shape,
    frames: Frames,
    keys: Vec<LessSafeKey>,
    drain: Drain,
    socket: UdpSocket,
    state: UdpSocketState,
    plaintext: Vec<u8>,
    buffer: Vec<u8>,
    /// First subscriber of the next frame.
    next: usize,
    count: u64,
    packets: u64,
    /// Given up.
    lost: u64,
    sends: u64,
}

impl Floor {
    /// `drain_cpu` is the core on which the subscribers receive.
    pub fn open(shape: Shape, drain_cpu: Option<usize>) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let keys = keys(shape.subscribers).map_err(|_| io::Error::other("no key"))?;
        Ok(Self {
            frames: Frames::new(&shape),
            keys,
            drain: Drain::start(shape.subscribers, drain_cpu)?,
            socket,
            state,
            plaintext: vec![9; TRAIN_BYTES_MAX],
            buffer: vec![0; TRAIN_BYTES_MAX],
            next: 0,
            count: 0,
            packets: 0,
            lost: 0,
            sends: 0,
            shape,
        })
    }

    /// Sends for `duration`, and adds up.
    pub fn measure(&mut self, duration: Duration) -> io::Result<Measured> {
        let (packets, sends, received) = (self.packets, self.sends, self.drain.received());
        let before = ThreadTime::read()?;
        let began = Instant::now();
        while began.elapsed() < duration {
            self.round()?;
        }
        let used = ThreadTime::read()?.used_since(&before);
        let seconds = began.elapsed().as_secs_f64();
        self.wait_until(|under_way| under_way == 0);
        let packets = self.packets - packets;
        Ok(Measured {
            shape: self.shape.clone(),
            seconds,
            packets,
            sends: self.sends - sends,
            packets_received: self.drain.received() - received,
            cpu_ns_per_packet: used.as_nanos() as f64 / packets as f64,
            packets_per_cpu_second: packets as f64 / used.as_secs_f64(),
        })
    }

    /// The next frame to everybody who gets it.
    pub fn round(&mut self) -> io::Result<()> {
        let room = (UNDER_WAY_EACH_MAX * self.shape.subscribers).min(UNDER_WAY_MAX) as u64;
        self.wait_until(|under_way| under_way < room);
        let frame = self.frames.next_frame();
        for _ in 0..self.shape.fan_out {
            let subscriber = self.next;
            self.next = (self.next + 1) % self.shape.subscribers;
            self.send(subscriber, frame)?;
        }
        Ok(())
    }

    fn send(&mut self, subscriber: usize, frame: Frame) -> io::Result<()> {
        let segment_len = MEDIA_HEADER_LEN + frame.payload_len + TAG_LEN;
        let len = segment_len * frame.packets;
        let payload = &self.plaintext[..frame.payload_len];
        for out in self.buffer[..len].chunks_exact_mut(segment_len) {
            self.count += 1;
            seal_into(&self.keys[subscriber], self.count, MEDIA_HEADER_LEN, payload, out)
                .map_err(|_| io::Error::other("the seal failed"))?;
        }
        let segments = if self.shape.offload { self.state.max_gso_segments().max(1) } else { 1 };
        let destination = self.drain.addresses()[subscriber];
        for run in self.buffer[..len].chunks(segment_len * segments) {
            let segment_size = (run.len() > segment_len).then_some(segment_len);
            let transmit = Transmit { destination, ecn: None, contents: run, segment_size, src_ip: None };
            while let Err(error) = self.state.try_send(UdpSockRef::from(&self.socket), &transmit) {
                if error.kind() != io::ErrorKind::WouldBlock {
                    return Err(error);
                }
                std::thread::sleep(BACK_OFF);
            }
            self.sends += 1;
        }
        self.packets += frame.packets as u64;
        Ok(())
    }

    fn wait_until(&mut self, done: impl Fn(u64) -> bool) {
        let under_way = |floor: &Self| floor.packets.saturating_sub(floor.lost + floor.drain.received());
        let began = Instant::now();
        while !done(under_way(self)) {
            if began.elapsed() > PATIENCE {
                self.lost += under_way(self);
                return;
            }
            std::thread::sleep(BACK_OFF);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_that_is_sent_arrives_and_costs_time() {
        for offload in [true, false] {
            let shape = Shape { subscribers: 6, fan_out: 3, offload, ..Shape::default() };
            let measured = Floor::open(shape, None).unwrap().measure(Duration::from_millis(100)).unwrap();
            assert!(measured.packets > 100 && measured.packets_received == measured.packets, "{measured:?}");
            assert!(measured.cpu_ns_per_packet > 100.0, "{measured:?}");
            assert!(offload || measured.sends == measured.packets, "{measured:?}");
        }
    }
}
