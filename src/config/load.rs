//! Reads the layers: built-in defaults < file < environment < flags. Each value remembers where it came from, so that
//! an error can say it.

use super::{Config, ConfigError, ConfigErrors};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use std::path::{Path, PathBuf};

pub const ENVIRONMENT_PREFIX: &str = "CONSILIUM_";
/// Names the file itself; the command line reads it.
pub const CONFIG_FILE_VARIABLE: &str = "CONSILIUM_CONFIG";
/// Separates the levels of a key in an environment variable's name, because keys contain single underscores.
const LEVEL_SEPARATOR: &str = "__";
/// Texts, even if they look like a number.
const TEXT_KEYS: &[&str] = &[
    "data_dir",
    "api.key",
    "api.secret",
    "http.public_url",
    "store.url",
    "mail.host",
    "mail.username",
    "mail.password",
    "mail.from",
    "log.filter",
];
/// Lists that an environment variable may give separated by commas.
const LIST_KEYS: &[&str] = &["http.trusted_proxies", "media.bind", "media.advertise"];
/// Values that no message shows.
const SECRET_KEYS: &[&str] = &["api.secret", "store.url", "mail.password"];
/// The secret that a client of an identity provider has, at the end of its key.
const CLIENT_SECRET: &str = ".client_secret";
const BUILT_IN: &str = "built-in default";

/// Values given on the command line: key and flag.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    values: Vec<(&'static str, &'static str, Value)>,
}

impl Overrides {
    /// `flag` as the user writes it; nothing happens where there is no value.
    pub fn set(&mut self, key: &'static str, flag: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.values.push((key, flag, value.into()));
        }
    }
}

#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// Variables with our prefix that name no key. Kubernetes makes such for a service of our name (`CONSILIUM_PORT`,
    /// `CONSILIUM_SERVICE_HOST`), so they are no error; a variable with a double underscore is ours and must be right.
    pub ignored_variables: Vec<String>,
}

/// Reads and validates. `environment` is passed in, so that tests need not change the process's.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: Overrides,
) -> Result<Loaded, ConfigErrors> {
    let mut figment = Figment::new().merge(default_layer());
    if let Some(path) = file {
        figment = figment.merge(file_layer(path).map_err(|error| ConfigErrors(vec![error]))?);
    }
    let mut ignored_variables = Vec::new();
    let mut variables: Vec<_> =
        environment.into_iter().filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX)).collect();
    variables.sort();
    for (name, value) in variables {
        match environment_key(&name) {
            Some(key) => {
                let value = environment_value(&key, &value);
                figment = figment.merge(Layer::single(format!("environment variable {name}"), &key, value));
            }
            None if name == CONFIG_FILE_VARIABLE => {}
            None => ignored_variables.push(name),
        }
    }
    for (key, flag, value) in overrides.values {
        figment = figment.merge(Layer::single(format!("flag {flag}"), key, value));
    }
    let config = figment
        .extract::<Config>()
        .map_err(|errors| ConfigErrors(errors.into_iter().map(|error| value_error(&figment, &error)).collect()))?;
    let violations = super::validate::violations(&config);
    if violations.is_empty() {
        return Ok(Loaded { config, ignored_variables });
    }
    let errors = violations.into_iter().map(|(key, reason)| located(&figment, key, reason));
    Err(ConfigErrors(errors.collect()))
}

/// One source of values.
struct Layer {
    name: String,
    dict: Dict,
}

impl Layer {
    fn single(name: String, key: &str, value: Value) -> Self {
        let dict = key.rsplit('.').fold(value, |value, level| Dict::from([(level.to_owned(), value)]).into());
        Self { name, dict: dict.into_dict().unwrap_or_default() }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

fn default_layer() -> Layer {
    let dict = Value::serialize(Config::default()).ok().and_then(Value::into_dict).unwrap_or_default();
    Layer { name: BUILT_IN.to_owned(), dict }
}

fn file_layer(path: &Path) -> Result<Layer, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), reason: error.to_string() })?;
    // The parser's own message quotes the line, which may hold the secret.
    let dict = toml::from_str::<Dict>(&text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| line_of(&text, span.start)),
        reason: error.message().to_owned(),
    })?;
    Ok(Layer { name: format!("file {}", display_path(path).display()), dict })
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn display_path(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The key that a variable sets: `CONSILIUM_HTTP__LISTEN` is `http.listen`; the two names that operators of such
/// servers expect are `CONSILIUM_API_KEY` and `CONSILIUM_API_SECRET`.
fn environment_key(name: &str) -> Option<String> {
    let key = name.strip_prefix(ENVIRONMENT_PREFIX)?.to_ascii_lowercase();
    match key.as_str() {
        "api_key" => Some("api.key".into()),
        "api_secret" => Some("api.secret".into()),
        "data_dir" | "open_rooms" => Some(key),
        _ if key.contains(LEVEL_SEPARATOR) => Some(key.replace(LEVEL_SEPARATOR, ".")),
        _ => None,
    }
}

fn environment_value(key: &str, text: &str) -> Value {
    if TEXT_KEYS.contains(&key) || is_secret(key) {
        return Value::from(text);
    }
    if LIST_KEYS.contains(&key) && !text.trim_start().starts_with('[') {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        return Value::from(items.map(Value::from).collect::<Vec<_>>());
    }
    // Numbers, booleans and lists as in TOML; whatever is none of these is a text.
    text.parse().unwrap_or_else(|_| Value::from(text))
}

fn is_secret(key: &str) -> bool {
    SECRET_KEYS.contains(&key) || key.ends_with(CLIENT_SECRET)
}

fn value_error(figment: &Figment, error: &figment::Error) -> ConfigError {
    let key = error.path.join(".");
    let reason = match &error.kind {
        figment::error::Kind::UnknownField(_, expected) => {
            format!("there is no such key; the keys here are {}", expected.join(", "))
        }
        // Serde repeats the offending value in these, so a secret is not described further.
        _ if is_secret(&key) => "is not a text".to_owned(),
        kind => kind.to_string(),
    };
    let name = error.metadata.as_ref().map(|metadata| metadata.name.to_string());
    let mut located = located(figment, key, reason);
    if let (ConfigError::Value { source_name, .. }, Some(name)) = (&mut located, name) {
        *source_name = name;
    }
    located
}

/// Adds value and source to a violation.
fn located(figment: &Figment, key: String, reason: String) -> ConfigError {
    let source_name =
        figment.find_metadata(&key).map_or_else(|| BUILT_IN.to_owned(), |metadata| metadata.name.to_string());
    let value = match figment.find_value(&key) {
        Ok(value) if !is_secret(&key) => Some(display_value(&value)),
        _ => None,
    };
    ConfigError::Value { key, value, source_name, reason }
}

fn display_value(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, character) => format!("{character:?}"),
        Value::Bool(_, value) => value.to_string(),
        Value::Num(_, number) => number
            .to_i128()
            .map(|number| number.to_string())
            .or_else(|| number.to_u128().map(|number| number.to_string()))
            .or_else(|| number.to_f64().map(|number| number.to_string()))
            .unwrap_or_default(),
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(_, items) => format!("[{}]", items.iter().map(display_value).collect::<Vec<_>>().join(", ")),
    }
}
