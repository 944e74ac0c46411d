//! A provider of OpenID Connect that is honest until it is told to lie, one lie at a time.

use crate::browser::Browser;
use crate::harness::{Answer, Request, Server};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use consilium::config::{Config, ProviderConfig, PublicUrl, RoleValues, Secret};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) const ID: &str = "nhs";
pub(crate) const CLIENT: &str = "consilium";
pub(crate) const CLIENT_SECRET: &str = "a secret between the two";
const SITE: &str = "http://localhost:8080";

/// What is not as it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lie {
    None,
    DiscoveryIssuer,
    DiscoveryLength,
    DiscoverySilence,
    Issuer,
    Audience,
    OneAudienceMore,
    AuthorizedParty,
    Nonce,
    NoNonce,
    Key,
    AlgorithmNone,
    SharedSecret,
    Expired,
    FromTheFuture,
    NoIdToken,
    Error,
    Nonsense,
    Redirect,
    Length,
    Silence,
    UserInfoOfAnother,
    Name,
    Subject,
}

struct Key {
    id: String,
    pkcs8: Vec<u8>,
    public: Vec<u8>,
}

impl Key {
    fn new(id: &str) -> Self {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap().as_ref().to_vec();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap();
        Self { id: id.to_owned(), public: pair.public_key().as_ref().to_vec(), pkcs8 }
    }

    fn sign(&self, header: Header, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..header };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(&self.pkcs8)).unwrap()
    }

    fn public(&self) -> Value {
        // 4, then both coordinates (SEC 1 section 2.3.3).
        let [x, y] = [&self.public[1..33], &self.public[33..]].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": x, "y": y})
    }
}

struct Inner {
    issuer: String,
    lie: Lie,
    key: Key,
    /// What is told of the person beside the subject.
    person: Value,
    /// Nonce and challenge of each code that was not used yet.
    codes: HashMap<String, (String, String)>,
    codes_made: usize,
    discoveries: usize,
}

#[derive(Clone)]
pub(crate) struct Provider {
    inner: Arc<Mutex<Inner>>,
    _task: Arc<Stopped>,
}

struct Stopped(JoinHandle<()>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let person = json!({"name": "Dr Known", "email": "known@nhs.net", "email_verified": true,
            "organisation": "St Elsewhere", "roles": ["mdt"]});
        let inner = Inner {
            issuer,
            lie: Lie::None,
            key: Key::new("1"),
            person,
            codes: HashMap::new(),
            codes_made: 0,
            discoveries: 0,
        };
        let inner = Arc::new(Mutex::new(inner));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .route("/me", get(user_info))
            .with_state(inner.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { inner, _task: Arc::new(Stopped(task)) }
    }

    pub(crate) fn lie(&self, lie: Lie) {
        self.inner.lock().unwrap().lie = lie;
    }

    pub(crate) fn tell(&self, person: Value) {
        self.inner.lock().unwrap().person = person;
    }

    pub(crate) fn rotate_keys(&self) {
        self.inner.lock().unwrap().key = Key::new("2");
    }

    /// How often it was asked what it is.
    pub(crate) fn discoveries(&self) -> usize {
        self.inner.lock().unwrap().discoveries
    }

    pub(crate) fn issuer(&self) -> String {
        self.inner.lock().unwrap().issuer.clone()
    }

    pub(crate) fn configure(&self, config: &mut Config) {
        configure(config, &self.issuer());
    }

    /// As if the person had signed in on its page: what the browser brings back.
    pub(crate) fn authorise(&self, location: &str) -> String {
        let query = parameters(location);
        for (name, value) in [
            ("client_id", CLIENT),
            ("response_type", "code"),
            ("code_challenge_method", "S256"),
            ("scope", "openid profile email"),
            ("redirect_uri", &format!("{SITE}/api/v1/session/oidc/{ID}/callback")),
        ] {
            assert_eq!(query[name], value, "{location}");
        }
        let mut inner = self.inner.lock().unwrap();
        inner.codes_made += 1;
        let code = format!("code-{}", inner.codes_made);
        inner.codes.insert(code.clone(), (query["nonce"].clone(), query["code_challenge"].clone()));
        format!("/api/v1/session/oidc/{ID}/callback?code={code}&state={}", query["state"])
    }

    /// A whole sign-in: the answer to the browser that comes back.
    pub(crate) async fn sign_in(&self, server: &Server, browser: &mut Browser) -> Answer {
        let begun = browser.send_from_anywhere(server, Request::get(&format!("/api/v1/session/oidc/{ID}"))).await;
        assert_eq!(begun.status, 303, "{}", begun.text());
        let back = self.authorise(begun.header("location"));
        browser.send_from_anywhere(server, Request::get(&back)).await
    }

    /// A logout token with these changes; a claim that is `null` is left out.
    pub(crate) fn logout_token(&self, header: Header, changes: &Value) -> String {
        let inner = self.inner.lock().unwrap();
        let mut claims = json!({"iss": inner.issuer, "aud": CLIENT, "iat": now(), "exp": now() + 120, "jti": "1",
            "sub": "subject-1", "sid": "sid-1",
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}}});
        let fields = claims.as_object_mut().unwrap();
        fields.extend(changes.as_object().unwrap().clone());
        fields.retain(|_, value| !value.is_null());
        inner.key.sign(header, &claims)
    }
}

pub(crate) fn configure(config: &mut Config, issuer: &str) {
    config.http.public_url = PublicUrl::new(SITE);
    let provider = ProviderConfig {
        name: "NHS".into(),
        issuer: issuer.into(),
        client_id: CLIENT.into(),
        client_secret: Some(Secret::new(CLIENT_SECRET)),
        scopes: vec!["profile".into(), "email".into()],
        acr_values: Vec::new(),
        user_info: true,
        claims: Default::default(),
        roles: RoleValues { administrator: vec!["it".into()], coordinator: vec!["mdt".into()] },
    };
    config.identity.providers.insert(ID.into(), provider);
}

fn parameters(url: &str) -> HashMap<String, String> {
    openidconnect::url::Url::parse(url).unwrap().query_pairs().into_owned().collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

type Shared = State<Arc<Mutex<Inner>>>;

async fn discovery(State(inner): Shared) -> Response {
    inner.lock().unwrap().discoveries += 1;
    let lie = inner.lock().unwrap().lie;
    if lie == Lie::DiscoverySilence {
        std::future::pending::<()>().await;
    }
    let issuer = inner.lock().unwrap().issuer.clone();
    let told = if lie == Lie::DiscoveryIssuer { "https://login.example.org" } else { &issuer };
    let padding = if lie == Lie::DiscoveryLength { "x".repeat(1 << 20) } else { String::new() };
    Json(json!({"issuer": told, "authorization_endpoint": format!("{issuer}/authorise"),
        "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys"),
        "userinfo_endpoint": format!("{issuer}/me"), "response_types_supported": ["code"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"], "padding": padding}))
    .into_response()
}

async fn keys(State(inner): Shared) -> Json<Value> {
    Json(json!({"keys": [inner.lock().unwrap().key.public()]}))
}

async fn token(State(inner): Shared, headers: HeaderMap, Form(form): Form<HashMap<String, String>>) -> Response {
    let lie = inner.lock().unwrap().lie;
    match lie {
        Lie::Silence => std::future::pending::<()>().await,
        Lie::Error => return (StatusCode::INTERNAL_SERVER_ERROR, "sorry").into_response(),
        Lie::Nonsense => return ([(header::CONTENT_TYPE, "application/json")], "[1, 2").into_response(),
        Lie::Redirect => return (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]).into_response(),
        Lie::Length => {
            let padding = "x".repeat(1 << 20);
            return Json(json!({"access_token": padding, "token_type": "Bearer"})).into_response();
        }
        _ => {}
    }
    let mut inner = inner.lock().unwrap();
    let secret = openidconnect::url::form_urlencoded::byte_serialize(CLIENT_SECRET.as_bytes()).collect::<String>();
    let expected = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{secret}")));
    let is_client = headers.get(header::AUTHORIZATION).is_some_and(|value| value == expected.as_str());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, form["code_verifier"].as_bytes());
    let challenge = URL_SAFE_NO_PAD.encode(digest.as_ref());
    match inner.codes.remove(&form["code"]) {
        Some((nonce, expected)) if is_client && expected == challenge => Json(inner.tokens(&nonce)).into_response(),
        _ => (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"}))).into_response(),
    }
}

impl Inner {
    fn tokens(&self, nonce: &str) -> Value {
        let mut claims = json!({"iss": self.issuer, "aud": CLIENT, "sub": "subject-1", "sid": "sid-1", "iat": now(),
            "exp": now() + 300, "nonce": nonce});
        let fields = claims.as_object_mut().unwrap();
        match self.lie {
            Lie::Issuer => drop(fields.insert("iss".into(), json!("https://login.example.org"))),
            Lie::Audience => drop(fields.insert("aud".into(), json!("another"))),
            Lie::OneAudienceMore => drop(fields.insert("aud".into(), json!([CLIENT, "another"]))),
            Lie::AuthorizedParty => drop(fields.insert("azp".into(), json!("another"))),
            Lie::Nonce => drop(fields.insert("nonce".into(), json!("another"))),
            Lie::NoNonce => drop(fields.remove("nonce")),
            Lie::Expired => drop(fields.insert("exp".into(), json!(now() - 90))),
            Lie::FromTheFuture => drop(fields.insert("iat".into(), json!(now() + 90))),
            Lie::Subject => drop(fields.insert("sub".into(), json!(long_subject()))),
            _ => {}
        }
        let header = Header::new(Algorithm::ES256);
        let id_token = match self.lie {
            Lie::Key => Key::new(&self.key.id).sign(header, &claims),
            Lie::AlgorithmNone => {
                let [header, claims] =
                    [&json!({"alg": "none"}), &claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
                format!("{header}.{claims}.")
            }
            Lie::SharedSecret => {
                let key = EncodingKey::from_secret(CLIENT_SECRET.as_bytes());
                jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
            }
            _ => self.key.sign(header, &claims),
        };
        let mut tokens = json!({"access_token": "opaque", "token_type": "Bearer", "id_token": id_token});
        if self.lie == Lie::NoIdToken {
            tokens.as_object_mut().unwrap().remove("id_token");
        }
        tokens
    }
}

/// Longer than the standard allows.
fn long_subject() -> String {
    "x".repeat(300)
}

async fn user_info(State(inner): Shared, headers: HeaderMap) -> Response {
    let inner = inner.lock().unwrap();
    if headers.get(header::AUTHORIZATION).is_none_or(|value| value != "Bearer opaque") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut person = inner.person.clone();
    person["sub"] = match inner.lie {
        Lie::UserInfoOfAnother => json!("subject-2"),
        Lie::Subject => json!(long_subject()),
        _ => json!("subject-1"),
    };
    if inner.lie == Lie::Name {
        person["name"] = json!("Dr \u{202e}nwonK");
    }
    Json(person).into_response()
}
