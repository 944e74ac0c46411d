//! Video that waits in a subscriber's pacer, and its release.

use super::Worker;
use crate::batch::SendBatch;
use crate::drops::DropReason;
use crate::egress::held::Held;
use crate::egress::send;
use crate::params::MediaKind;
use crate::worker::keys::{PeerKey, SubscriptionKey};
use std::time::Instant;

impl Worker {
    /// Enters the time of the next release, when something waits.
    pub(super) fn schedule_release(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.timers.release = peer.pacer.next(now);
        if peer.timers.release.is_some() {
            self.schedule(key);
        }
    }

    /// Sends what may leave by now, and sets the timer anew.
    pub(super) fn release_due(&mut self, now: Instant, key: PeerKey, out: &mut SendBatch) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.timers.release.is_none_or(|at| at > now) {
            return;
        }
        peer.pacer.set_rate(peer.bandwidth.pace_bps(now));
        while let Some(held) = self.peers.get_mut(key).and_then(|peer| peer.pacer.pop(now)) {
            match self.release(now, key, &held, out) {
                Ok(_) if held.again => self.stats.rtp_retransmitted += 1,
                Ok(len) => {
                    self.stats.rtp_forwarded += 1;
                    self.stats.rtp_forwarded_bytes += len as u64;
                }
                Err(reason) => self.stats.drops.count(reason),
            }
        }
        if let Some(peer) = self.peers.get_mut(key) {
            peer.timers.release = peer.pacer.next(now);
        }
    }

    /// What waits of a subscription is not to leave any more.
    pub(super) fn drop_held(&mut self, key: PeerKey, subscription: SubscriptionKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let dropped = peer.pacer.retain(|held| held.subscription != subscription);
        (0..dropped).for_each(|_| self.stats.drops.count(DropReason::OtherLayer));
    }

    fn release(&mut self, now: Instant, key: PeerKey, held: &Held, out: &mut SendBatch) -> Result<usize, DropReason> {
        let Self { peers, tracks, subscriptions, .. } = self;
        let subscription = subscriptions.get_mut(held.subscription).ok_or(DropReason::UnknownStream)?;
        if subscription.paused {
            return Err(DropReason::Paused);
        }
        let track = tracks.get(subscription.track).ok_or(DropReason::UnknownStream)?;
        let packet = held.packet(track)?;
        let peer = peers.get_mut(key).ok_or(DropReason::SubscriberNotConnected)?;
        let mut outlet = peer.outlet(now, MediaKind::Video).ok_or(DropReason::SubscriberNotConnected)?;
        let len = if held.again {
            let len = send::retransmit(subscription, &mut outlet, &packet, &held.outgoing, out)?;
            subscription.history.note_resent(now, held.outgoing.sent.out);
            len
        } else {
            send::send(subscription, &mut outlet, &packet, &held.outgoing, out)?
        };
        peer.pacer.note(now, len);
        Ok(len)
    }
}
