//! How each connection fares: what is lost on the way here and on the way out, the round trip, and how long ago anything was
//! heard of the peer. Knows nothing of what people are told about it.

use super::Worker;
use crate::control::{Event, PeerFigures, RoomEvent};
use crate::ids::RoomId;
use crate::limits::FIGURES_INTERVAL;
use crate::params::MediaKind;
use crate::worker::keys::PeerKey;
use slotmap::SecondaryMap;
use std::time::Instant;

#[derive(Default)]
pub(super) struct Figures {
    due: Option<Instant>,
    /// What was counted up to the last event.
    counted: SecondaryMap<PeerKey, Counted>,
}

#[derive(Clone, Copy, Default)]
struct Counted {
    /// Packets of all its streams, as far as they exist.
    expected: u64,
    received: u64,
    /// Fractions in the report blocks since then, in 1/256, and their number.
    reported_lost: u32,
    reports: u32,
}

impl Figures {
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Somebody is connected.
    pub(super) fn begin(&mut self, now: Instant) {
        self.due.get_or_insert(now + FIGURES_INTERVAL);
    }

    /// A receiver says what it lost of one stream (RFC 3550 section 6.4.1).
    pub(super) fn note_report(&mut self, key: PeerKey, fraction_lost: u8) {
        if let Some(entry) = self.counted.entry(key) {
            let counted = entry.or_default();
            counted.reported_lost = counted.reported_lost.saturating_add(fraction_lost.into());
            counted.reports = counted.reports.saturating_add(1);
        }
    }
}

impl Worker {
    /// At the end of an interval: one event per room with somebody connected.
    pub(super) fn measure_figures(&mut self, now: Instant) {
        let Some(due) = self.figures.due.filter(|due| *due <= now) else { return };
        // Whoever was held up itself cannot tell who was silent: what came meanwhile may not have been read yet.
        if now.saturating_duration_since(due) >= FIGURES_INTERVAL {
            self.figures.due = Some(now + FIGURES_INTERVAL);
            return;
        }
        self.figures.counted.retain(|key, _| self.peers.contains_key(key));
        let connected: Vec<_> =
            self.peers.iter().filter(|(_, peer)| peer.outbound.is_some()).map(|(key, peer)| (peer.room, key)).collect();
        self.figures.due = (!connected.is_empty()).then_some(now + FIGURES_INTERVAL);
        let mut figures: Vec<(RoomId, PeerFigures)> =
            connected.iter().filter_map(|(room, key)| Some((*room, self.figures_of(now, *key)?))).collect();
        connected.into_iter().for_each(|(_, key)| self.set_playout(key));
        figures.sort_by_key(|(room, of)| (*room, of.peer));
        for room in figures.chunk_by(|a, b| a.0 == b.0) {
            if self.events.len() < super::EVENTS_MAX {
                let figures = room.iter().map(|(_, figures)| *figures).collect();
                self.events.push_back(RoomEvent { room: room[0].0, event: Event::Figures { figures } });
            }
        }
    }

    fn figures_of(&mut self, now: Instant, key: PeerKey) -> Option<PeerFigures> {
        let peer = self.peers.get(key)?;
        let (mut expected, mut received) = (0, 0);
        let mut heard = peer.presence.last_heard();
        for stream in peer.tracks.iter().filter_map(|track| self.tracks.get(*track)).flat_map(|track| &track.streams) {
            let (more_expected, more_received) = stream.reception.totals();
            expected += more_expected;
            received += more_received;
            heard = heard.max(stream.last_packet());
        }
        let before = self.figures.counted.get(key).copied().unwrap_or_default();
        self.figures.counted.insert(key, Counted { expected, received, ..Counted::default() });
        // A stream that ended or began anew took its counts along: this interval says nothing.
        let due = expected.checked_sub(before.expected).filter(|due| *due > 0);
        let came = received.saturating_sub(before.received);
        let loss_up = due.map(|due| due.saturating_sub(came) as f32 / due as f32);
        let loss_down = (before.reports > 0).then(|| before.reported_lost as f32 / 256.0 / before.reports as f32);
        let peer = self.peers.get_mut(key)?;
        peer.repairs_up.note(now, loss_up, peer.rtt);
        // What a full queue drops is no loss to wait for.
        let is_limited = peer.bandwidth.pace_bps(now).is_some();
        peer.repairs_down.note(now, loss_down.filter(|_| !is_limited), peer.rtt);
        Some(PeerFigures {
            peer: peer.id,
            silent_for: heard.map(|at| now.saturating_duration_since(at)).unwrap_or_default(),
            loss_up,
            loss_down,
            rtt: peer.rtt.map(|rtt| rtt.mean),
        })
    }

    /// A peer is told to wait for the repairs of its own path, and of the publishers'.
    fn set_playout(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get(key) else { return };
        for key in &peer.subscriptions {
            let Some(subscription) = self.subscriptions.get_mut(*key) else { continue };
            let track = self.tracks.get(subscription.track).filter(|track| track.kind == MediaKind::Video);
            let Some(publisher) = track.and_then(|track| self.peers.get(track.publisher)) else { continue };
            subscription.playout.set(publisher.repairs_up.wait().max(peer.repairs_down.wait()));
        }
    }
}
