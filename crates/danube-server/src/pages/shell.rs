//! What every page has around its content: header, breadcrumb, what was just done, footer.

use danube_store::runs;

use super::visitor::Visitor;
use super::{live, words};
use crate::assets;
use crate::context::Ctx;
use crate::problem::Problem;

/// Around a page's content.
pub(super) struct Shell {
    pub title: String,
    pub tab: Tab,
    /// The picture in the browser's tab: of a run's page its state.
    pub icon: &'static str,
    pub crumbs: Vec<Crumb>,
    pub assets: &'static str,
    pub sheets: &'static [&'static str],
    pub scripts: &'static [&'static str],
    pub theme: &'static str,
    pub keys: bool,
    pub zone: String,
    /// Times are shown in the browser's own zone, where scripts run.
    pub own_zone: bool,
    pub who: Option<String>,
    /// Runs that have not ended.
    pub open: u32,
    /// What the request before this one did.
    pub said: Option<String>,
    pub version: &'static str,
    /// After so many seconds a browser without scripts asks again.
    pub refresh: Option<u32>,
    /// The stream that tells of changes of the page's list.
    pub listens: Option<String>,
    /// When the page was made.
    pub now_ms: i64,
}

/// A step on the way to a page.
pub(super) struct Crumb {
    pub name: String,
    pub href: String,
}

/// The part of the header that the page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Pipelines,
    Queue,
    System,
    Account,
    None,
}

impl Tab {
    pub fn is(self, name: &str) -> bool {
        match self {
            Self::Pipelines => name == "pipelines",
            Self::Queue => name == "queue",
            Self::System => name == "system",
            Self::Account => name == "account",
            Self::None => false,
        }
    }
}

impl Crumb {
    pub fn new(name: impl Into<String>, href: impl Into<String>) -> Self {
        Self { name: name.into(), href: href.into() }
    }
}

impl Shell {
    /// Of a page for somebody who has come in.
    pub async fn new(ctx: &Ctx, visitor: &Visitor, title: impl Into<String>, tab: Tab) -> Result<Self, Problem> {
        let open = runs::count_open(ctx.store().read()).await?;
        Ok(Self { open, ..Self::bare(visitor, title, tab) })
    }

    /// Of a page that needs no database.
    pub fn bare(visitor: &Visitor, title: impl Into<String>, tab: Tab) -> Self {
        let settings = &visitor.settings;
        Self {
            title: title.into(),
            tab,
            icon: "favicon.svg",
            crumbs: Vec::new(),
            assets: assets::base(),
            sheets: &[],
            scripts: &[],
            theme: settings.theme,
            keys: settings.keys,
            zone: if settings.zone.is_empty() { "UTC".to_owned() } else { settings.zone.clone() },
            own_zone: settings.zone.is_empty(),
            who: visitor.actor(),
            open: 0,
            said: visitor.done.as_ref().and_then(|(code, number)| words::done(code, number)),
            version: env!("CARGO_PKG_VERSION"),
            refresh: None,
            listens: None,
            now_ms: visitor.clock.now_ms,
        }
    }

    pub fn under(mut self, crumbs: impl IntoIterator<Item = Crumb>) -> Self {
        self.crumbs.extend(crumbs);
        self
    }

    pub fn with_scripts(self, scripts: &'static [&'static str]) -> Self {
        Self { scripts, ..self }
    }

    /// Its list is that of one pipeline's runs, or of all that goes on. To be called before the rows are read: what comes
    /// in between is told then.
    pub async fn listening(self, ctx: &Ctx, pipeline: Option<&str>) -> Result<Self, Problem> {
        Ok(Self { listens: Some(live::address(ctx, pipeline).await?), ..self })
    }

    pub fn refreshed(self, refresh: Option<u32>) -> Self {
        Self { refresh, ..self }
    }
}
