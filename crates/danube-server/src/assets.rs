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
    asset!("ansi.css", "text/css; charset=utf-8"),
    asset!("icons.svg", "image/svg+xml"),
    asset!("favicon.svg", "image/svg+xml"),
    asset!("favicon-ok.svg", "image/svg+xml"),
    asset!("favicon-fail.svg", "image/svg+xml"),
    asset!("favicon-run.svg", "image/svg+xml"),
    asset!("ui.js", "text/javascript; charset=utf-8"),
    asset!("live.js", "text/javascript; charset=utf-8"),
    asset!("log.js", "text/javascript; charset=utf-8"),
    asset!("log-lines.js", "text/javascript; charset=utf-8"),
    asset!("log-live.js", "text/javascript; charset=utf-8"),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Light and dark, linear.
    type Pair = [[f64; 3]; 2];

    /// A colour token of the style sheet.
    fn token(name: &str) -> Pair {
        let css = include_str!("../../../web/static/app.css");
        let found = css.split_once(&format!("--{name}: light-dark(")).expect(name).1;
        let mut sides = found.split(')').next().expect(name).split(", ");
        [linear(sides.next().expect(name)), linear(sides.next().expect(name))]
    }

    fn linear(hex: &str) -> [f64; 3] {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).expect("a colour")) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        [channel(1), channel(3), channel(5)]
    }

    /// WCAG 2.2, "contrast ratio", in both themes; the smaller one.
    fn contrast(a: &str, b: &str) -> f64 {
        let luminance = |[r, g, b]: [f64; 3]| 0.2126 * r + 0.7152 * g + 0.0722 * b;
        let ratio = |theme: usize| {
            let (a, b) = (luminance(token(a)[theme]), luminance(token(b)[theme]));
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        };
        ratio(0).min(ratio(1))
    }

    #[test]
    fn every_text_can_be_read_on_everything_it_stands_on() {
        let grounds = ["bg", "panel", "sunk"];
        for text in ["ink", "ink-2", "link", "ok", "fail", "run", "wait", "idle"] {
            for ground in grounds {
                assert!(contrast(text, ground) >= 4.5, "{text} on {ground}: {}", contrast(text, ground));
            }
        }
        for state in ["ok", "fail", "run", "wait", "idle"] {
            let tint = format!("{state}-bg");
            assert!(contrast(state, &tint) >= 4.5, "{state} on its tint: {}", contrast(state, &tint));
            assert!(contrast("ink", &tint) >= 4.5, "ink on {tint}");
        }
        for (text, ground) in
            [("on-fail", "fail"), ("ink", "sel"), ("ink", "hit"), ("ink-2", "fail-bg"), ("link", "fail-bg")]
        {
            assert!(contrast(text, ground) >= 4.5, "{text} on {ground}: {}", contrast(text, ground));
        }
    }

    #[test]
    fn edges_and_the_focus_can_be_seen() {
        for line in ["edge", "focus"] {
            for ground in ["bg", "panel", "sunk"] {
                assert!(contrast(line, ground) >= 3.0, "{line} on {ground}: {}", contrast(line, ground));
            }
        }
    }

    #[test]
    fn nothing_of_ours_asks_another_host_or_styles_in_place() {
        for asset in ASSETS {
            let text = std::str::from_utf8(asset.bytes).expect("text");
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "{}", asset.name);
            assert!(!text.contains("eval(") && !text.contains("new Function"), "{}", asset.name);
        }
    }
}
