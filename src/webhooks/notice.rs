//! What endpoints are told of an event of the product, in the frame that receivers of the open protocol know: `id`, `event`,
//! `createdAt` in seconds, as text. Pure.

use crate::ids::NoticeId;
use crate::store::events::Event;
use serde_json::json;

pub(super) fn body(id: &NoticeId, event: &Event) -> String {
    json!({
        "id": id,
        "event": event.kind,
        "createdAt": (event.at.ms() / 1_000).to_string(),
        "subject": event.subject,
        "sequence": event.sequence,
        "data": event.body,
    })
    .to_string()
}
