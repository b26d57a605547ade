//! `/account`: how somebody likes the pages, and the way out.

use askama::Template;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::tz::TimeZone;

use super::shell::{Shell, Tab};
use super::visitor::{SETTINGS, Settings, Visitor};
use super::{page, see_after};
use crate::context::Ctx;
use crate::permission::Permission;
use crate::problem::Problem;
use crate::request::form::Form;

/// How long a browser keeps its settings.
const YEAR: u32 = 365 * 24 * 60 * 60;

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    shell: Shell,
    who: String,
    may: &'static str,
    themes: [(&'static str, &'static str); 3],
    given_zone: String,
    wrong_zone: bool,
}

pub(crate) async fn show(Shared(ctx): Shared<Ctx>, visitor: Visitor) -> Result<Response, Problem> {
    let zone = visitor.settings.zone.clone();
    form(&ctx, &visitor, zone, false).await
}

pub(crate) async fn keep(Shared(ctx): Shared<Ctx>, visitor: Visitor, form_sent: Form) -> Result<Response, Problem> {
    let zone = form_sent.get("zone").trim().to_owned();
    if !zone.is_empty() && TimeZone::get(&zone).is_err() {
        let mut response = form(&ctx, &visitor, zone, true).await?;
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        return Ok(response);
    }
    let keys = if form_sent.get("keys") == "on" { "on" } else { "off" };
    let pairs = [("theme", form_sent.get("theme")), ("zone", zone.as_str()), ("keys", keys)];
    let settings = Settings::from_pairs(pairs.into_iter());
    let cookie = format!("{SETTINGS}={}; HttpOnly; SameSite=Lax; Path=/; Max-Age={YEAR}", settings.to_cookie());
    let mut response = see_after("/account", "settings", 0)?;
    response.headers_mut().append(header::SET_COOKIE, HeaderValue::from_str(&cookie).map_err(Problem::internal)?);
    Ok(response)
}

pub(crate) async fn log_out(Shared(ctx): Shared<Ctx>, headers: HeaderMap) -> Result<Response, Problem> {
    let cookie = ctx.auth.log_out(&headers).await?;
    let cookie = HeaderValue::from_str(&cookie).map_err(Problem::internal)?;
    let login = HeaderValue::from_static("/login");
    Ok((StatusCode::SEE_OTHER, [(header::SET_COOKIE, cookie), (header::LOCATION, login)]).into_response())
}

async fn form(ctx: &Ctx, visitor: &Visitor, given_zone: String, wrong_zone: bool) -> Result<Response, Problem> {
    let title = if wrong_zone { "Error: your settings" } else { "Your settings" };
    page(&Account {
        shell: Shell::new(ctx, visitor, title, Tab::Account).await?,
        who: visitor.actor().unwrap_or_default(),
        may: match visitor.who.as_ref().map(|who| who.permission) {
            Some(Permission::Admin) => "do everything",
            Some(Permission::Write) => "look, start and cancel",
            _ => "look",
        },
        themes: [("", "as the system has it"), ("light", "light"), ("dark", "dark")],
        given_zone,
        wrong_zone,
    })
}
