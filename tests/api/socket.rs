//! A participant's WebSocket, without any media: enough to be in a room, and to see what the server sends.

use crate::harness::Server;
use futures_util::StreamExt;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{DisconnectReason, JoinResponse, ParticipantInfo, SignalResponse, leave_request};
use prost::Message as _;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// No answer takes this long on a loopback socket.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) join: JoinResponse,
}

impl Socket {
    /// In the room, or the sentence with which the door stays shut.
    pub(crate) async fn join(server: &Server, token: &str) -> Result<Self, String> {
        let url = format!("ws://{}/rtc/v1?access_token={token}", server.app.http_addr());
        let mut stream = match connect_async(url).await {
            Ok((stream, _)) => stream,
            Err(Error::Http(response)) => {
                return Err(String::from_utf8(response.body().clone().unwrap_or_default()).unwrap());
            }
            Err(error) => panic!("{error}"),
        };
        match receive(&mut stream).await {
            Some(Message::Join(join)) => Ok(Self { stream, join }),
            other => panic!("the first message is {other:?}"),
        }
    }

    /// What the room says first that is looked for.
    pub(crate) async fn until<T>(&mut self, find: impl Fn(Message) -> Option<T>) -> T {
        loop {
            let message = receive(&mut self.stream).await.expect("the session stays open");
            if let Some(found) = find(message) {
                return found;
            }
        }
    }

    /// Why the client was sent away for good.
    pub(crate) async fn sent_away(&mut self) -> DisconnectReason {
        self.until(|message| match message {
            Message::Leave(leave) => {
                assert_eq!(leave.action(), leave_request::Action::Disconnect);
                Some(leave.reason())
            }
            _ => None,
        })
        .await
    }

    /// The next time that the client is told how the server sees this person.
    pub(crate) async fn told_of(&mut self, identity: &str) -> ParticipantInfo {
        self.until(|message| match message {
            Message::Update(update) => update.participants.into_iter().find(|info| info.identity == identity),
            _ => None,
        })
        .await
    }
}

async fn receive(stream: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) -> Option<Message> {
    loop {
        let frame = tokio::time::timeout(PATIENCE, stream.next()).await.expect("an answer in time")?;
        match frame {
            Ok(Frame::Binary(bytes)) => return SignalResponse::decode(&bytes[..]).unwrap().message,
            Ok(Frame::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}
