//! Style sheets, scripts and shapes. They are within the binary, under an address that changes when any of them does, so
//! browsers keep them for ever. A debug build reads them from the sources: a change shows at the next look.

use std::borrow::Cow;
use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::problem::Problem;
use crate::request::extract::InPath;

/// A file that pages load.
struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! asset {
    ($name:literal, $kind:literal) => {
        Asset { name: $name, kind: $kind, bytes: include_bytes!(concat!("../../../web/static/", $name)) }
    };
}

static ASSETS: &[Asset] = &[
    asset!("app.css", "text/css; charset=utf-8"),
    asset!("icons.svg", "image/svg+xml"),
    asset!("favicon.svg", "image/svg+xml"),
    asset!("ui.js", "text/javascript; charset=utf-8"),
    asset!("live.js", "text/javascript; charset=utf-8"),
];

/// Where the assets of this build are: `/static/` and a hash of all of them. Scripts name each other relative to it.
pub(crate) fn base() -> &'static str {
    static BASE: LazyLock<String> = LazyLock::new(|| {
        let mut hash = Sha256::new();
        for asset in ASSETS {
            hash.update(asset.bytes);
        }
        format!("/static/{}", &hex::encode(hash.finalize())[..12])
    });
    &BASE
}

/// Gives an asset. One of another build is given as well: a page from before an upgrade still finds something.
pub(crate) async fn get(InPath((set, name)): InPath<(String, String)>) -> Result<Response, Problem> {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    let asset = found.ok_or_else(|| Problem::not_found("There is no such file of Danube's pages."))?;
    let for_ever = !cfg!(debug_assertions) && base().ends_with(&set);
    let keeping = if for_ever { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static(keeping)),
    ];
    Ok((headers, asset.read().into_owned()).into_response())
}

impl Asset {
    fn read(&self) -> Cow<'static, [u8]> {
        if cfg!(debug_assertions) {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/static/");
            if let Ok(bytes) = std::fs::read(format!("{path}{}", self.name)) {
                return Cow::Owned(bytes);
            }
        }
        Cow::Borrowed(self.bytes)
    }
}
