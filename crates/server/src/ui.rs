//! The web UI: the files under `ui/`, in the binary.
//!
//! They are plain ES modules and style sheets, served as they stand in the repository. A debug build reads them anew for
//! each request, so that whoever works on them only reloads the page.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::gateway::Shared;

/// Scripts, styles and fonts of this origin, requests to it, and nothing else; no other page may frame it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

macro_rules! assets {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("../ui/", $name)))),+]
    };
}

const ASSETS: &[(&str, &[u8])] = assets![
    "index.html",
    "app.css",
    "icon.svg",
    "fonts/plex-mono-600.woff2",
    "fonts/plex-mono.woff2",
    "fonts/plex-sans.woff2",
    "js/api.js",
    "js/app.js",
    "js/broker.js",
    "js/builder.js",
    "js/compare.js",
    "js/draft.js",
    "js/editor.js",
    "js/endpoints.js",
    "js/flow.js",
    "js/graph.js",
    "js/letters.js",
    "js/lines.js",
    "js/live.js",
    "js/manifest.js",
    "js/messages.js",
    "js/overview.js",
    "js/parts.js",
    "js/profiles.js",
    "js/resources.js",
    "js/schemas.js",
    "js/secrets.js",
    "js/signin.js",
    "js/state.js",
    "js/vitals.js",
    "vendor/LICENSES.md",
    "vendor/preact-htm.js",
    "vendor/yaml.js",
];

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| asset("index.html", &headers)))
        .route("/{*name}", get(async |Path(name): Path<String>, headers: HeaderMap| asset(&name, &headers)))
}

fn asset(name: &str, headers: &HeaderMap) -> Response {
    let Some(content) = read(name) else { return StatusCode::NOT_FOUND.into_response() };
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    let etag = format!("\"{:016x}\"", hasher.finish());
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == etag.as_bytes());
    let about = [
        (header::ETAG, etag.as_str()),
        // may be kept, and is asked for again each time: a new binary is seen at once
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_TYPE, media_type(name)),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    match known {
        true => (StatusCode::NOT_MODIFIED, about).into_response(),
        false => (about, content).into_response(),
    }
}

#[cfg(not(debug_assertions))]
fn read(name: &str) -> Option<&'static [u8]> {
    ASSETS.iter().find(|(known, _)| *known == name).map(|(_, content)| *content)
}

#[cfg(debug_assertions)]
fn read(name: &str) -> Option<Vec<u8>> {
    let (_, content) = ASSETS.iter().find(|(known, _)| *known == name)?;
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("ui").join(name);
    Some(std::fs::read(path).unwrap_or_else(|_| content.to_vec()))
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn files(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => files(&entry.path(), &format!("{name}/"), found),
                false => _ = found.insert(name),
            }
        }
    }

    #[test]
    fn every_file_is_in_the_binary() {
        let mut found = BTreeSet::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("ui"), "", &mut found);
        assert_eq!(ASSETS.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>(), found);
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let first = asset("js/app.js", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(asset("js/app.js", &headers).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(asset("js/none.js", &headers).status(), StatusCode::NOT_FOUND);
    }
}
