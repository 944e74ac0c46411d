//! Counters for metrics: what the protocol edge did, by closed sets of results and reasons.
//!
//! It knows no room, no person and no message content.

use std::sync::atomic::{AtomicU64, Ordering};

/// A closed enum whose variants are counted one by one; `name` is the metric's label.
macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
        }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)+
                }
            }
        }
    };
}

labels!(
    /// How a request to join ended.
    JoinResult {
        Ok = "ok",
        Resumed = "resumed",
        TokenMissing = "token_missing",
        TokenExpired = "token_expired",
        TokenNotYetValid = "token_not_yet_valid",
        /// Malformed, forged, or signed with an unknown key.
        TokenInvalid = "token_invalid",
        /// A good token without the grant to join.
        NotAllowed = "not_allowed",
        /// A good token of somebody whom the application does not let in now.
        Denied = "denied",
        /// The request itself could not be read.
        Malformed = "malformed",
        RoomFull = "room_full",
        TooManyRooms = "too_many_rooms",
        Unavailable = "unavailable",
    }
);

labels!(
    /// Why a client's session ended.
    SessionEnd {
        /// The client said goodbye.
        Left = "left",
        /// The client closed the WebSocket, or its connection broke, without saying goodbye.
        ConnectionLost = "connection_lost",
        /// Nothing was heard for the ping timeout.
        PingTimeout = "ping_timeout",
        /// The client does not read what it is sent.
        SlowReader = "slow_reader",
        /// More messages than the rate limit allows.
        Flood = "flood",
        /// More reliable messages on data channels than a participant may send.
        DataFlood = "data_flood",
        MessageTooLarge = "message_too_large",
        /// A frame, message, description or candidate that cannot be read.
        Malformed = "malformed",
        /// A newer session of the same participant took over.
        Replaced = "replaced",
        DuplicateIdentity = "duplicate_identity",
        Removed = "removed",
        RoomDeleted = "room_deleted",
        /// An offer was not answered in time.
        NoAnswer = "no_answer",
        /// The media connection failed.
        MediaFailed = "media_failed",
        /// A session was to be resumed that the server does not know.
        StateMismatch = "state_mismatch",
        Shutdown = "shutdown",
        /// The client asked for a fault.
        Simulated = "simulated",
    }
);

labels!(
    /// Why a participant's packet on a data channel went nowhere.
    DataDrop {
        TooLarge = "too_large",
        /// Not a data packet, or one that only servers send.
        Malformed = "malformed",
        /// The sender has no right to send data.
        Forbidden = "forbidden",
        /// Not on one of the channels of the client protocol.
        UnknownChannel = "unknown_channel",
        /// Sent again by a client that resumed; it had arrived.
        Duplicate = "duplicate",
    }
);

/// Counters of the protocol edge. Gauges go up and down, everything else only grows.
#[derive(Default)]
pub struct Stats {
    rooms: AtomicU64,
    participants: AtomicU64,
    sessions: AtomicU64,
    joins: [AtomicU64; JoinResult::ALL.len()],
    session_ends: [AtomicU64; SessionEnd::ALL.len()],
    messages_received: AtomicU64,
    bytes_received: AtomicU64,
    messages_sent: AtomicU64,
    bytes_sent: AtomicU64,
    malformed: AtomicU64,
    data_dropped: [AtomicU64; DataDrop::ALL.len()],
    events_dropped: AtomicU64,
    notices_lost: AtomicU64,
}

/// One reading of all counters.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub rooms: u64,
    pub participants: u64,
    pub sessions: u64,
    pub joins: Vec<(JoinResult, u64)>,
    pub session_ends: Vec<(SessionEnd, u64)>,
    pub messages_received: u64,
    pub bytes_received: u64,
    pub messages_sent: u64,
    pub bytes_sent: u64,
    /// Frames, descriptions and candidates that could not be read.
    pub malformed: u64,
    pub data_dropped: Vec<(DataDrop, u64)>,
    /// Media events that a busy room did not take (loudness, lossy data, and what a participant sent whom that ended).
    pub events_dropped: u64,
    /// Notices for which a listener of the application had no room.
    pub notices_lost: u64,
}

impl Stats {
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            rooms: read(&self.rooms),
            participants: read(&self.participants),
            sessions: read(&self.sessions),
            joins: JoinResult::ALL.iter().map(|&result| (result, read(&self.joins[result as usize]))).collect(),
            session_ends: SessionEnd::ALL.iter().map(|&end| (end, read(&self.session_ends[end as usize]))).collect(),
            messages_received: read(&self.messages_received),
            bytes_received: read(&self.bytes_received),
            messages_sent: read(&self.messages_sent),
            bytes_sent: read(&self.bytes_sent),
            malformed: read(&self.malformed),
            data_dropped: DataDrop::ALL.iter().map(|&drop| (drop, read(&self.data_dropped[drop as usize]))).collect(),
            events_dropped: read(&self.events_dropped),
            notices_lost: read(&self.notices_lost),
        }
    }

    pub(crate) fn count_join(&self, result: JoinResult) {
        add(&self.joins[result as usize], 1);
    }

    pub(crate) fn session_opened(&self) {
        add(&self.sessions, 1);
    }

    pub(crate) fn session_ended(&self, end: SessionEnd) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
        add(&self.session_ends[end as usize], 1);
    }

    pub(crate) fn received(&self, bytes: usize) {
        add(&self.messages_received, 1);
        add(&self.bytes_received, bytes as u64);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        add(&self.messages_sent, 1);
        add(&self.bytes_sent, bytes as u64);
    }

    pub(crate) fn count_malformed(&self) {
        add(&self.malformed, 1);
    }

    pub(crate) fn count_dropped_data(&self, reason: DataDrop) {
        add(&self.data_dropped[reason as usize], 1);
    }

    pub(crate) fn count_dropped_event(&self) {
        add(&self.events_dropped, 1);
    }

    pub(crate) fn count_lost_notices(&self, lost: u64) {
        add(&self.notices_lost, lost);
    }

    pub(crate) fn room_opened(&self) {
        add(&self.rooms, 1);
    }

    pub(crate) fn room_closed(&self) {
        self.rooms.fetch_sub(1, Ordering::Relaxed);
    }

    /// Moves the gauge from one room's `before` to `after`.
    pub(crate) fn participants_changed(&self, before: usize, after: usize) {
        if after >= before {
            add(&self.participants, (after - before) as u64);
        } else {
            self.participants.fetch_sub((before - after) as u64, Ordering::Relaxed);
        }
    }
}

fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_tells_results_and_reasons_apart() {
        let stats = Stats::default();
        stats.count_join(JoinResult::Ok);
        stats.count_join(JoinResult::RoomFull);
        stats.count_join(JoinResult::RoomFull);
        stats.session_opened();
        stats.session_ended(SessionEnd::Flood);
        let snapshot = stats.snapshot();
        assert!(snapshot.joins.contains(&(JoinResult::RoomFull, 2)));
        assert!(snapshot.session_ends.contains(&(SessionEnd::Flood, 1)));
        assert_eq!(snapshot.sessions, 0);
    }

    #[test]
    fn gauges_follow_both_ways() {
        let stats = Stats::default();
        stats.participants_changed(0, 3);
        stats.participants_changed(3, 1);
        assert_eq!(stats.snapshot().participants, 1);
    }
}
