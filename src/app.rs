//! Builds everything from one configuration, starts it and takes it down again. Main uses it, and so do the tests.

use crate::api::{self, Entry, Outward, SignIn};
use crate::assets;
use crate::calendar::links::Links;
use crate::config::{Config, CredentialSource};
use crate::credentials::{self, CredentialsError};
use crate::deliveries::{Deliveries, DeliveryError};
use crate::door::MeetingDoor;
use crate::forwarded::{self, Proxies};
use crate::http::{HttpServer, ListenError, Listener};
use crate::hub::{self, HubTask};
use crate::live::Live;
use crate::live::bells::Bells;
use crate::oidc::ProvidersError;
use crate::ops::{self, Readiness};
use crate::outbox::Bell;
use crate::proceedings::{Recorder, RecorderSettings};
use crate::retention::RetentionTask;
use crate::store::{Store, StoreError};
use crate::vault::Vault;
use crate::webhooks::address::Reach;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use consilium_media_core::transport::identity::{Identity, IdentityError};
use consilium_media_net::{MediaConfig, MediaServer, StartError};
use consilium_signaling::access::ApiKeys;
use consilium_signaling::rooms::{Hooks, Listeners, Rooms, RoomsConfig};
use consilium_signaling::{session, twirp};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Scrapers and probes: a handful, so that a flood of them cannot take the server's memory.
const OPS_CONNECTIONS_MAX: usize = 64;
/// The room of the link that is printed at the first start.
const FIRST_ROOM: &str = "first-meeting";

/// What an operator types once.
const FIRST_ACCOUNT: &str = "consilium user create --role administrator --login LOGIN --name NAME";

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot start the media server: {0}")]
    Media(#[from] StartError),
    #[error("cannot make the server's certificate: {0}")]
    Identity(#[from] IdentityError),
    #[error("cannot open the database: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Providers(#[from] ProvidersError),
    #[error("there is no API key pair to derive keys from")]
    NoKeys,
    #[error("cannot start deliveries: {0}")]
    Deliveries(#[from] DeliveryError),
    #[error("cannot stop the media server: {0}")]
    Stop(#[from] tokio::task::JoinError),
}

/// A running server.
pub struct App {
    http_addr: SocketAddr,
    ops_addr: SocketAddr,
    keys: Arc<ApiKeys>,
    entry: Entry,
    http: HttpServer,
    ops: HttpServer,
    readiness: Readiness,
    rooms: Rooms,
    recorder: Recorder,
    hub: HubTask,
    retention: RetentionTask,
    media: MediaServer,
    live: Live,
    bells: Bells,
    store: Store,
    deliveries: Deliveries,
}

impl App {
    /// Everything is bound before anything answers. `config` has been validated by [`crate::config::load`].
    pub async fn start(config: &Config) -> Result<Self, AppError> {
        let keys = Arc::new(credentials::resolve(config)?);
        let entry = if config.open_rooms() { Entry::Open } else { Entry::ByToken };
        announce(config, entry);
        let sign_in = SignIn::new(config)?;
        let http = Listener::bind("pages, API and WebSocket", config.http.listen).await?;
        let ops = Listener::bind("operations", config.ops.listen).await?;
        let store = Store::open(&config.store_place()).await?;
        if !store.has_users().await? {
            tracing::info!("nobody has an account yet; make the first with: {FIRST_ACCOUNT}");
        }
        let (media, handle, events) = consilium_media_net::start(&media_config(config), Identity::generate()?)?;
        let mut listeners = Listeners::default();
        let (heard_by_recorder, heard_by_deliveries) = (listeners.listen(), listeners.listen());
        let hooks = Hooks { door: Arc::new(MeetingDoor::new(store.clone())), listeners };
        let rooms = Rooms::start(rooms_config(config), hooks, keys.clone(), handle.clone(), events);
        let (hub, hub_task) = hub::start(store.clone());
        let settings = RecorderSettings { grace: config.departure_timeout() };
        let recorder = Recorder::start(store.clone(), heard_by_recorder, settings);
        let retention = RetentionTask::start(store.clone(), config.retention);
        let bells = Bells::default();
        let live = Live::start(store.clone(), rooms.clone(), bells.clone()).await?;

        let (http_addr, ops_addr) = (http.address(), ops.address());
        let readiness = Readiness::default();
        let outward = outward(config, &keys, http_addr)?;
        let deliveries = Deliveries::start(config, &store, &outward, heard_by_deliveries).await?;
        let sources = ops::Sources { media: handle, rooms: rooms.clone(), outbox: deliveries.figures() };
        let ops = ops.serve(ops::router(sources, readiness.clone(), store.clone()), OPS_CONNECTIONS_MAX);
        let parts = api::Parts {
            store: store.clone(),
            rooms: rooms.clone(),
            keys: keys.clone(),
            entry,
            bells: bells.clone(),
            hub,
            sign_in,
            outward,
        };
        let routes =
            routes(rooms.clone(), keys.clone(), api::router(parts), Proxies::new(&config.http.trusted_proxies));
        let http = http.serve(routes, config.http.connections_max);
        readiness.set(true);
        tracing::info!(http = %http_addr, ops = %ops_addr, version = env!("CARGO_PKG_VERSION"), "the server is ready");
        Ok(Self {
            http_addr,
            ops_addr,
            keys,
            entry,
            http,
            ops,
            readiness,
            rooms,
            recorder,
            hub: hub_task,
            retention,
            media,
            live,
            bells,
            store,
            deliveries,
        })
    }

    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    pub fn ops_addr(&self) -> SocketAddr {
        self.ops_addr
    }

    pub fn keys(&self) -> &ApiKeys {
        &self.keys
    }

    pub fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A link that opens a ready-made room, where rooms are open. It carries no token, because links get logged.
    pub fn first_link(&self) -> Option<String> {
        match self.entry {
            Entry::Open if self.http_addr.ip().is_loopback() || self.http_addr.ip().is_unspecified() => {
                Some(format!("http://localhost:{}/m/{FIRST_ROOM}", self.http_addr.port()))
            }
            Entry::Open => Some(format!("http://{}/m/{FIRST_ROOM}", self.http_addr)),
            Entry::ByToken => None,
        }
    }

    /// Says goodbye to every participant, then stops media, then the listeners. Probes answer until the end.
    pub async fn shutdown(self) -> Result<(), AppError> {
        self.readiness.set(false);
        self.bells.close();
        self.rooms.shutdown().await;
        // Whoever listens to events would hold the listener up.
        self.hub.stop().await;
        self.http.shutdown().await;
        self.live.shutdown().await;
        self.recorder.stop().await;
        self.retention.stop().await;
        self.deliveries.shutdown().await;
        self.store.close().await;
        // Joining the workers blocks for as long as one of their rounds.
        tokio::task::spawn_blocking(move || self.media.shutdown()).await?;
        self.ops.shutdown().await;
        Ok(())
    }
}

fn routes(rooms: Rooms, keys: Arc<ApiKeys>, api: Router, proxies: Proxies) -> Router {
    Router::new()
        .merge(session::router(rooms.clone()))
        .merge(twirp::router(rooms, keys))
        .merge(api)
        .merge(assets::router())
        .layer(from_fn(api::security_headers))
        .layer(from_fn_with_state(proxies, forwarded::name_client))
}

fn outward(config: &Config, keys: &ApiKeys, http_addr: SocketAddr) -> Result<Outward, AppError> {
    let links = Links::new(&config.public_url(http_addr));
    let organizer = config.mail.from.clone().unwrap_or_else(|| format!("noreply@{}", links.host()));
    let reach = if config.private_webhooks() { Reach::Private } else { Reach::Public };
    let vault = Vault::new(keys).ok_or(AppError::NoKeys)?;
    Ok(Outward { vault, links, organizer, bell: Bell::default(), reach })
}

fn media_config(config: &Config) -> MediaConfig {
    let (bind_v4, bind_v6) = config.media_bind();
    let media = &config.media;
    MediaConfig {
        workers: media.workers,
        udp_port_base: media.udp_port,
        bind_v4,
        bind_v6,
        advertise: media.advertise.clone(),
        receive_buffer_bytes: media.receive_buffer_bytes,
        send_buffer_bytes: media.send_buffer_bytes,
        pin_workers: media.pin_workers,
        nice: media.nice,
        coalesce: Duration::from_micros(media.coalesce_microseconds.into()),
        ..MediaConfig::default()
    }
}

fn rooms_config(config: &Config) -> RoomsConfig {
    RoomsConfig {
        empty_timeout: config.empty_timeout(),
        departure_timeout: config.departure_timeout(),
        max_participants: config.rooms.participants_max,
        loudest_speakers: config.rooms.loudest_speakers,
        max_rooms: config.rooms.rooms_max,
        simulate: config.simulate(),
        ..RoomsConfig::default()
    }
}

/// What an operator should know before anyone joins.
fn announce(config: &Config, entry: Entry) {
    if config.credential_source() == CredentialSource::Development {
        tracing::warn!(
            data_dir = %config.data_dir.display(),
            "development credentials are in use, so the server stays on loopback; set CONSILIUM_API_KEY and \
             CONSILIUM_API_SECRET to open it"
        );
    }
    if entry == Entry::Open {
        tracing::warn!("rooms are open: whoever reaches the pages may enter any room without a token");
    }
    if !assets::are_embedded() {
        tracing::warn!("this build has no web pages");
    }
}
