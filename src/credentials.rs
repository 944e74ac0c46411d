//! The API key pair: the configured one, or a development pair that is generated once into the data directory.

use crate::config::{Config, CredentialSource};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use consilium_signaling::access::ApiKeys;
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// In the data directory.
pub const DEVELOPMENT_FILE: &str = "development-credentials.toml";
/// 256 bits, as RFC 7518 section 3.2 asks of a key for HS256.
const SECRET_BYTES: usize = 32;
const KEY_BYTES: usize = 9;

#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("cannot write the development credentials to {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot read the development credentials from {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the development credentials in {} are damaged; delete the file to get new ones", path.display())]
    Damaged { path: PathBuf },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    key: String,
    secret: String,
}

/// The keys that tokens are verified with.
pub fn resolve(config: &Config) -> Result<ApiKeys, CredentialsError> {
    match (config.credential_source(), &config.api.key, &config.api.secret) {
        (CredentialSource::Configured, Some(key), Some(secret)) => Ok(ApiKeys::single(key, secret.expose())),
        _ => development_pair(&config.data_dir),
    }
}

/// Reads the pair, or makes it. Two processes that start together end up with the same pair: the file appears whole, by
/// a hard link that fails where one exists already, and then the existing one is read.
fn development_pair(data_dir: &Path) -> Result<ApiKeys, CredentialsError> {
    let path = data_dir.join(DEVELOPMENT_FILE);
    if let Some(keys) = read(&path)? {
        return Ok(keys);
    }
    let write_error = |source| CredentialsError::Write { path: path.clone(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(write_error)?;
    write(&path, &generate()).map_err(write_error)?;
    read(&path)?.ok_or(CredentialsError::Damaged { path })
}

fn read(path: &Path) -> Result<Option<ApiKeys>, CredentialsError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CredentialsError::Read { path: path.to_owned(), source }),
    };
    match toml::from_str::<Pair>(&text) {
        Ok(pair) if !pair.key.is_empty() && pair.secret.len() >= SECRET_BYTES => {
            Ok(Some(ApiKeys::single(pair.key, pair.secret)))
        }
        _ => Err(CredentialsError::Damaged { path: path.to_owned() }),
    }
}

fn write(path: &Path, pair: &Pair) -> std::io::Result<()> {
    let text = toml::to_string(pair).map_err(std::io::Error::other)?;
    let temporary = path.with_extension(format!("{}.tmp", random_word(KEY_BYTES)));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file
        .write_all(b"# Made at the first start, for development on this host only.\n")
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all())
        .and_then(|()| match std::fs::hard_link(&temporary, path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        });
    std::fs::remove_file(&temporary)?;
    written
}

fn generate() -> Pair {
    Pair { key: format!("dev{}", random_word(KEY_BYTES)), secret: random_word(SECRET_BYTES) }
}

fn random_word(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    rand::rng().fill_bytes(&mut buffer);
    URL_SAFE_NO_PAD.encode(buffer)
}
