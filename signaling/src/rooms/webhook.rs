//! A notice in the words that receivers of webhooks know. What people say of themselves is taken out: other systems are told
//! who is where by identifier alone.

use super::notices::Notice;
use livekit_protocol::{ParticipantInfo, Room, TrackInfo, WebhookEvent};

impl Notice {
    /// The JSON of the protocol's `WebhookEvent`, with this `id`.
    pub fn webhook(&self, id: &str) -> Result<String, serde_json::Error> {
        let event = WebhookEvent {
            event: self.kind().name().to_owned(),
            room: Some(nameless_room(&self.room)),
            participant: self.participant.as_ref().map(nameless_participant),
            track: self.track.as_ref().map(nameless_track),
            id: id.to_owned(),
            created_at: self.unix_ms() / 1_000,
            ..WebhookEvent::default()
        };
        serde_json::to_string(&event)
    }
}

fn nameless_room(room: &Room) -> Room {
    Room { metadata: String::new(), turn_password: String::new(), ..room.clone() }
}

fn nameless_participant(participant: &ParticipantInfo) -> ParticipantInfo {
    ParticipantInfo {
        name: String::new(),
        metadata: String::new(),
        attributes: Default::default(),
        tracks: participant.tracks.iter().map(nameless_track).collect(),
        ..participant.clone()
    }
}

/// Its name and stream are texts of its publisher.
fn nameless_track(track: &TrackInfo) -> TrackInfo {
    TrackInfo { name: String::new(), stream: String::new(), ..track.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::{Happening, RoomNotice};
    use serde_json::{Value, json};

    #[test]
    fn a_webhook_says_who_by_identifier_and_nothing_that_they_say_of_themselves() {
        let named = || "Wombat".to_owned();
        let track = TrackInfo { sid: "TR_1".into(), name: named(), stream: named(), ..TrackInfo::default() };
        let participant = ParticipantInfo {
            sid: "PA_1".into(),
            identity: "inv_1".into(),
            name: named(),
            metadata: named(),
            attributes: [("site".to_owned(), named())].into(),
            tracks: vec![track.clone()],
            ..ParticipantInfo::default()
        };
        let notice = RoomNotice { happening: Happening::TrackPublished(track), participant };
        let room = Room { name: "mtg_1".into(), sid: "RM_1".into(), metadata: named(), ..Room::default() };
        let text = Notice::of_participant(notice, 1_796_113_800_250, room).webhook("EV_1").unwrap();
        assert!(!text.contains("Wombat"), "{text}");
        let event: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&event["id"], &event["event"]), (&json!("EV_1"), &json!("track_published")));
        assert_eq!(event["createdAt"], "1796113800");
        let sids = [&event["room"]["name"], &event["participant"]["identity"], &event["track"]["sid"]];
        assert_eq!(sids, [&json!("mtg_1"), &json!("inv_1"), &json!("TR_1")]);
        assert_eq!(event["participant"]["tracks"][0]["sid"], "TR_1");
    }
}
