//! Silent paths: audio that should be heard and is not. For every track and everybody who receives it, the worker knows
//! whether packets come in, go out and arrive, and says so where they stop while the source speaks.
//!
//! Evidence is looked at once a second, of tracks that were loud lately; packets pay nothing. A path is called silent only
//! where something else shows that both ends are there: mutes, pauses, discontinuous transmission, outages and whoever has
//! just come or gone are no silence.

use super::Worker;
use crate::control::{Event, PathState, RoomEvent, SilentCause};
use crate::ids::{RoomId, SubscriptionId, TrackId};
use crate::ingress::level::Loudness;
use crate::wire::rtcp::ReportBlock;
use crate::worker::keys::PeerKey;
use std::time::{Duration, Instant};

/// Windows of loudness from one look to the next: a second.
const WINDOWS_PER_LOOK: u8 = 5;
/// Loud ones among them that make it speech: a fifth of a second is a word.
const WINDOWS_OF_SPEECH_MIN: u8 = 2;
/// Looks in a row with speech coming in and nothing going out.
const LOOKS_WITHOUT_PACKETS_MAX: u8 = 3;
/// Opus sends two packets a second even in silence (RFC 7587 section 3.1.3; libopus makes comfort noise every 400 ms).
const UPLINK_AFTER: Duration = Duration::from_secs(8);
/// Less than [`UPLINK_AFTER`], so that an outage of the whole connection is not one of its audio; more than the 6 s that
/// connectivity checks are apart at most (RFC 7675 section 5.1).
const PRESENT_WITHIN: Duration = Duration::from_secs(7);
/// Browsers report audio every 2.5 to 7.5 s (libwebrtc's 5 s, spread by RFC 3550 section 6.3.1): one report may be lost.
const REPORT_GAP_MAX: Duration = Duration::from_secs(8);
const DOWNLINK_AFTER: Duration = Duration::from_secs(16);
/// Packets that a receiver has not confirmed, a second's worth: fewer may have been lost.
const UNCONFIRMED_MIN: u32 = 50;
/// How long after its last word a track is still looked at, so that a pause does not begin the evidence anew.
const SPEECH_LINGERS: Duration = Duration::from_secs(10);

/// Whether a peer is there at all.
#[derive(Default)]
pub struct Presence {
    heard: Option<Instant>,
    reported: Option<Instant>,
    /// Since when its reports come without a long gap.
    reporting_since: Option<Instant>,
}

impl Presence {
    /// Something authentic came that is not media.
    pub fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
    }

    /// A sender or receiver report came.
    pub fn reported(&mut self, now: Instant) {
        if self.reporting_since(now).is_none() {
            self.reporting_since = Some(now);
        }
        self.reported = Some(now);
    }

    pub fn last_heard(&self) -> Option<Instant> {
        self.heard
    }

    fn is_present(&self, now: Instant) -> bool {
        self.heard.is_some_and(|at| now.saturating_duration_since(at) < PRESENT_WITHIN)
    }

    /// `None` when reports do not come now.
    fn reporting_since(&self, now: Instant) -> Option<Instant> {
        let recent = self.reported.is_some_and(|at| now.saturating_duration_since(at) < REPORT_GAP_MAX);
        self.reporting_since.filter(|_| recent)
    }
}

/// A publisher's audio on its way to us.
#[derive(Default)]
pub struct UplinkWatch {
    loud_windows: u8,
    spoke_at: Option<Instant>,
    /// Since when packets must come.
    expected_since: Option<Instant>,
    silent: bool,
}

impl UplinkWatch {
    pub fn note(&mut self, loudness: &Loudness) {
        self.loud_windows += u8::from(loudness.spoke);
    }

    /// Whether the time since the last look had speech in it.
    fn take_speech(&mut self, now: Instant) -> bool {
        let spoke = std::mem::take(&mut self.loud_windows) >= WINDOWS_OF_SPEECH_MIN;
        if spoke {
            self.spoke_at = Some(now);
        }
        spoke
    }

    /// Whether somebody spoke on the track so recently, as far as was looked: once a second.
    pub fn spoke_within(&self, now: Instant, time: Duration) -> bool {
        self.spoke_at.is_some_and(|at| now.saturating_duration_since(at) < time)
    }

    /// `expected`: it is not muted, and its publisher is there. Returns what changed.
    fn look(&mut self, now: Instant, expected: bool, last_packet: Option<Instant>) -> Option<PathState> {
        let since = *self.expected_since.get_or_insert(now);
        if !expected {
            self.expected_since = None;
        }
        let last = last_packet.map_or(since, |at| at.max(since));
        let silent = expected && now.saturating_duration_since(last) >= UPLINK_AFTER;
        changed(&mut self.silent, silent, SilentCause::Uplink)
    }
}

/// What a look at a subscription sees.
#[derive(Clone, Copy)]
struct Sight {
    /// Not muted, not paused, and its subscriber is connected.
    expected: bool,
    spoke: bool,
    packets_sent: u32,
    reporting_since: Option<Instant>,
}

/// Audio on its way to one subscriber.
#[derive(Default)]
pub struct DownlinkWatch {
    /// Packets sent by the last look, which was at that time.
    looked: Option<(Instant, u32)>,
    looks_without_packets: u8,
    highest_seq: Option<u32>,
    /// Packets sent when the receiver last had more than before.
    confirmed: u32,
    /// Since when packets leave that no report confirms.
    unconfirmed_since: Option<Instant>,
    silent: Option<SilentCause>,
}

impl DownlinkWatch {
    /// The subscriber says how far it received.
    fn reported(&mut self, highest_seq: u32, packets_sent: u32) {
        if self.highest_seq.replace(highest_seq) != Some(highest_seq) {
            self.confirmed = packets_sent;
            self.unconfirmed_since = None;
        }
    }

    fn look(&mut self, now: Instant, sight: Sight) -> Option<PathState> {
        let before = self.looked.replace((now, sight.packets_sent));
        // After a time without looks, evidence begins anew.
        let fresh = |at: Instant| now.saturating_duration_since(at) < LOOK_GAP_MAX;
        let before = before.filter(|(at, _)| sight.expected && fresh(*at)).map(|(_, packets)| packets);
        let Some(before) = before else {
            self.forget(sight.packets_sent);
            return self.conclude(None);
        };
        let sends = before != sight.packets_sent;
        if !sends {
            self.confirm(sight.packets_sent);
        } else if self.confirmed != sight.packets_sent {
            self.unconfirmed_since.get_or_insert(now);
        }
        self.looks_without_packets = match (sends, sight.spoke) {
            (true, _) => 0,
            (false, true) => self.looks_without_packets.saturating_add(1),
            (false, false) => self.looks_without_packets,
        };
        if self.looks_without_packets >= LOOKS_WITHOUT_PACKETS_MAX {
            return self.conclude(Some(SilentCause::NotForwarded));
        }
        if self.silent == Some(SilentCause::NotForwarded) && !sends {
            return None;
        }
        let unconfirmed = sight.packets_sent.wrapping_sub(self.confirmed);
        let since = self.unconfirmed_since.zip(sight.reporting_since).map(|(sent, reporting)| sent.max(reporting));
        let lasting = since.is_some_and(|since| now.saturating_duration_since(since) >= DOWNLINK_AFTER);
        let not_received = lasting && unconfirmed >= UNCONFIRMED_MIN && (sight.spoke || self.silent.is_some());
        self.conclude(not_received.then_some(SilentCause::NotReceived))
    }

    fn forget(&mut self, packets_sent: u32) {
        self.looks_without_packets = 0;
        self.confirm(packets_sent);
    }

    fn confirm(&mut self, packets_sent: u32) {
        self.confirmed = packets_sent;
        self.unconfirmed_since = None;
    }

    fn conclude(&mut self, silent: Option<SilentCause>) -> Option<PathState> {
        let before = std::mem::replace(&mut self.silent, silent);
        (before != silent).then(|| silent.map_or(PathState::Over, PathState::Silent))
    }
}

/// Looks are a second apart unless the track said nothing for long, or the worker was busy.
const LOOK_GAP_MAX: Duration = Duration::from_secs(3);

fn changed(before: &mut bool, silent: bool, cause: SilentCause) -> Option<PathState> {
    let changed = std::mem::replace(before, silent) != silent;
    changed.then_some(if silent { PathState::Silent(cause) } else { PathState::Over })
}

impl Worker {
    /// After each window of loudness; looks when enough of them passed.
    pub(super) fn look_for_silence(&mut self, now: Instant) {
        if !self.rooms.window_passed(WINDOWS_PER_LOOK) {
            return;
        }
        let Self { rooms, tracks, subscriptions, peers, events, stats, .. } = self;
        let mut silent = 0;
        for (room, key) in rooms.audio() {
            let Some(track) = tracks.get_mut(key) else { continue };
            let mut tell = |subscription: Option<SubscriptionId>, change: Option<PathState>| {
                let Some(state) = change else { return };
                if let PathState::Silent(cause) = state {
                    stats.audio_paths_fell_silent[cause as usize] += 1;
                }
                events.push_back(path_event(room, track.id, subscription, state));
            };
            let present =
                peers.get(track.publisher).is_some_and(|p| p.outbound.is_some() && p.presence.is_present(now));
            let last_packet = track.streams.iter().filter_map(|stream| stream.last_packet()).max();
            tell(None, track.watch.look(now, present && !track.muted, last_packet));
            silent += u64::from(track.watch.silent);
            let spoke = track.watch.take_speech(now);
            let lately = track.watch.spoke_within(now, SPEECH_LINGERS);
            for key in &track.subscriptions {
                let Some(subscription) = subscriptions.get_mut(*key) else { continue };
                if !lately && subscription.watch.silent.is_none() {
                    continue;
                }
                let Some(peer) = peers.get(subscription.peer) else { continue };
                let sight = Sight {
                    expected: !track.muted && !track.gate.is_closed() && !subscription.paused && peer.is_connected(),
                    spoke,
                    packets_sent: subscription.packets_sent,
                    reporting_since: peer.presence.reporting_since(now),
                };
                tell(Some(subscription.id), subscription.watch.look(now, sight));
                silent += u64::from(subscription.watch.silent.is_some());
            }
        }
        stats.audio_paths_silent = silent;
    }

    /// A subscriber says what it received.
    pub(super) fn note_reception(&mut self, now: Instant, key: PeerKey, blocks: impl Iterator<Item = ReportBlock>) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.presence.reported(now);
        for block in blocks {
            if let Some(key) = self.subscription_by_ssrc(key, block.ssrc)
                && let Some(subscription) = self.subscriptions.get_mut(key)
            {
                subscription.watch.reported(block.highest_seq, subscription.packets_sent);
            }
        }
    }
}

fn path_event(room: RoomId, track: TrackId, subscription: Option<SubscriptionId>, state: PathState) -> RoomEvent {
    RoomEvent { room, event: Event::AudioPath { track, subscription, state } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time::start;
    use proptest::prelude::*;

    const LOOK: Duration = Duration::from_secs(1);

    /// A subscriber, second by second.
    struct Path {
        now: Instant,
        watch: DownlinkWatch,
        presence: Presence,
        sent: u32,
        arrived: u32,
        states: Vec<PathState>,
    }

    /// One second of it.
    #[derive(Clone, Copy, Debug)]
    struct Second {
        expected: bool,
        spoke: bool,
        sent: u32,
        /// What is sent arrives.
        arrives: bool,
        reports: bool,
    }

    const TALK: Second = Second { expected: true, spoke: true, sent: 50, arrives: true, reports: true };
    /// Comfort noise.
    const QUIET: Second = Second { spoke: false, sent: 2, ..TALK };
    const MUTED: Second = Second { expected: false, spoke: false, sent: 0, ..TALK };
    const OUTAGE: Second = Second { arrives: false, reports: false, ..TALK };

    impl Path {
        fn new() -> Self {
            let (watch, presence) = (DownlinkWatch::default(), Presence::default());
            Self { now: start(), watch, presence, sent: 0, arrived: 0, states: Vec::new() }
        }

        fn live(&mut self, second: Second, times: usize) {
            for _ in 0..times {
                self.now += LOOK;
                self.sent += second.sent;
                if second.arrives {
                    self.arrived += second.sent;
                }
                if second.reports {
                    self.presence.reported(self.now);
                    self.watch.reported(self.arrived, self.sent);
                }
                let reporting_since = self.presence.reporting_since(self.now);
                let Second { expected, spoke, .. } = second;
                let sight = Sight { expected, spoke, packets_sent: self.sent, reporting_since };
                self.states.extend(self.watch.look(self.now, sight));
            }
        }
    }

    #[test]
    fn speech_that_does_not_leave_is_told_within_seconds_and_its_end_too() {
        let mut path = Path::new();
        path.live(TALK, 5);
        path.live(Second { sent: 0, ..TALK }, 2);
        assert_eq!(path.states, []);
        path.live(Second { sent: 0, ..TALK }, 1);
        assert_eq!(path.states, [PathState::Silent(SilentCause::NotForwarded)]);
        path.live(Second { sent: 0, spoke: false, ..TALK }, 20);
        assert_eq!(path.states.len(), 1, "nobody spoke since: nothing is known");
        path.live(TALK, 1);
        assert_eq!(path.states[1..], [PathState::Over]);
    }

    #[test]
    fn speech_that_leaves_and_does_not_arrive_is_told() {
        let mut path = Path::new();
        path.live(TALK, 5);
        path.live(Second { arrives: false, ..TALK }, 10);
        assert_eq!(path.states, []);
        path.live(Second { arrives: false, ..TALK }, 10);
        assert_eq!(path.states, [PathState::Silent(SilentCause::NotReceived)]);
        path.live(TALK, 2);
        assert_eq!(path.states[1..], [PathState::Over]);
        // From the first packet on, too.
        let mut path = Path::new();
        path.live(Second { arrives: false, ..TALK }, 20);
        assert_eq!(path.states, [PathState::Silent(SilentCause::NotReceived)]);
    }

    #[test]
    fn a_silent_path_that_is_muted_or_left_is_none() {
        for after in [MUTED, Second { expected: false, ..TALK }] {
            let mut path = Path::new();
            path.live(Second { sent: 0, ..TALK }, 10);
            path.live(after, 1);
            assert_eq!(path.states[1..], [PathState::Over]);
        }
    }

    proptest! {
        /// Whatever order talk, silence, mutes and outages come in, and however rarely receivers report: a path that works is
        /// never called silent.
        #[test]
        fn a_working_path_is_never_called_silent(
            times in prop::collection::vec((0_usize..6, 1_usize..40, 1_usize..8), 1..60),
        ) {
            let mut path = Path::new();
            for (kind, seconds, report_every) in times {
                let second = [TALK, QUIET, MUTED, OUTAGE, Second { sent: 20, ..TALK }, Second { spoke: false, ..TALK }][kind];
                for n in 0..seconds {
                    path.live(Second { reports: second.reports && n % report_every == 0, ..second }, 1);
                }
                // Reports do not stay away for longer than they may.
                path.live(Second { reports: second.reports, ..second }, 1);
            }
            prop_assert_eq!(&path.states, &vec![]);
        }

        /// Nor is a publisher whose packets come at least as often as comfort noise, or who is muted or away.
        #[test]
        fn a_working_publisher_is_never_called_silent(
            times in prop::collection::vec((0_usize..4, 1_u64..60), 1..60),
        ) {
            let (mut watch, mut presence, mut now) = (UplinkWatch::default(), Presence::default(), start());
            let mut last = None;
            for (kind, seconds) in times {
                for _ in 0..seconds {
                    now += LOOK;
                    let (muted, away) = (kind == 1, kind == 2);
                    if !muted && !away {
                        last = Some(now - Duration::from_millis(400));
                    }
                    if !away {
                        presence.heard(now - Duration::from_millis(if kind == 3 { 999 } else { 0 }));
                    }
                    let change = watch.look(now, !muted && presence.is_present(now), last);
                    prop_assert_eq!(change, None);
                }
            }
        }
    }

    #[test]
    fn an_unmuted_publisher_whose_packets_stop_is_told_and_only_once() {
        let (mut watch, t0) = (UplinkWatch::default(), start());
        let mut told = Vec::new();
        for second in 0..20 {
            let last = Some(t0 + LOOK * second.min(5));
            told.extend(watch.look(t0 + LOOK * second, true, last).map(|state| (second, state)));
        }
        assert_eq!(told, [(13, PathState::Silent(SilentCause::Uplink))]);
        assert_eq!(watch.look(t0 + LOOK * 21, false, None), Some(PathState::Over));
        assert_eq!(watch.look(t0 + LOOK * 22, true, None), None);
    }
}
