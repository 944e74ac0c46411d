//! The embedded web pages: files with their caching rules, and the one page that answers every address of the
//! application.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use rust_embed::{EmbeddedFile, RustEmbed};
use std::fmt::Write;
use tower_http::compression::CompressionLayer;

/// What the web build leaves behind. Debug builds read it from disk at each request.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Pages;

const INDEX: &str = "index.html";
/// Files in here carry a hash of their content in their name.
const HASHED_FOLDER: &str = "assets/";
const FOREVER: &str = "public, max-age=31536000, immutable";
const REVALIDATE: &str = "no-cache";
/// Addresses that belong to protocols: what is unknown there is not a page.
const PROTOCOL_PREFIXES: &[&str] = &["api/", "rtc", "twirp/"];

pub fn router() -> Router {
    Router::new().fallback(any(serve)).layer(CompressionLayer::new())
}

/// Whether the web pages were there when the server was built.
pub fn are_embedded() -> bool {
    Pages::get(INDEX).is_some()
}

async fn serve(request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    if PROTOCOL_PREFIXES.iter().any(|prefix| path.starts_with(prefix)) {
        return (StatusCode::NOT_FOUND, "there is nothing at this address").into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    if let Some(file) = Pages::get(path) {
        return respond(path, &file, request.headers());
    }
    match Pages::get(INDEX) {
        // A missing script must not be answered with a page.
        Some(index) if is_page(path) => respond(INDEX, &index, request.headers()),
        // Clients check whether a server is there with HEAD /, whether or not it has pages.
        None if path.is_empty() => {
            (StatusCode::OK, "Consilium runs; its web pages are not in this build.\n").into_response()
        }
        _ => (StatusCode::NOT_FOUND, "there is no such page").into_response(),
    }
}

fn is_page(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    // Room names may contain dots, so only addresses outside of rooms are taken for files.
    path.starts_with("m/") || !last.contains('.')
}

fn respond(path: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let etag = etag(file);
    let cache = if path.starts_with(HASHED_FOLDER) { FOREVER } else { REVALIDATE };
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    // Compression makes the tag weak (RFC 9110 section 8.8.1), which is all that If-None-Match compares.
    if known.is_some_and(|tags| tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, format!("W/{etag}")), (CACHE_CONTROL, cache.into())])
            .into_response();
    }
    let content_type = mime_guess::from_path(path).first_or_octet_stream();
    let content_type = match content_type.type_().as_str() {
        "text" => format!("{content_type}; charset=utf-8"),
        _ => content_type.to_string(),
    };
    let headers = [(CONTENT_TYPE, content_type), (ETAG, format!("W/{etag}")), (CACHE_CONTROL, cache.into())];
    (headers, Body::from(file.data.clone().into_owned())).into_response()
}

fn etag(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    let mut etag = String::with_capacity(34);
    etag.push('"');
    for byte in &hash[..16] {
        // Writing to a String cannot fail.
        let _ = write!(etag, "{byte:02x}");
    }
    etag.push('"');
    etag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_pages_and_missing_files_are_not() {
        for page in ["", "m/first-meeting", "m/ward.7", "about"] {
            assert!(is_page(page), "{page}");
        }
        for file in ["assets/index-abc.js", "favicon.ico", "robots.txt"] {
            assert!(!is_page(file), "{file}");
        }
    }

    /// Needs the web build. What is read from disk is owned; what is borrowed is in the binary.
    #[cfg(feature = "embed-pages")]
    #[test]
    fn every_file_of_the_web_build_is_in_the_binary_byte_for_byte() {
        use std::borrow::Cow;
        use std::path::{Path, PathBuf};

        fn files(folder: &Path) -> Vec<PathBuf> {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
        }

        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/dist");
        let mut names: Vec<String> = Vec::new();
        for path in files(&built) {
            let name = path.strip_prefix(&built).unwrap().to_str().unwrap();
            let embedded = Pages::get(name).unwrap_or_else(|| panic!("{name} is not embedded")).data;
            assert!(matches!(embedded, Cow::Borrowed(_)), "{name} is read from disk");
            assert_eq!(embedded, std::fs::read(&path).unwrap(), "{name}");
            names.push(name.to_owned());
        }
        assert!(names.contains(&INDEX.to_owned()) && names.iter().any(|name| name.ends_with(".js")), "{names:?}");
        // Nothing of an earlier build is left in it.
        assert_eq!(Pages::iter().count(), names.len());
    }
}
