//! A worker with hand-made peers: a real connectivity check gives each its path, and SRTP keys are put in place directly, so
//! that a test writes the packets it means and reads the packets that leave. The handshake has tests of its own.

use crate::batch::SendBatch;
use crate::control::{Command, Event};
use crate::ids::{ExtSeqNo, Mid, PayloadType, PeerId, Rid, RoomId, Ssrc, SubscriptionId, TrackId};
use crate::params::{
    Codec, CodecParameters, Content, Encoding, ExtensionId, HeaderExtension, IceCredentials, MediaKind, Path,
    PayloadMapping, ReceiveSection, SendParameters,
};
use crate::transport::identity::Identity;
use crate::transport::srtp::{MasterKey, SrtpError, SrtpInbound, SrtpOutbound, SrtpProfile};
use crate::wire::rtp::{HeaderFields, RtpPacket, header_len, header_size, write_header};
use crate::worker::{Worker, WorkerConfig};
use rtc::crypto::RTCCryptoProvider;
use rtc::stun::attributes::{ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME};
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{BINDING_REQUEST, Message, Setter, TransactionId};
use std::time::{Duration, Instant};

pub(super) const PROFILE: SrtpProfile = SrtpProfile::AeadAes128Gcm;
pub(super) const ROOM: RoomId = RoomId::new(1);
pub(super) const OPUS: u8 = 111;
pub(super) const RED: u8 = 63;
pub(super) const VP8: u8 = 96;
pub(super) const RTX: u8 = 97;
pub(super) const MID_ID: u8 = 4;
pub(super) const RID_ID: u8 = 5;
pub(super) const TWCC_ID: u8 = 3;
pub(super) const LEVEL_ID: u8 = 1;

/// What reached a peer, decrypted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Got {
    Rtp(Vec<u8>),
    Rtcp(Vec<u8>),
}

struct Member {
    id: PeerId,
    path: Path,
    /// The peer's own ends of the two SRTP directions.
    sends: SrtpOutbound,
    receives: SrtpInbound,
}

pub(super) struct Scene {
    pub(super) worker: Worker,
    pub(super) now: Instant,
    pub(super) out: SendBatch,
    members: Vec<Member>,
}

/// One RTP packet to send.
pub(super) struct Rtp<'a> {
    pub(super) payload_type: u8,
    pub(super) ssrc: u32,
    pub(super) seq: u64,
    pub(super) time: u32,
    pub(super) extensions: &'a [(u8, &'a [u8])],
    pub(super) payload: &'a [u8],
}

fn key(seed: u8) -> MasterKey {
    MasterKey::new(PROFILE, &[seed; 16], &[seed; 12]).unwrap()
}

pub(super) fn pt(value: u8) -> PayloadType {
    PayloadType::new(value).unwrap()
}

pub(super) fn mid(value: &str) -> Mid {
    Mid::new(value.as_bytes()).unwrap()
}

impl Scene {
    pub(super) fn new() -> Self {
        let start = crate::virtual_time::start();
        let identity = Identity::generate().unwrap();
        let config = WorkerConfig { identity, seed: 7, start, unix_start: Duration::from_secs(1_700_000_000) };
        Self { worker: Worker::new(config), now: start, out: SendBatch::new(), members: Vec::new() }
    }

    /// Adds a connected peer and returns its index.
    pub(super) fn join(&mut self) -> usize {
        let index = self.members.len();
        let id = PeerId::new(index as u64 + 1);
        let path = Path { remote: ([10, 0, 0, index as u8 + 1], 4_000).into(), local: None };
        let ufrag = format!("peer{index}");
        let local = IceCredentials { ufrag: ufrag.clone(), pwd: "p".repeat(24) };
        self.command(Command::AddPeer { peer: id, room: ROOM, local });
        let mut check = check(&format!("{ufrag}:them"), &"p".repeat(24), index as u8);
        self.worker.handle_datagram(self.now, path, &mut check, &mut self.out);
        let (upstream, downstream) = (key(2 * index as u8 + 1), key(2 * index as u8 + 2));
        let slot = self.worker.peers_by_id[&id];
        let peer = &mut self.worker.peers[slot];
        peer.inbound = Some(SrtpInbound::new(PROFILE, &upstream).unwrap());
        peer.outbound = Some(SrtpOutbound::new(PROFILE, &downstream).unwrap());
        peer.timers.report = Some(self.now + super::super::reports::FIRST_REPORT_DELAY);
        self.worker.stats.connected_peers += 1;
        self.worker.figures.begin(self.now);
        self.worker.schedule(slot);
        self.members.push(Member {
            id,
            path,
            sends: SrtpOutbound::new(PROFILE, &upstream).unwrap(),
            receives: SrtpInbound::new(PROFILE, &downstream).unwrap(),
        });
        self.out.clear();
        index
    }

    /// The member goes on from another address, as after a NAT's change of mind: the same fragment, without a restart.
    pub(super) fn move_to(&mut self, member: usize, path: Path) {
        let mut check = check(&format!("peer{member}:them"), &"p".repeat(24), 0x80 | member as u8);
        self.worker.handle_datagram(self.now, path, &mut check, &mut self.out);
        self.members[member].path = path;
    }

    pub(super) fn peer(&self, member: usize) -> PeerId {
        self.members[member].id
    }

    pub(super) fn command(&mut self, command: Command) {
        self.worker.handle_command(self.now, command, &mut self.out);
    }

    /// Seals a packet as `member`, hands it to the worker and has it sent on. Returns the datagram as it was sent.
    pub(super) fn send(&mut self, member: usize, rtp: &Rtp<'_>) -> Vec<u8> {
        let datagram = self.take_in(member, rtp);
        while self.worker.poll_transmit(self.now, &mut self.out) {}
        datagram
    }

    /// As [`Self::send`], but what is to be sent on waits.
    pub(super) fn take_in(&mut self, member: usize, rtp: &Rtp<'_>) -> Vec<u8> {
        let fields = HeaderFields {
            marker: false,
            payload_type: pt(rtp.payload_type),
            seq: ExtSeqNo::new(rtp.seq).seq(),
            timestamp: crate::ids::RtpTime::new(rtp.time),
            ssrc: Ssrc::new(rtp.ssrc),
        };
        let header_len = header_size(rtp.extensions);
        let sends = &self.members[member].sends;
        let mut datagram = vec![0; header_len + rtp.payload.len() + sends.rtp_overhead()];
        write_header(&mut datagram, &fields, rtp.extensions);
        sends
            .seal_rtp_from(Ssrc::new(rtp.ssrc), ExtSeqNo::new(rtp.seq), &mut datagram, header_len, rtp.payload)
            .unwrap();
        let path = self.members[member].path;
        self.worker.handle_datagram(self.now, path, &mut datagram.clone(), &mut self.out);
        datagram
    }

    pub(super) fn send_rtcp(&mut self, member: usize, packet: &[u8]) {
        let sends = &mut self.members[member].sends;
        let mut datagram = packet.to_vec();
        datagram.resize(packet.len() + sends.rtcp_overhead(), 0);
        sends.seal_rtcp(&mut datagram, packet.len()).unwrap();
        self.inject(member, &datagram);
    }

    pub(super) fn inject(&mut self, member: usize, datagram: &[u8]) {
        let path = self.members[member].path;
        self.worker.handle_datagram(self.now, path, &mut datagram.to_vec(), &mut self.out);
        while self.worker.poll_transmit(self.now, &mut self.out) {}
    }

    /// Lets time pass, running the worker's timers as they come due.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.worker.poll_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.worker.handle_timeout(self.now, &mut self.out);
        }
        self.now = end;
    }

    /// Time passes, and the worker does not run.
    pub(super) fn stall(&mut self, duration: Duration) {
        self.now += duration;
    }

    /// What left for a member since the last call, in order. Everything else that left is forgotten.
    pub(super) fn take(&mut self, member: usize) -> Vec<Got> {
        let got = self.members[member].take(&self.out, &mut || false).into_iter().map(Result::unwrap).collect();
        self.out.clear();
        got
    }

    /// What left for each member since the last call, but for what is lost on the way or came before: a packet that is late
    /// and asked for leaves twice.
    pub(super) fn take_each(&mut self, mut lost: impl FnMut() -> bool) -> Vec<Vec<Got>> {
        let out = std::mem::replace(&mut self.out, SendBatch::new());
        self.members.iter_mut().map(|member| member.take(&out, &mut lost).into_iter().flatten().collect()).collect()
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.worker.poll_event()).map(|event| event.event).collect()
    }
}

impl Member {
    fn take(&mut self, out: &SendBatch, lost: &mut impl FnMut() -> bool) -> Vec<Result<Got, SrtpError>> {
        let mut got = Vec::new();
        for datagram in out.trains().filter(|t| t.path() == self.path).flat_map(|t| t.datagrams()) {
            if lost() {
                continue;
            }
            let mut packet = datagram.to_vec();
            match packet[0] {
                128..=191 if (192..=223).contains(&packet[1]) => {
                    let opened = self.receives.open_rtcp(&mut packet);
                    got.push(opened.map(|len| Got::Rtcp(packet[..len].to_vec())));
                }
                128..=191 => {
                    let header = header_len(&packet).unwrap();
                    let opened = self.receives.open_rtp(&mut packet, header);
                    got.push(opened.map(|opened| Got::Rtp(packet[..opened.len].to_vec())));
                }
                _ => {}
            }
        }
        got
    }
}

/// The RTP packets among what was taken.
pub(super) fn rtp(got: &[Got]) -> Vec<RtpPacket<'_>> {
    got.iter()
        .filter_map(|got| match got {
            Got::Rtp(packet) => Some(RtpPacket::parse(packet).unwrap()),
            Got::Rtcp(_) => None,
        })
        .collect()
}

fn check(username: &str, password: &str, transaction: u8) -> Vec<u8> {
    let provider = rtc::crypto::providers::AwsLcRsProvider::new();
    let mut message = Message::new();
    message.typ = BINDING_REQUEST;
    message.transaction_id = TransactionId([transaction; 12]);
    message.write_header();
    message.add(ATTR_USERNAME, username.as_bytes());
    message.add(ATTR_PRIORITY, &[0, 0, 0, 1]);
    message.add(ATTR_ICE_CONTROLLING, &[9; 8]);
    message.add(ATTR_USE_CANDIDATE, &[]);
    let integrity = MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), provider.crypto());
    integrity.add_to(&mut message).unwrap();
    FINGERPRINT.add_to(&mut message).unwrap();
    message.raw
}

fn extensions() -> Vec<ExtensionId> {
    let known = [
        (LEVEL_ID, HeaderExtension::AudioLevel),
        (TWCC_ID, HeaderExtension::TransportCc),
        (MID_ID, HeaderExtension::Mid),
        (RID_ID, HeaderExtension::RtpStreamId),
    ];
    known.map(|(id, extension)| ExtensionId { id, extension }).to_vec()
}

/// A video section with one encoding per RID, or one without.
pub(super) fn video(track: u64, rids: &[&str]) -> ReceiveSection {
    let encoding = |layer: usize, rid| Encoding { rid, ssrc: None, rtx_ssrc: None, layer: layer as u8 };
    let encodings = match rids {
        [] => vec![encoding(0, None)],
        rids => rids.iter().enumerate().map(|(layer, rid)| encoding(layer, Rid::new(rid.as_bytes()))).collect(),
    };
    ReceiveSection {
        mid: mid("v"),
        kind: MediaKind::Video,
        content: Content::Motion,
        track: Some(TrackId::new(track)),
        codecs: vec![CodecParameters {
            payload_type: pt(VP8),
            codec: Codec::Vp8,
            clock_rate: 90_000,
            rtx: Some(pt(RTX)),
            nack: true,
            fir_only: false,
            remb: false,
        }],
        extensions: extensions(),
        encodings,
    }
}

pub(super) fn audio(track: u64) -> ReceiveSection {
    let codec = |payload_type, codec| CodecParameters {
        payload_type: pt(payload_type),
        codec,
        clock_rate: 48_000,
        rtx: None,
        nack: false,
        fir_only: false,
        remb: false,
    };
    ReceiveSection {
        mid: mid("a"),
        kind: MediaKind::Audio,
        content: Content::Motion,
        track: Some(TrackId::new(track)),
        codecs: vec![codec(OPUS, Codec::Opus), codec(RED, Codec::Red)],
        extensions: extensions(),
        encodings: vec![Encoding { rid: None, ssrc: None, rtx_ssrc: None, layer: 0 }],
    }
}

/// How a track leaves: payload types move up by one, extension ids are others than the publisher's.
pub(super) fn send_parameters(ssrc: u32, rtx_ssrc: Option<u32>, payloads: &[(u8, bool)]) -> Box<SendParameters> {
    let mapping = |&(from, strip_red): &(u8, bool)| PayloadMapping {
        from: pt(from),
        to: pt(if strip_red { OPUS + 1 } else { from + 1 }),
        rtx: rtx_ssrc.map(|_| pt(RTX + 10)),
        strip_red,
    };
    Box::new(SendParameters {
        mid: mid("out"),
        ssrc: Ssrc::new(ssrc),
        rtx_ssrc: rtx_ssrc.map(Ssrc::new),
        cname: "publisher".to_owned(),
        payloads: payloads.iter().map(mapping).collect(),
        extensions: vec![
            ExtensionId { id: 9, extension: HeaderExtension::Mid },
            ExtensionId { id: 10, extension: HeaderExtension::AudioLevel },
        ],
    })
}

pub(super) fn subscribe(scene: &mut Scene, subscription: u64, track: u64, member: usize, send: Box<SendParameters>) {
    let command = Command::Subscribe {
        subscription: SubscriptionId::new(subscription),
        track: TrackId::new(track),
        peer: scene.peer(member),
        send,
    };
    scene.command(command);
}

/// A VP8 payload with a 15-bit picture id and TL0PICIDX: keyframe or not, one packet per picture.
pub(super) fn vp8(picture: u16, tl0: u8, keyframe: bool, tail: u8) -> Vec<u8> {
    let id = (picture | 0x8000).to_be_bytes();
    let mut payload = vec![0x90, 0xe0, id[0], id[1], tl0, 0x20];
    payload.push(if keyframe { 0x10 } else { 0x11 });
    payload.extend([0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01]);
    payload.extend([tail; 20]);
    payload
}
