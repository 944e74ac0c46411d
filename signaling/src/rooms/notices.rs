//! What the application is told of all rooms: a bounded stream of notices for each listener. A listener that does not keep
//! up loses notices, which are counted; no room ever waits for one.

use crate::room::{Happening, RoomNotice};
use livekit_protocol::{ParticipantInfo, TrackInfo};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Notices that wait for one listener: everybody of the largest server joining within a second or two.
const NOTICES_MAX: usize = 8_192;

/// What happened in a room. The words are the field's own for webhooks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NoticeKind {
    RoomStarted,
    RoomFinished,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantConnectionAborted,
    TrackPublished,
    TrackUnpublished,
}

impl NoticeKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoomStarted => "room_started",
            Self::RoomFinished => "room_finished",
            Self::ParticipantJoined => "participant_joined",
            Self::ParticipantLeft => "participant_left",
            Self::ParticipantConnectionAborted => "participant_connection_aborted",
            Self::TrackPublished => "track_published",
            Self::TrackUnpublished => "track_unpublished",
        }
    }
}

/// One notice. It holds names and whatever else participants say of themselves: who passes it on takes those out.
#[derive(Clone, Debug)]
pub struct Notice {
    kind: NoticeKind,
    unix_ms: i64,
    pub(super) room: livekit_protocol::Room,
    pub(super) participant: Option<ParticipantInfo>,
    pub(super) track: Option<TrackInfo>,
}

impl Notice {
    pub(super) fn of_room(kind: NoticeKind, unix_ms: i64, room: livekit_protocol::Room) -> Self {
        Self { kind, unix_ms, room, participant: None, track: None }
    }

    pub(super) fn of_participant(notice: RoomNotice, unix_ms: i64, room: livekit_protocol::Room) -> Self {
        let (kind, track) = match notice.happening {
            Happening::Joined => (NoticeKind::ParticipantJoined, None),
            Happening::Left => (NoticeKind::ParticipantLeft, None),
            Happening::ConnectionAborted => (NoticeKind::ParticipantConnectionAborted, None),
            Happening::TrackPublished(track) => (NoticeKind::TrackPublished, Some(track)),
            Happening::TrackUnpublished(track) => (NoticeKind::TrackUnpublished, Some(track)),
        };
        Self { kind, unix_ms, room, participant: Some(notice.participant), track }
    }

    pub fn kind(&self) -> NoticeKind {
        self.kind
    }

    /// Milliseconds since the Unix epoch.
    pub fn unix_ms(&self) -> i64 {
        self.unix_ms
    }

    pub fn room_name(&self) -> &str {
        &self.room.name
    }

    /// Different each time that a room of this name is opened.
    pub fn room_sid(&self) -> &str {
        &self.room.sid
    }

    /// As the participant's token says. `None` where the notice is about the room.
    pub fn identity(&self) -> Option<&str> {
        self.participant.as_ref().map(|participant| participant.identity.as_str())
    }

    /// Different each time that somebody joins. `None` where the notice is about the room.
    pub fn participant_sid(&self) -> Option<&str> {
        self.participant.as_ref().map(|participant| participant.sid.as_str())
    }

    /// `None` where the notice is about no track.
    pub fn track_sid(&self) -> Option<&str> {
        self.track.as_ref().map(|track| track.sid.as_str())
    }
}

/// A listener's end of the stream.
pub type Notices = mpsc::Receiver<Arc<Notice>>;

/// Everybody who listens.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    senders: Vec<mpsc::Sender<Arc<Notice>>>,
}

impl Listeners {
    /// Hears everything from the start of the rooms on.
    pub fn listen(&mut self) -> Notices {
        let (sender, receiver) = mpsc::channel(NOTICES_MAX);
        self.senders.push(sender);
        receiver
    }

    pub(super) fn is_empty(&self) -> bool {
        self.senders.is_empty()
    }

    /// Returns how many listeners had no room for it. One that has stopped listening misses nothing.
    pub(super) fn tell(&self, notice: Notice) -> u64 {
        let notice = Arc::new(notice);
        let is_full = |sender: &&mpsc::Sender<Arc<Notice>>| {
            matches!(sender.try_send(notice.clone()), Err(mpsc::error::TrySendError::Full(_)))
        };
        self.senders.iter().filter(is_full).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_that_does_not_keep_up_loses_notices_and_no_other_does() {
        let mut listeners = Listeners::default();
        let (mut quick, _slow, gone) = (listeners.listen(), listeners.listen(), listeners.listen());
        drop(gone);
        let notice = || Notice::of_room(NoticeKind::RoomStarted, 1, livekit_protocol::Room::default());
        let mut lost = 0;
        for _ in 0..NOTICES_MAX + 3 {
            lost += listeners.tell(notice());
            assert_eq!(quick.try_recv().map(|notice| notice.kind()), Ok(NoticeKind::RoomStarted));
        }
        assert_eq!(lost, 3);
    }
}
