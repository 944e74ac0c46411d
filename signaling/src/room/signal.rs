//! What a client asks for, one message at a time.

use super::{Now, Room, SessionId};
use livekit_protocol::request_response::Reason;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{Pong, SignalRequest, request_response};

impl Room {
    /// A session that is closed already is not heard any more.
    #[allow(deprecated, reason = "older SDKs still send the deprecated messages")]
    pub fn handle_request(&mut self, now: Now, session: SessionId, request: SignalRequest) {
        self.set_present(now);
        let (Some(key), Some(request)) = (self.key_of(session), request.message) else { return };
        match request {
            Request::Offer(offer) => self.handle_offer(now, key, &offer),
            Request::Answer(answer) => self.handle_answer(now, key, &answer),
            Request::Trickle(trickle) => self.handle_trickle(now, key, &trickle),
            Request::AddTrack(request) => self.handle_add_track(now, key, request),
            Request::Mute(request) => self.handle_mute(key, &request),
            Request::Subscription(request) => self.handle_subscription(key, request),
            Request::TrackSetting(request) => self.handle_track_setting(key, &request),
            Request::Leave(_) => self.handle_leave(now, key),
            Request::SubscriptionPermission(request) => self.handle_subscription_permission(key, request),
            Request::UpdateMetadata(request) => self.handle_update_metadata(key, request),
            Request::UpdateAudioTrack(request) => self.handle_update_audio_track(key, request),
            Request::UpdateVideoTrack(request) => self.handle_update_video_track(key, &request),
            Request::Ping(_) => self.tell(key, Message::Pong(now.unix_ms)),
            Request::PingReq(ping) => {
                let pong = Pong { last_ping_timestamp: ping.timestamp, timestamp: now.unix_ms };
                self.tell(key, Message::PongResp(pong));
            }
            // What we would do with a data track is to drop it; the client is told instead.
            Request::PublishDataTrackRequest(request) => {
                let request = request_response::Request::PublishDataTrack(request);
                self.respond(key, 0, Reason::UnsupportedType, "data tracks are not supported", Some(request));
            }
            Request::SyncState(state) => self.handle_sync_state(key, state),
            Request::Simulate(request) => self.handle_simulate(now, key, &request),
            // Layers that are sent are seen in the packets. The rest asks for what this server does not have.
            Request::UpdateLayers(_)
            | Request::UnpublishDataTrackRequest(_)
            | Request::UpdateDataSubscription(_)
            | Request::StoreDataBlobRequest(_)
            | Request::GetDataBlobRequest(_) => {}
        }
    }
}
