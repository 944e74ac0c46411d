//! The server API over HTTP: Twirp (protocol version 7), JSON or protobuf bodies.
//!
//! This file owns routes, authorisation and encoding. What a call does is [`Rooms`]' business.

mod error;

pub use error::{Code, TwirpError};

use crate::access::{ApiKeys, Claims};
use crate::rooms::{Refusal, Rooms};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use livekit_protocol as proto;
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::SystemTime;

/// Largest request body, in bytes. Data packets of 64,000 bytes grow by a third in JSON; metadata has bounds of its own.
pub const BODY_LEN_MAX: usize = 256 * 1024;
const SERVICE: &str = "livekit.RoomService";
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/protobuf";

pub fn router(rooms: Rooms, keys: Arc<ApiKeys>) -> Router {
    Router::new().route("/twirp/{service}/{method}", any(handle)).with_state(Api { rooms, keys })
}

#[derive(Clone)]
struct Api {
    rooms: Rooms,
    keys: Arc<ApiKeys>,
}

async fn handle(
    State(api): State<Api>,
    Path((service, method)): Path<(String, String)>,
    request: Request,
) -> Result<Response, TwirpError> {
    if service != SERVICE {
        return Err(TwirpError::new(Code::BadRoute, "there is no such service"));
    }
    if request.method() != Method::POST {
        return Err(TwirpError::new(Code::BadRoute, "only POST is accepted"));
    }
    let format = Format::of(request.headers())?;
    let claims = authenticate(&api.keys, request.headers())?;
    let body = read(request.into_body()).await?;
    let call = Call { rooms: api.rooms, claims, format, body };
    call.dispatch(&method).await
}

/// The encoding of request and response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Json,
    Protobuf,
}

impl Format {
    fn of(headers: &HeaderMap) -> Result<Self, TwirpError> {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case(JSON) {
            Ok(Self::Json)
        } else if media_type.eq_ignore_ascii_case(PROTOBUF) {
            Ok(Self::Protobuf)
        } else {
            Err(TwirpError::new(Code::BadRoute, "the Content-Type must be application/json or application/protobuf"))
        }
    }

    fn decode<T: Message + Default + DeserializeOwned>(self, body: &[u8]) -> Result<T, TwirpError> {
        match self {
            Self::Json => serde_json::from_slice(body)
                .map_err(|_| TwirpError::new(Code::Malformed, "the body is not the JSON of the request")),
            Self::Protobuf => {
                T::decode(body).map_err(|_| TwirpError::new(Code::Malformed, "the body is not the request's protobuf"))
            }
        }
    }

    fn encode<T: Message + Serialize>(self, response: &T) -> Result<Response, TwirpError> {
        match self {
            Self::Json => serde_json::to_vec(response)
                .map(|body| ([(CONTENT_TYPE, JSON)], body).into_response())
                .map_err(|_| TwirpError::new(Code::Internal, "the response cannot be written as JSON")),
            Self::Protobuf => Ok(([(CONTENT_TYPE, PROTOBUF)], response.encode_to_vec()).into_response()),
        }
    }
}

/// What a call demands of the token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Demand<'a> {
    Create,
    List,
    /// Administration of this room.
    Administer(&'a str),
}

impl Demand<'_> {
    fn check(self, claims: &Claims) -> Result<(), TwirpError> {
        let (is_met, message) = match self {
            Self::Create => (claims.video.room_create, "the access token does not grant roomCreate"),
            Self::List => (claims.video.room_list, "the access token does not grant roomList"),
            Self::Administer(room) => {
                (claims.video.may_administer(room), "the access token does not grant roomAdmin for this room")
            }
        };
        if is_met { Ok(()) } else { Err(TwirpError::new(Code::PermissionDenied, message)) }
    }
}

/// One authenticated request.
struct Call {
    rooms: Rooms,
    claims: Claims,
    format: Format,
    body: Bytes,
}

impl Call {
    async fn dispatch(self, method: &str) -> Result<Response, TwirpError> {
        let rooms = self.rooms.clone();
        match method {
            "CreateRoom" => self.run(|_| Demand::Create, |request| rooms.create_room(request)).await,
            "ListRooms" => self.run(|_| Demand::List, |request| rooms.list_rooms(request)).await,
            "DeleteRoom" => self.run(|_| Demand::Create, |request| rooms.delete_room(request)).await,
            "ListParticipants" => self.administer(|request| rooms.list_participants(request)).await,
            "GetParticipant" => self.administer(|request| rooms.get_participant(request)).await,
            "RemoveParticipant" => self.administer(|request| rooms.remove_participant(request)).await,
            "MutePublishedTrack" => self.administer(|request| rooms.mute_published_track(request)).await,
            "UpdateParticipant" => self.administer(|request| rooms.update_participant(request)).await,
            "UpdateSubscriptions" => self.administer(|request| rooms.update_subscriptions(request)).await,
            "SendData" => self.administer(|request| rooms.send_data(request)).await,
            "UpdateRoomMetadata" => self.administer(|request| rooms.update_room_metadata(request)).await,
            "ForwardParticipant" => self.refuse::<proto::ForwardParticipantRequest>(),
            "MoveParticipant" => self.refuse::<proto::MoveParticipantRequest>(),
            "PerformRpc" => self.refuse::<proto::PerformRpcRequest>(),
            _ => Err(TwirpError::new(Code::BadRoute, "there is no such method")),
        }
    }

    async fn administer<Q, P, F>(self, verb: impl FnOnce(Q) -> F) -> Result<Response, TwirpError>
    where
        Q: Message + Default + DeserializeOwned + InRoom,
        P: Message + Serialize,
        F: Future<Output = Result<P, Refusal>>,
    {
        self.run(|request: &Q| Demand::Administer(request.room()), verb).await
    }

    async fn run<Q, P, F>(
        self,
        demand: impl FnOnce(&Q) -> Demand<'_>,
        verb: impl FnOnce(Q) -> F,
    ) -> Result<Response, TwirpError>
    where
        Q: Message + Default + DeserializeOwned,
        P: Message + Serialize,
        F: Future<Output = Result<P, Refusal>>,
    {
        let request: Q = self.format.decode(&self.body)?;
        demand(&request).check(&self.claims)?;
        let response = verb(request).await.map_err(TwirpError::from)?;
        self.format.encode(&response)
    }

    /// A method of the service that this server does not have. Who may not call it is not told so.
    fn refuse<Q: Message + Default + DeserializeOwned + InRoom>(self) -> Result<Response, TwirpError> {
        let request: Q = self.format.decode(&self.body)?;
        Demand::Administer(request.room()).check(&self.claims)?;
        Err(TwirpError::new(Code::Unimplemented, "this server does not offer this method"))
    }
}

/// A request about one room.
trait InRoom {
    fn room(&self) -> &str;
}

macro_rules! in_room {
    ($($request:ident),+ $(,)?) => {
        $(impl InRoom for proto::$request {
            fn room(&self) -> &str {
                &self.room
            }
        })+
    };
}

in_room!(
    ListParticipantsRequest,
    RoomParticipantIdentity,
    MuteRoomTrackRequest,
    UpdateParticipantRequest,
    UpdateSubscriptionsRequest,
    SendDataRequest,
    UpdateRoomMetadataRequest,
    ForwardParticipantRequest,
    MoveParticipantRequest,
    PerformRpcRequest,
);

fn authenticate(keys: &ApiKeys, headers: &HeaderMap) -> Result<Claims, TwirpError> {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // RFC 9110 section 11.1: the scheme's name is case-insensitive.
    let token = match authorization.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => "",
    };
    keys.verify(token, SystemTime::now()).map_err(TwirpError::from)
}

async fn read(body: Body) -> Result<Bytes, TwirpError> {
    to_bytes(body, BODY_LEN_MAX)
        .await
        .map_err(|_| TwirpError::new(Code::Malformed, "the body is over the limit or broke off"))
}

#[cfg(test)]
mod tests;
