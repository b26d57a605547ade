//! Who looks at a page, and how they like it: the theme, the zone and the keys are kept in a cookie of the browser's,
//! for they belong to the person and not to Danube.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::time::Clock;
use crate::auth::Identity;
use crate::context::Ctx;
use crate::permission::Permission;
use crate::problem::Problem;

/// The cookie of what somebody likes.
pub(super) const SETTINGS: &str = "danube_settings";
/// The cookie that carries what was done to the page after it.
pub(super) const DONE: &str = "danube_done";

/// Who looks.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    pub who: Option<Identity>,
    pub settings: Settings,
    /// What was done by the request before: a code and a run's number.
    pub done: Option<(String, String)>,
    pub clock: Clock,
}

/// How somebody likes the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `light`, `dark`, or empty for what the system has.
    pub theme: &'static str,
    /// An IANA name; empty for the browser's own.
    pub zone: String,
    pub keys: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { theme: "", zone: String::new(), keys: true }
    }
}

impl Settings {
    /// What a cookie or a form says; what makes no sense is as if it were not said.
    pub fn from_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        pairs.fold(Self::default(), |settings, (name, value)| match (name, value) {
            ("theme", "light") => Self { theme: "light", ..settings },
            ("theme", "dark") => Self { theme: "dark", ..settings },
            ("zone", zone) if TimeZone::get(zone).is_ok() => Self { zone: zone.to_owned(), ..settings },
            ("keys", "off") => Self { keys: false, ..settings },
            _ => settings,
        })
    }

    /// As the cookie has it.
    pub fn to_cookie(&self) -> String {
        let keys = if self.keys { "on" } else { "off" };
        format!("theme={}&zone={}&keys={keys}", self.theme, self.zone)
    }

    fn time_zone(&self) -> TimeZone {
        TimeZone::get(&self.zone).unwrap_or(TimeZone::UTC)
    }
}

impl Visitor {
    /// Whether they may start and stop jobs.
    pub fn may_write(&self) -> bool {
        self.who.as_ref().is_some_and(|who| who.permission >= Permission::Write)
    }

    /// In whose name a change is made.
    pub fn actor(&self) -> Option<String> {
        self.who.as_ref().map(|who| who.actor.clone())
    }

    /// Who sent a request with these headers.
    pub(crate) fn of(headers: &HeaderMap, who: Option<Identity>) -> Self {
        let cookies: Vec<(&str, &str)> = cookies(headers).collect();
        let named = |wanted: &str| cookies.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
        let pairs = named(SETTINGS).unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let settings = Settings::from_pairs(pairs);
        let done = named(DONE).and_then(|done| done.split_once('.'));
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        Self {
            who,
            clock: Clock { now_ms: Timestamp::now().as_millisecond(), zone: settings.time_zone() },
            done: done.filter(|(_, n)| number(n)).map(|(code, n)| (code.to_owned(), n.to_owned())),
            settings,
        }
    }
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let values = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

impl FromRequestParts<Ctx> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Ctx) -> Result<Self, Problem> {
        Ok(Self::of(&parts.headers, parts.extensions.get::<Identity>().cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_their_cookie_and_nonsense_is_dropped() {
        let read = |text: &str| Settings::from_pairs(text.split('&').filter_map(|pair| pair.split_once('=')));
        let dark = Settings { theme: "dark", zone: "UTC".into(), keys: false };
        assert_eq!(read(&dark.to_cookie()), dark);
        assert_eq!(read("theme=<b>&zone=../../etc/passwd&keys=maybe&x=y"), Settings::default());
    }
}
