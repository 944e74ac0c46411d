//! The way of one RTP packet in: open, find its track, take note, keep it.

use super::Worker;
use super::commands::find_stream;
use crate::batch::SendBatch;
use crate::codec::red;
use crate::congestion::LOOK_INTERVAL;
use crate::control::{Event, RoomEvent};
use crate::drops::DropReason;
use crate::egress::packet::{Packet, PacketInfo};
use crate::ids::{ExtSeqNo, SeqNo, Ssrc};
use crate::ingress::loss::{Gap, Source};
use crate::ingress::rate::Part;
use crate::ingress::stream::Arrival;
use crate::params::{Codec, HeaderExtension, Path};
use crate::peer::Peer;
use crate::peer::routes::{Learned, Purpose, Target};
use crate::transport::srtp::SrtpError;
use crate::wire::ext::{AbsSendTime, AudioLevel, TransportCc};
use crate::wire::rtp::{self, RTP_HEADER_LEN, RtpPacket};
use crate::worker::keys::{PeerKey, TrackKey};
use crate::worker::loudest::Gate;
use std::time::{Duration, Instant};

/// How long arrivals are gathered for one transport-wide feedback message; the draft's default.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(50);

impl Worker {
    pub(super) fn handle_rtp(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &mut [u8],
        out: &mut SendBatch,
    ) -> Result<(), DropReason> {
        let key = *self.peers_by_address.get(&path.remote).ok_or(DropReason::UnknownAddress)?;
        let peer = self.peers.get_mut(key).ok_or(DropReason::UnknownAddress)?;
        let inbound = peer.inbound.as_mut().ok_or(DropReason::SrtpNotReady)?;
        let header_len = rtp::header_len(datagram).map_err(|_| DropReason::RtpMalformed)?;
        let opened = inbound.open_rtp(datagram, header_len).map_err(SrtpError::drop_reason)?;
        let plain = datagram.get_mut(..opened.len).ok_or(DropReason::RtpMalformed)?;
        self.stats.rtp_received += 1;
        let rtp = RtpPacket::parse(plain).map_err(|_| DropReason::RtpMalformed)?;
        let due = note_transport_cc(now, peer, self.clock.elapsed(now), &rtp);
        if due | note_uplink(now, peer, &rtp) {
            self.schedule(key);
        }
        let route = self.peers.get_mut(key).and_then(|peer| peer.routes.lookup(rtp.ssrc()));
        let target = match route {
            Some(target) => target,
            None => self.learn(key, &rtp)?,
        };
        match target.purpose {
            Purpose::Media => self.accept(now, target, opened.ext_seq, &rtp, out),
            Purpose::Retransmission => self.recover(now, target, plain, out),
        }
    }

    /// An SSRC seen for the first time.
    fn learn(&mut self, key: PeerKey, rtp: &RtpPacket<'_>) -> Result<Target, DropReason> {
        let tracks = &self.tracks;
        let peer = self.peers.get_mut(key).ok_or(DropReason::UnknownStream)?;
        match peer.routes.learn(rtp, |track, rid| find_stream(tracks.get(track)?, rid, None)) {
            Learned::Route(target) => {
                self.bind_stream(target, rtp.ssrc());
                Ok(target)
            }
            Learned::TooMany => Err(DropReason::TooManyStreams),
            Learned::Unbound | Learned::Unknown => Err(DropReason::UnknownStream),
        }
    }

    /// An encoding got its SSRC, or another one than before.
    fn bind_stream(&mut self, target: Target, ssrc: Ssrc) {
        let Some(track) = self.tracks.get_mut(target.track) else { return };
        let Some(stream) = track.streams.get_mut(target.stream) else { return };
        if target.purpose == Purpose::Retransmission {
            stream.rtx_ssrc = Some(ssrc);
            return;
        }
        if stream.ssrc.is_some_and(|before| before != ssrc) {
            for key in &track.subscriptions {
                let Some(subscription) = self.subscriptions.get_mut(*key) else { continue };
                // A number in its history would find a packet of the new SSRC.
                subscription.forget_stream(target.stream);
                if subscription.current == Some(target.stream) {
                    subscription.detach();
                }
            }
            stream.restart(ssrc);
        }
        stream.ssrc = Some(ssrc);
    }

    /// A packet of an encoding.
    fn accept(
        &mut self,
        now: Instant,
        target: Target,
        ext_seq: ExtSeqNo,
        rtp: &RtpPacket<'_>,
        out: &mut SendBatch,
    ) -> Result<(), DropReason> {
        let track = self.tracks.get_mut(target.track).ok_or(DropReason::UnknownStream)?;
        let codec = track.codec(rtp.payload_type()).ok_or(DropReason::UnknownPayloadType)?;
        let (clock_rate, redundant) = (codec.clock_rate, codec.codec == Codec::Red);
        let stream = track.streams.get_mut(target.stream).ok_or(DropReason::UnknownStream)?;
        stream.ssrc.get_or_insert(rtp.ssrc());
        let was_active = stream.is_active(now);
        let arrival = stream.arrived(now, ext_seq, rtp.timestamp(), clock_rate);
        if redundant && matches!(arrival, Arrival::New { gap: Gap::Opened, .. }) {
            self.unpack_redundancy(now, target, ext_seq, rtp, out);
        }
        self.proceed(now, target, arrival, was_active, rtp, out)
    }

    /// A retransmission (RFC 4588): made into the packet that it repairs, in place.
    fn recover(
        &mut self,
        now: Instant,
        target: Target,
        plain: &mut [u8],
        out: &mut SendBatch,
    ) -> Result<(), DropReason> {
        let track = self.tracks.get_mut(target.track).ok_or(DropReason::UnknownStream)?;
        let stream = track.streams.get(target.stream).ok_or(DropReason::UnknownStream)?;
        let ssrc = stream.ssrc.ok_or(DropReason::UnknownStream)?;
        let rtp = RtpPacket::parse(plain).map_err(|_| DropReason::RtpMalformed)?;
        let payload_type = track.codec_of_rtx(rtp.payload_type()).ok_or(DropReason::UnknownPayloadType)?.payload_type;
        // Bandwidth probes are retransmission packets without anything in them.
        let &[high, low, ..] = rtp.payload() else { return Err(DropReason::Padding) };
        let seq = SeqNo::new(u16::from_be_bytes([high, low]));
        let (header_len, marker) = (rtp.header_len(), plain[1] & 0x80);
        plain.copy_within(..header_len, 2);
        let plain = &mut plain[2..];
        plain[1] = marker | payload_type.get();
        plain[2..4].copy_from_slice(&seq.get().to_be_bytes());
        plain[8..RTP_HEADER_LEN].copy_from_slice(&ssrc.get().to_be_bytes());
        let stream = &mut track.streams[target.stream];
        let was_active = stream.is_active(now);
        let arrival = stream.recovered(now, seq, Source::Retransmission);
        let rtp = RtpPacket::parse(plain).map_err(|_| DropReason::RtpMalformed)?;
        self.proceed(now, target, arrival, was_active, &rtp, out)
    }

    pub(super) fn proceed(
        &mut self,
        now: Instant,
        target: Target,
        arrival: Arrival,
        was_active: bool,
        rtp: &RtpPacket<'_>,
        out: &mut SendBatch,
    ) -> Result<(), DropReason> {
        let (ext_seq, is_newest, gap) = match arrival {
            Arrival::New { ext_seq, is_newest, gap } => (ext_seq, is_newest, gap),
            Arrival::Duplicate => return Err(DropReason::Duplicate),
            Arrival::TooLate => return Err(DropReason::TooLate),
        };
        self.handle_gap(now, target, gap, out);
        if !was_active {
            self.note_started(target.track);
            self.choose_layers(now, target.track);
            self.want_allocation_of_track(now, target.track);
        }
        if !self.pending.takes_more() {
            self.send_pending(now, out);
        }
        let track = self.tracks.get_mut(target.track).ok_or(DropReason::UnknownStream)?;
        track.note_structure(target.stream, rtp);
        let info =
            PacketInfo::read(track, target.stream, ext_seq, is_newest, rtp).ok_or(DropReason::UnknownPayloadType)?;
        if info.is_padding() {
            self.pending.push(target.track, track, info);
            return Err(DropReason::Padding);
        }
        let level = audio_level(&Packet::new(&info, rtp.as_bytes()));
        if let Some(level) = level {
            track.meter.note(level);
        }
        let stream = &mut track.streams[target.stream];
        let part = info.part();
        match Some(rtp.payload()).filter(|_| info.codec == Codec::Red).and_then(red::primary) {
            // Redundancy counts as a layer of its own: it can be left out.
            Some((primary, _)) => {
                let rest = part.len.saturating_sub(primary.len());
                stream.rates.note(now, &Part { len: primary.len(), ..part });
                stream.rates.note(now, &Part { spatial: 1, len: rest, ..part });
            }
            None => stream.rates.note(now, &part),
        }
        stream.cache.insert(now, ext_seq, rtp.as_bytes());
        stream.keyframes.note(now, info.timestamp, info.keyframe);
        if track.muted {
            return Err(DropReason::Muted);
        }
        if !matches!(track.gate, Gate::Off) && !self.admit(now, target.track, &info, level, out) {
            return Err(DropReason::NotLoudest);
        }
        let track = self.tracks.get_mut(target.track).ok_or(DropReason::UnknownStream)?;
        self.pending.push(target.track, track, info);
        if !was_active {
            self.pending.note_started(target.track);
        }
        Ok(())
    }

    /// Asks again for what is missing, or for a keyframe where too much is.
    fn handle_gap(&mut self, now: Instant, target: Target, gap: Gap, out: &mut SendBatch) {
        let Some(track) = self.tracks.get(target.track) else { return };
        match gap {
            Gap::None => {}
            Gap::Opened if track.has_nack() => {
                let due = track.streams.get(target.stream).and_then(|stream| stream.loss.next_due());
                let publisher = track.publisher;
                if let (Some(due), Some(peer)) = (due, self.peers.get_mut(publisher)) {
                    peer.timers.repair_by(due);
                    self.schedule(publisher);
                }
            }
            Gap::Opened => {}
            Gap::TooLarge => self.request_keyframe(now, target.track, target.stream, out),
        }
    }

    fn note_started(&mut self, key: TrackKey) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        if !std::mem::replace(&mut track.started, true)
            && let Some(peer) = self.peers.get(track.publisher)
        {
            self.events.push_back(RoomEvent { room: peer.room, event: Event::TrackStarted { track: track.id } });
        }
    }
}

/// Notes the packet's transport-wide number. `true` when a feedback message became due by it.
fn note_transport_cc(now: Instant, peer: &mut Peer, elapsed: Duration, rtp: &RtpPacket<'_>) -> bool {
    let Some(id) = peer.transport_cc.extension_id else { return false };
    let Some(TransportCc(seq)) = rtp.extension(id).and_then(TransportCc::parse) else { return false };
    peer.transport_cc.recorder.get_or_insert_default().record(elapsed, seq);
    peer.transport_cc.media = Some(rtp.ssrc());
    if peer.timers.feedback.is_some() {
        return false;
    }
    peer.timers.feedback = Some(now + FEEDBACK_INTERVAL);
    true
}

/// As [`note_transport_cc`], where the publisher is told what its path carries.
fn note_uplink(now: Instant, peer: &mut Peer, rtp: &RtpPacket<'_>) -> bool {
    let Some(uplink) = &mut peer.uplink else { return false };
    let send_time = peer.send_time_id.and_then(|id| rtp.extension(id)).and_then(AbsSendTime::parse);
    uplink.note(now, send_time, rtp.as_bytes().len());
    if peer.timers.feedback.is_some() {
        return false;
    }
    peer.timers.feedback = Some(now + LOOK_INTERVAL);
    true
}

fn audio_level(packet: &Packet<'_>) -> Option<u8> {
    Some(AudioLevel::parse(packet.extension(HeaderExtension::AudioLevel)?)?.level)
}
