//! Probes of what the path to a subscriber carries: padding on the retransmission stream of a video subscription.

use super::Worker;
use crate::batch::SendBatch;
use crate::egress::send;
use crate::params::MediaKind;
use crate::worker::keys::PeerKey;
use std::time::Instant;

impl Worker {
    /// What would be sent to a peer if its path allowed it; see [`crate::congestion::Bandwidth::set_wanted`].
    pub(super) fn set_wanted(&mut self, key: PeerKey, bps: u64) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.bandwidth.set_wanted(bps);
        self.schedule_probe(key);
    }

    /// Enters the time of the next probe, after whatever may have moved it.
    pub(super) fn schedule_probe(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.timers.probe = peer.bandwidth.probe_due();
        if peer.timers.probe.is_some() {
            self.schedule(key);
        }
    }

    /// Sends the padding that is due, and sets the timer anew.
    pub(super) fn send_due_probe(&mut self, now: Instant, key: PeerKey, out: &mut SendBatch) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.timers.probe.is_none_or(|at| at > now) {
            return;
        }
        if let Some(bytes) = peer.bandwidth.poll_probe(now)
            && !self.send_padding(now, key, bytes, out)
            && let Some(peer) = self.peers.get_mut(key)
        {
            peer.bandwidth.cannot_probe(now);
        }
        if let Some(peer) = self.peers.get_mut(key) {
            peer.timers.probe = peer.bandwidth.probe_due();
        }
    }

    /// Sends about `bytes` of padding; `false` when no stream can carry it.
    fn send_padding(&mut self, now: Instant, key: PeerKey, bytes: u64, out: &mut SendBatch) -> bool {
        let Self { peers, subscriptions, .. } = self;
        let Some(peer) = peers.get_mut(key) else { return false };
        let carries = |key: &&_| subscriptions.get(**key).is_some_and(|s| s.padding_stream().is_some());
        let Some(carrier) = peer.subscriptions.iter().find(carries).copied() else { return false };
        let Some(subscription) = subscriptions.get_mut(carrier) else { return false };
        let Some(mut outlet) = peer.outlet(now, MediaKind::Video) else { return false };
        let mut sent = 0;
        while sent < bytes {
            let Ok(len) = send::pad(subscription, &mut outlet, out) else { return sent > 0 };
            sent += len as u64;
        }
        true
    }
}
