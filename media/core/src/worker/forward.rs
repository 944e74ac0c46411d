//! The way of packets out: the walk over the routing table, subscriber by subscriber.

use super::Worker;
use crate::batch::SendBatch;
use crate::drops::DropReason;
use crate::egress::packet::{Packet, PacketInfo};
use crate::egress::send::{self, Outlet};
use crate::egress::subscription::Subscription;
use crate::ingress::track::Track;
use crate::params::{Content, MediaKind};
use crate::worker::keys::{PeerKey, SubscriptionKey};
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::time::{Duration, Instant};

/// What one call of [`Worker::poll_transmit`] composes, about: small enough to stay in a second-level cache (512 KiB and more
/// on servers) until it is sent, large enough for several trains.
const TRANSMIT_BYTES: usize = 128 << 10;

impl Worker {
    /// Composes what waits into `out`, up to a bound. Returns whether there is more: the caller sends, empties `out` and comes
    /// back. To be called after each batch of datagrams.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut SendBatch) -> bool {
        let bound = out.bytes() + TRANSMIT_BYTES;
        loop {
            while let Some(peer) = self.pending.next_peer() {
                self.send_due(now, peer, out);
                if out.bytes() >= bound || out.is_full() {
                    return true;
                }
            }
            if !self.plan() {
                self.finish(now, out);
                return false;
            }
        }
    }

    /// Sends on everything that waits, into one batch.
    pub(super) fn send_pending(&mut self, now: Instant, out: &mut SendBatch) {
        // A batch that is full refuses the rest, which is then counted; each turn serves one peer at least.
        while !self.pending.is_empty() && self.poll_transmit(now, out) {}
    }

    /// Finds out who gets something of the next kind. `false` when all was sent.
    fn plan(&mut self) -> bool {
        let Self { pending, tracks, subscriptions, peers, .. } = self;
        let Some((kind, mut keys)) = pending.next_kind() else { return false };
        if kind == MediaKind::Video {
            keys.iter().filter_map(|key| tracks.get(*key)).for_each(|track| pending.equalise(track));
        }
        // A train ends with what is shorter than its first: with the longest first, what different publishers sent shares
        // trains too.
        keys.sort_unstable_by_key(|key| Reverse(tracks.get(*key).map_or(0, |track| pending.first_len(track))));
        for key in &keys {
            let Some(track) = tracks.get_mut(*key) else { continue };
            let start = track.next_walk_start();
            let (after, before) = track.subscriptions.split_at(start.min(track.subscriptions.len()));
            for key in before.iter().chain(after) {
                let Some(subscription) = subscriptions.get(*key) else { continue };
                let mut sources = subscription.sources().into_iter().flatten();
                if track.late.is_none() && sources.all(|stream| track.waiting_of(stream).is_none()) {
                    continue;
                }
                let Some(peer) = peers.get_mut(subscription.peer) else { continue };
                if peer.due.is_empty() {
                    pending.add_peer(subscription.peer);
                }
                peer.due.push(*key);
            }
        }
        pending.begin(kind, keys);
        true
    }

    /// One peer gets all that waits for it.
    fn send_due(&mut self, now: Instant, peer_key: PeerKey, out: &mut SendBatch) {
        let Self { pending, peers, tracks, subscriptions, stats, .. } = self;
        let Some(peer) = peers.get_mut(peer_key) else { return };
        let mut due = std::mem::take(&mut peer.due);
        let mut outlet = peer.outlet(now, MediaKind::Video);
        for key in due.drain(..) {
            let Some(subscription) = subscriptions.get_mut(key) else { continue };
            let Some(track) = tracks.get(subscription.track) else { continue };
            if let Some(outlet) = &mut outlet {
                outlet.kind = track.kind;
            }
            let sources = subscription.sources();
            let waiting = sources.map(|stream| track.waiting_of(stream?));
            let waiting = waiting.into_iter().flat_map(|queue| pending.packets_of(queue));
            // Of an encoding that was left, nothing but what is still waited for.
            let is_due = |info: &PacketInfo| !sources.contains(&Some(info.stream)) && subscription.has_place(info);
            let late: SmallVec<[_; 4]> = pending.packets_of(track.late).filter(|(info, _)| is_due(info)).collect();
            for waiting in waiting.chain(late) {
                match deliver(now, track, (key, subscription), outlet.as_mut(), waiting, out) {
                    Ok(0) => {}
                    Ok(len) => {
                        stats.rtp_forwarded += 1;
                        stats.rtp_forwarded_bytes += len as u64;
                    }
                    Err(reason) => stats.drops.count(reason),
                }
            }
        }
        peer.due = due;
        if peer.pacer.is_active() {
            self.schedule_release(now, peer_key);
        }
    }

    fn finish(&mut self, now: Instant, out: &mut SendBatch) {
        for track in self.pending.finish(&mut self.tracks) {
            self.retarget_track(now, track, out);
        }
    }
}

/// Of a shared screen, which is slow: whose pictures are behind by so much becomes slower, lest they be dropped anywhere and a
/// keyframe be needed. The second bound leaves half of what the first leaves.
const SLOWER_FROM: [Duration; 2] = [Duration::from_millis(700), Duration::from_millis(2_500)];

/// The highest temporal layer that is to leave while so much waits.
fn temporal_within(backlog: Duration, content: Content) -> u8 {
    match content {
        Content::Detail if backlog > SLOWER_FROM[1] => 0,
        Content::Detail if backlog > SLOWER_FROM[0] => 1,
        _ => u8::MAX,
    }
}

/// Returns the datagram's length; 0 for a packet that carries nothing, whose place is closed, and for one that waits.
fn deliver(
    now: Instant,
    track: &Track,
    (key, subscription): (SubscriptionKey, &mut Subscription),
    outlet: Option<&mut Outlet<'_>>,
    (info, padding_len): (&PacketInfo, usize),
    out: &mut SendBatch,
) -> Result<usize, DropReason> {
    if info.is_padding() {
        subscription.skip_padding(info);
        return Ok(0);
    }
    let outlet = outlet.ok_or(DropReason::SubscriberNotConnected)?;
    let stream = track.streams.get(info.stream).ok_or(DropReason::NotInCache)?;
    let bytes = stream.cache.get(info.ext_seq).ok_or(DropReason::NotInCache)?;
    subscription.temporal_held =
        outlet.pacer.as_deref().map_or(u8::MAX, |pacer| temporal_within(pacer.backlog(), track.content));
    let mut outgoing = subscription.select(now, track, info)?;
    if subscription.sends_again_as(outgoing.mapping).is_some() {
        outgoing.padding_len = padding_len;
    }
    let packet = Packet::new(info, bytes);
    if outlet.kind == MediaKind::Audio || outlet.pacer.is_none() {
        let len = send::send(subscription, outlet, &packet, &outgoing, out)?;
        // What it takes of a narrow path is not there for video.
        if let Some(pacer) = &mut outlet.pacer {
            pacer.note(now, len);
        }
        return Ok(len);
    }
    send::send_paced(now, (key, subscription), outlet, (track, &packet, &outgoing), out)
}
