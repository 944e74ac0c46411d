//! The configuration: one typed struct with its defaults. It knows what each key means, not where its value came from
//! (that is `load`) nor whether the values fit together (that is `validate`).

mod error;
mod identity;
mod load;
mod public_url;
mod validate;

pub use error::{ConfigError, ConfigErrors};
pub use identity::{ClaimNames, IdentityConfig, ProviderConfig, RoleValues};
pub use load::{CONFIG_FILE_VARIABLE, ENVIRONMENT_PREFIX, Loaded, Overrides, load};
pub use public_url::PublicUrl;
pub(crate) use public_url::is_loopback;

use crate::retention::Rules;
use crate::store::Place;
use consilium_media_net::{COALESCE_DEFAULT, NICE_DEFAULT, SOCKET_BUFFER_BYTES_DEFAULT, UDP_PORT_BASE_DEFAULT};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the server keeps what must outlive it.
    pub data_dir: PathBuf,
    /// Whether anyone who reaches the page may enter any room without a token. Absent: only with development
    /// credentials, which keep the server on loopback.
    pub open_rooms: Option<bool>,
    pub api: ApiConfig,
    pub http: HttpConfig,
    pub ops: OpsConfig,
    pub media: MediaSettings,
    pub rooms: RoomSettings,
    pub store: StoreConfig,
    pub identity: IdentityConfig,
    pub mail: MailConfig,
    pub webhooks: WebhookConfig,
    /// How long what is kept, in days.
    pub retention: Rules,
    pub log: LogConfig,
}

/// The API key pair that hosts sign tokens with. Both or neither.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiConfig {
    pub key: Option<String>,
    pub secret: Option<Secret>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Pages, API and WebSocket.
    pub listen: SocketAddr,
    /// Connections served at once; more wait in the kernel's backlog. WebSockets leave this count once upgraded.
    pub connections_max: usize,
    /// How people reach this server: `https://meet.example.org`. Absent: browsers, as they call it; links in calendars and mails
    /// name this host.
    pub public_url: Option<PublicUrl>,
    /// Proxies whose word is taken for who is calling (`X-Forwarded-For`). Without it, all who come through one are one caller to
    /// the limits.
    pub trusted_proxies: Vec<IpAddr>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpsConfig {
    /// Metrics and probes. Nothing here asks who is calling, so it belongs on loopback or an inner network.
    pub listen: SocketAddr,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaSettings {
    /// Media threads; 0 is one per core.
    pub workers: usize,
    /// UDP port of the first worker; worker i has this plus i. 0 lets the system choose.
    pub udp_port: u16,
    /// At most one address per family. Empty: loopback with development credentials, else every address.
    pub bind: Vec<IpAddr>,
    /// When not empty, exactly these addresses are told to clients, even if this host does not own them.
    pub advertise: Vec<IpAddr>,
    pub receive_buffer_bytes: usize,
    pub send_buffer_bytes: usize,
    /// Whether each worker's thread stays on one core.
    pub pin_workers: bool,
    /// Niceness of the media threads: -20 (before all others) to 19. Below 0 needs CAP_SYS_NICE or RLIMIT_NICE.
    pub nice: i32,
    /// Longest time that a busy worker lets datagrams gather, in microseconds; 0 turns it off.
    pub coalesce_microseconds: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomSettings {
    /// How long a room that nobody joined is kept.
    pub empty_timeout_seconds: u32,
    /// How long a room is kept after the last one left.
    pub departure_timeout_seconds: u32,
    /// Rooms at a time.
    pub rooms_max: usize,
    /// Participants in a room; 0 leaves only the server's own bound.
    pub participants_max: u32,
    /// Whether clients may ask for faults, to see whether they survive them. Absent: only with development credentials.
    pub simulate: Option<bool>,
    /// Audio tracks that a room forwards, the loudest; 0 is all.
    pub loudest_speakers: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// `postgres://user:password@host/database`. Absent: SQLite in the data directory.
    pub url: Option<Secret>,
    /// Connections to PostgreSQL. SQLite needs no choice.
    pub connections_max: u32,
}

/// The server that takes our mails. Without a host, none are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    pub host: Option<String>,
    pub port: u16,
    pub tls: MailTls,
    /// Both or neither.
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// The address that invitations come from, and that calendars answer.
    pub from: Option<String>,
    /// Attempts until a mail is given up.
    pub attempts_max: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// From the first byte (RFC 8314).
    Tls,
    /// After a greeting in the clear (RFC 3207); without it, nothing is sent.
    Starttls,
    /// For a relay on an inner network.
    None,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Whether endpoints may be inside: on private and loopback addresses. Absent: only with development credentials.
    pub private_addresses: Option<bool>,
    /// Attempts until an event is given up: 24 are about half a day.
    pub attempts_max: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    pub format: LogFormat,
    /// In the syntax of tracing's `EnvFilter`: a level, or levels per target.
    pub filter: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// A value that is neither printed nor logged.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Named so that a reader of the call sees what is given away.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[hidden]")
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            open_rooms: None,
            api: ApiConfig::default(),
            http: HttpConfig {
                listen: loopback(8080),
                connections_max: 4_096,
                public_url: None,
                trusted_proxies: Vec::new(),
            },
            ops: OpsConfig { listen: loopback(9091) },
            media: MediaSettings {
                workers: 0,
                udp_port: UDP_PORT_BASE_DEFAULT,
                bind: Vec::new(),
                advertise: Vec::new(),
                receive_buffer_bytes: SOCKET_BUFFER_BYTES_DEFAULT,
                send_buffer_bytes: SOCKET_BUFFER_BYTES_DEFAULT,
                pin_workers: true,
                nice: NICE_DEFAULT,
                coalesce_microseconds: COALESCE_DEFAULT.as_micros() as u32,
            },
            rooms: RoomSettings {
                empty_timeout_seconds: 300,
                departure_timeout_seconds: 20,
                // The design unit is one hospital trust with 132 meetings at peak; this is ten of them.
                rooms_max: 1_500,
                participants_max: 0,
                simulate: None,
                loudest_speakers: 0,
            },
            store: StoreConfig { url: None, connections_max: 10 },
            identity: IdentityConfig::default(),
            mail: MailConfig {
                host: None,
                port: 587,
                tls: MailTls::Starttls,
                username: None,
                password: None,
                from: None,
                attempts_max: 24,
            },
            webhooks: WebhookConfig { private_addresses: None, attempts_max: 24 },
            retention: Rules::default(),
            log: LogConfig { format: LogFormat::Text, filter: "info".into() },
        }
    }
}

/// Whose credentials are in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CredentialSource {
    Configured,
    /// Generated into the data directory, never to be reachable from outside this host.
    Development,
}

impl Config {
    pub fn credential_source(&self) -> CredentialSource {
        match (&self.api.key, &self.api.secret) {
            (Some(_), Some(_)) => CredentialSource::Configured,
            _ => CredentialSource::Development,
        }
    }

    pub fn open_rooms(&self) -> bool {
        self.open_rooms.unwrap_or(self.credential_source() == CredentialSource::Development)
    }

    pub fn simulate(&self) -> bool {
        self.rooms.simulate.unwrap_or(self.credential_source() == CredentialSource::Development)
    }

    pub fn private_webhooks(&self) -> bool {
        self.webhooks.private_addresses.unwrap_or(self.credential_source() == CredentialSource::Development)
    }

    /// What links begin with, where the pages are served at `address`.
    pub fn public_url(&self, address: SocketAddr) -> String {
        match &self.http.public_url {
            Some(url) => url.origin().to_owned(),
            None if address.ip().is_loopback() || address.ip().is_unspecified() => {
                format!("http://localhost:{}", address.port())
            }
            None => format!("http://{address}"),
        }
    }

    /// The address that media is bound to, per family.
    pub fn media_bind(&self) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
        if self.media.bind.is_empty() {
            let v6 = host_has_ipv6();
            return match self.credential_source() {
                CredentialSource::Development => (Some(Ipv4Addr::LOCALHOST), v6.then_some(Ipv6Addr::LOCALHOST)),
                CredentialSource::Configured => (Some(Ipv4Addr::UNSPECIFIED), v6.then_some(Ipv6Addr::UNSPECIFIED)),
            };
        }
        let v4 = self.media.bind.iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        });
        let v6 = self.media.bind.iter().find_map(|address| match address {
            IpAddr::V6(address) => Some(*address),
            IpAddr::V4(_) => None,
        });
        (v4, v6)
    }

    /// Where what must outlive the server is kept.
    pub fn store_place(&self) -> Place {
        match &self.store.url {
            Some(url) => Place::Postgres { url: url.clone(), connections_max: self.store.connections_max },
            None => Place::Sqlite { data_dir: self.data_dir.clone() },
        }
    }

    pub fn empty_timeout(&self) -> Duration {
        Duration::from_secs(self.rooms.empty_timeout_seconds.into())
    }

    pub fn departure_timeout(&self) -> Duration {
        Duration::from_secs(self.rooms.departure_timeout_seconds.into())
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Containers often have no IPv6 at all; a default must start there too.
fn host_has_ipv6() -> bool {
    if_addrs::get_if_addrs().is_ok_and(|interfaces| interfaces.iter().any(|interface| interface.ip().is_ipv6()))
}
