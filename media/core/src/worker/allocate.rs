//! Shares what a subscriber's path carries among its subscriptions: gathers what could be sent, and puts the answer in place.
//!
//! The arithmetic is in [`crate::egress::allocation`], what the path carries in [`crate::congestion`]. A peer of which nothing
//! is known gets everything that it asks for.

use super::Worker;
use crate::batch::SendBatch;
use crate::control::{Event, RoomEvent};
use crate::egress::allocation::{Candidate, allocate};
use crate::egress::subscription::Subscription;
use crate::ingress::rate::{SPATIAL_MAX, TEMPORAL_MAX};
use crate::ingress::track::Track;
use crate::params::{Content, HeaderExtension, LayerLimit, MediaKind};
use crate::worker::keys::{PeerKey, SubscriptionKey, TrackKey};
use std::time::{Duration, Instant};

/// Least time between two allocations for one peer that only the estimate asks for: every second feedback message.
const INTERVAL: Duration = Duration::from_millis(100);
/// Header, extensions and authentication tag of a packet take about 40 bytes; Opus has 50 packets per second.
const AUDIO_OVERHEAD_BPS: u64 = 16_000;
/// The same beside video packets of about 1,000 bytes.
const VIDEO_OVERHEAD_PERCENT: u64 = 104;
/// Probes are made for what exceeds the estimate by a twentieth. Who lacks less than that would never get it: an estimate does
/// not rise beyond what is sent by itself.
const PROBED_PERCENT: u64 = 106;
/// What an audio track is taken to need before it was measured: Opus as browsers send it.
const AUDIO_NOMINAL_BPS: u64 = 32_000;
/// Where so much waits on the path, an encoding that is to be left is not sent until the smaller one comes.
const GIVE_UP_QUEUE: Duration = Duration::from_millis(100);
/// The same where so much waits before the path.
const GIVE_UP_BACKLOG: Duration = Duration::from_secs(1);
/// Where less waits before a path that is paced, what is sent fits, whatever the estimate says.
const WAITS_FROM: Duration = Duration::from_millis(500);
/// A shared screen that is behind by so much is late: what is said about it is about another picture.
const LATE_FROM: Duration = Duration::from_secs(8);
/// Of what waits before the path while a screen is shared: as much as one picture is no arrears, and the rest is to have left
/// within so long.
const ARREARS_FROM: Duration = Duration::from_millis(700);
const ARREARS_WITHIN: Duration = Duration::from_secs(2);
/// Who spoke so recently is shown before others: pauses between sentences and short answers pass.
const SPOKE_WITHIN: Duration = Duration::from_secs(5);

/// When redundancy of audio is left out: with less lost than this where no queue is, and more wanted than this share of the estimate.
struct Spare {
    loss_max: f64,
    room_percent: u64,
}

impl Spare {
    /// Fewer losses are concealed without anybody noticing, and bursts are none of these.
    const BEGINS: Self = Self { loss_max: 0.02, room_percent: 100 };
    /// Some way from where it began, so that it does not come and go.
    const GOES_ON: Self = Self { loss_max: 0.04, room_percent: 90 };
}

/// Ranks of video, the smaller first; a client's own priorities come before them.
const RANK_PRIORITY_MAX: u8 = 99;
const RANK_DETAIL: u8 = 100;
const RANK_SPEAKER: u8 = 101;
const RANK_OTHER: u8 = 102;

impl Worker {
    /// The subscriptions or the estimate of a peer changed: its bandwidth is to be shared anew.
    pub(super) fn want_allocation(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.timers.allocate = Some(now);
        self.schedule(key);
    }

    /// As [`Self::want_allocation`], when the estimate has changed notably.
    pub(super) fn note_estimate(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.bandwidth.take_change(now) {
            let due = peer.allocated.map_or(now, |last| now.max(last + INTERVAL));
            peer.timers.allocate = Some(peer.timers.allocate.map_or(due, |at| at.min(due)));
            self.schedule(key);
        }
    }

    /// An encoding of a track began or ended: all who receive it look anew.
    pub(super) fn want_allocation_of_track(&mut self, now: Instant, track: TrackKey) {
        let Some(count) = self.tracks.get(track).map(|track| track.subscriptions.len()) else { return };
        for index in 0..count {
            let key = self.tracks.get(track).and_then(|track| track.subscriptions.get(index).copied());
            let peer = key.and_then(|key| self.subscriptions.get(key)).map(|subscription| subscription.peer);
            if let Some(peer) = peer.filter(|peer| self.peers.get(*peer).is_some_and(|peer| peer.allocated.is_some())) {
                self.want_allocation(now, peer);
            }
        }
    }

    pub(super) fn send_due_allocation(&mut self, now: Instant, key: PeerKey, out: &mut SendBatch) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.timers.allocate.is_none_or(|at| at > now) {
            return;
        }
        peer.timers.allocate = None;
        self.allocate(now, key, out);
    }

    /// Does nothing for a peer of whose path nothing was ever known.
    pub(super) fn allocate(&mut self, now: Instant, key: PeerKey, out: &mut SendBatch) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let estimate_bps = peer.bandwidth.estimate_bps(now);
        if estimate_bps.is_none() && peer.allocated.is_none() {
            return;
        }
        peer.allocated = estimate_bps.map(|_| now);
        let is_measured = peer.bandwidth.is_measured();
        // What has no transport-wide numbers is not part of what was estimated.
        let numbered_only = peer.bandwidth.sent.is_enabled();
        let keys = std::mem::take(&mut peer.subscriptions);
        let video: Vec<(SubscriptionKey, Candidate)> =
            keys.iter().filter_map(|key| self.candidate(now, *key)).collect();
        let wanted_bps: u64 = video.iter().map(|(_, candidate)| candidate.wanted_bps).sum();
        let (audio, spared) = self.audio_bps(now, &keys, numbered_only);
        let is_spared =
            estimate_bps.is_some_and(|bps| self.spares_redundancy(now, (key, &keys), audio + wanted_bps, bps));
        self.set_redundancy(&keys, !is_spared);
        let audio_bps = if is_spared { audio - spared } else { audio };
        if let Some(peer) = self.peers.get_mut(key) {
            peer.subscriptions = keys;
        }
        let (keys, candidates): (Vec<_>, Vec<_>) = video.into_iter().unzip();
        let Some(estimate_bps) = estimate_bps else {
            keys.into_iter().for_each(|key| self.allow(now, key, Some(LayerLimit::ALL), false, out));
            return;
        };
        // Nobody is stalled on a guess: a path that is too narrow says so within the first feedback.
        let least = if is_measured { None } else { Some(0) };
        let given = allocate(estimate_bps.saturating_sub(audio_bps), &candidates);
        for ((key, candidate), rung) in keys.into_iter().zip(&candidates).zip(&given) {
            let rung = (*rung).or(least);
            // What sends nothing is not stalled: it would have to wait for an allocation when it begins.
            if !candidate.rungs.is_empty() {
                let layers = rung.map(|rung| candidate.rungs[rung].layers);
                self.allow(now, key, layers, candidate.is_short(rung), out);
            }
        }
        let needed_bps = audio + candidates.iter().map(Candidate::needed_bps).sum::<u64>();
        let is_short = given.iter().zip(&candidates).any(|(rung, candidate)| candidate.is_short(*rung));
        self.set_wanted(key, if is_short { needed_bps * PROBED_PERCENT / 100 } else { needed_bps });
    }

    fn candidate(&self, now: Instant, key: SubscriptionKey) -> Option<(SubscriptionKey, Candidate)> {
        let subscription = self.subscriptions.get(key)?;
        let track = self.tracks.get(subscription.track).filter(|track| track.kind == MediaKind::Video)?;
        let (rank, content) = (self.rank(now, subscription, track), track.content);
        let peer = self.peers.get(subscription.peer)?;
        let (backlog, is_free) = (peer.pacer.backlog(), peer.bandwidth.is_free(now));
        let pace_bps = peer.bandwidth.pace_bps(now);
        let hardly_waits = pace_bps.is_some() && backlog < WAITS_FROM;
        let may_wait = peer.bandwidth.is_newly_limited(now) || content == Content::Motion && hardly_waits;
        let mut candidate = Candidate { rank, content, may_wait, is_free, ..Candidate::default() };
        candidate.is_late = backlog > LATE_FROM;
        let arrears = backlog.saturating_sub(ARREARS_FROM).as_secs_f64() / ARREARS_WITHIN.as_secs_f64();
        candidate.arrears_bps = (pace_bps.unwrap_or(0) as f64 * arrears) as u64;
        if subscription.paused || track.muted {
            return Some((key, candidate));
        }
        candidate.rungs = track.rungs(now, subscription.asked());
        for rung in &mut candidate.rungs {
            rung.rate_bps = rung.rate_bps * VIDEO_OVERHEAD_PERCENT / 100;
        }
        candidate.essential = track.essential(&candidate.rungs);
        candidate.is_settling = subscription.patience.is_settling(now);
        candidate.wanted_bps = candidate.rungs.last().map_or(0, |rung| rung.rate_bps);
        candidate.current =
            subscription.allowed.and_then(|allowed| candidate.rungs.iter().rposition(|rung| rung.layers <= allowed));
        if !subscription.patience.may_rise(now) {
            match candidate.current {
                Some(current) => candidate.rungs.truncate(current + 1),
                // Nor does a picture come and go every few seconds.
                None if subscription.allowed.is_none() => candidate.rungs.clear(),
                None => {}
            }
        }
        Some((key, candidate))
    }

    fn rank(&self, now: Instant, subscription: &Subscription, track: &Track) -> u8 {
        let spoke =
            |key: &TrackKey| self.tracks.get(*key).is_some_and(|track| track.watch.spoke_within(now, SPOKE_WITHIN));
        match (subscription.priority, track.content) {
            (1.., _) => subscription.priority.min(RANK_PRIORITY_MAX),
            (0, Content::Detail) => RANK_DETAIL,
            _ if self.peers.get(track.publisher).is_some_and(|peer| peer.tracks.iter().any(spoke)) => RANK_SPEAKER,
            _ => RANK_OTHER,
        }
    }

    /// What the audio of these subscriptions takes with its redundancy, and how much of that the redundancy is.
    fn audio_bps(&self, now: Instant, keys: &[SubscriptionKey], numbered_only: bool) -> (u64, u64) {
        let each = keys.iter().filter_map(|key| {
            let subscription = self.subscriptions.get(*key).filter(|subscription| !subscription.paused)?;
            if numbered_only && subscription.extension_id(HeaderExtension::TransportCc) == 0 {
                return None;
            }
            let track = self.tracks.get(subscription.track).filter(|track| track.kind == MediaKind::Audio)?;
            let stream = track.streams.first().filter(|stream| stream.is_active(now))?;
            let up_to =
                |layer: usize| stream.rates.up_to(layer as u8, TEMPORAL_MAX as u8 - 1).unwrap_or(AUDIO_NOMINAL_BPS);
            let (primary, all) = (up_to(0), up_to(SPATIAL_MAX - 1));
            let redundancy = if subscription.has_redundancy(track) { all.saturating_sub(primary) } else { 0 };
            Some((primary + redundancy + AUDIO_OVERHEAD_BPS, redundancy))
        });
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Redundancy repairs losses. Where a path is full and loses little, it only takes room from pictures.
    fn spares_redundancy(
        &self,
        now: Instant,
        (key, keys): (PeerKey, &[SubscriptionKey]),
        wanted_bps: u64,
        estimate_bps: u64,
    ) -> bool {
        let Some(peer) = self.peers.get(key) else { return false };
        let is_left_out = |key: &SubscriptionKey| {
            self.subscriptions.get(*key).is_some_and(|subscription| subscription.leaves_out_redundancy())
        };
        let spare = if keys.iter().any(is_left_out) { Spare::GOES_ON } else { Spare::BEGINS };
        let is_full = peer.bandwidth.pace_bps(now).is_some() && wanted_bps > estimate_bps * spare.room_percent / 100;
        is_full && peer.bandwidth.own_loss() < spare.loss_max
    }

    fn set_redundancy(&mut self, keys: &[SubscriptionKey], is_sent: bool) {
        let Self { tracks, subscriptions, .. } = self;
        for key in keys {
            let Some(subscription) = subscriptions.get_mut(*key) else { continue };
            let audio = tracks.get(subscription.track).filter(|track| track.kind == MediaKind::Audio);
            if let Some(track) = audio {
                subscription.set_redundancy(track, is_sent);
            }
        }
    }

    /// Lets a subscription have these layers; `None` stalls it, and its subscriber is told. `is_short` when it wants more.
    fn allow(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        layers: Option<LayerLimit>,
        is_short: bool,
        out: &mut SendBatch,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        let before = std::mem::replace(&mut subscription.allowed, layers);
        if before == layers {
            return;
        }
        // The first allocation is no change of its mind. Nor does somebody fall who wants no more, or whose publisher sends no
        // more: the path has not shown that there is no room, and what is wanted again comes at once.
        let falls = layers < before;
        if before != Some(LayerLimit::ALL) && (is_short || !falls) {
            subscription.patience.note(now, falls);
        }
        let (id, peer) = (subscription.id, subscription.peer);
        self.retarget(now, key, out);
        if layers < before {
            self.give_up(peer, key, layers.is_none());
        }
        if before.is_some() != layers.is_some()
            && let Some(peer) = self.peers.get(peer)
        {
            let event = Event::SubscriptionStalled { subscription: id, peer: peer.id, stalled: layers.is_none() };
            self.events.push_back(RoomEvent { room: peer.room, event });
        }
    }

    /// A subscription falls: where a queue stands, what was to leave of it would come late or not at all, and the keyframe that
    /// it goes on with would wait behind.
    fn give_up(&mut self, key: PeerKey, subscription: SubscriptionKey, stalled: bool) {
        let Some(peer) = self.peers.get(key) else { return };
        let queueing = peer.bandwidth.queueing_delay();
        let stands = queueing.is_some_and(|delay| delay > GIVE_UP_QUEUE) || peer.pacer.backlog() > GIVE_UP_BACKLOG;
        let falling = self.subscriptions.get_mut(subscription);
        if stalled || stands && falling.is_some_and(Subscription::give_up) {
            self.drop_held(key, subscription);
        }
    }
}
