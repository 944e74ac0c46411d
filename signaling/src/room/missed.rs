//! What a client would have been told while it had no session, for when it is back.
//!
//! Who is here, who speaks and how everybody is connected is told anew on every resume, and descriptions are exchanged anew;
//! of those nothing is kept.

use livekit_protocol::signal_response::Message;
use std::collections::VecDeque;

/// Messages kept for one participant: what a busy meeting says to one client in a resume's window, many times over. Of more,
/// the newest are kept.
const MESSAGES_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Missed {
    messages: VecDeque<Message>,
}

impl Missed {
    pub(super) fn keep(&mut self, message: Message) {
        if is_told_anew(&message) {
            return;
        }
        if self.messages.len() >= MESSAGES_MAX {
            self.messages.pop_front();
        }
        self.messages.push_back(message);
    }

    pub(super) fn take(&mut self) -> impl Iterator<Item = Message> + use<> {
        std::mem::take(&mut self.messages).into_iter()
    }
}

fn is_told_anew(message: &Message) -> bool {
    matches!(
        message,
        Message::Update(_)
            | Message::RoomUpdate(_)
            | Message::SpeakersChanged(_)
            | Message::ConnectionQuality(_)
            | Message::SubscribedQualityUpdate(_)
            | Message::Offer(_)
            | Message::Answer(_)
            | Message::Trickle(_)
            | Message::MediaSectionsRequirement(_)
            | Message::Pong(_)
            | Message::PongResp(_)
            | Message::Leave(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use livekit_protocol::{MuteTrackRequest, RoomUpdate};

    #[test]
    fn the_newest_of_what_is_not_told_anew_is_kept_and_told_once() {
        let mut missed = Missed::default();
        for n in 0..2 * MESSAGES_MAX {
            missed.keep(Message::RoomUpdate(RoomUpdate::default()));
            missed.keep(Message::Mute(MuteTrackRequest { sid: n.to_string(), muted: true }));
        }
        let told: Vec<_> = missed.take().collect();
        assert_eq!(told.len(), MESSAGES_MAX);
        assert!(matches!(told.last(), Some(Message::Mute(mute)) if mute.sid == (2 * MESSAGES_MAX - 1).to_string()));
        assert_eq!(missed.take().count(), 0);
    }
}
