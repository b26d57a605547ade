//! `/login`: how to come in, for who has no link or one that is no good any more.

use askama::Template;
use axum::response::Response;

use super::page;
use super::shell::{Shell, Tab};
use super::visitor::Visitor;
use crate::problem::Problem;

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    shell: Shell,
    heading: &'static str,
    words: Option<String>,
}

/// What to do to come in, for who has not tried.
pub(crate) fn show(visitor: &Visitor) -> Result<Response, Problem> {
    page(&login(visitor, None))
}

/// The same as HTML, with why the last try was none.
pub(super) fn write(visitor: &Visitor, words: Option<String>) -> Option<String> {
    login(visitor, words).render().ok()
}

fn login(visitor: &Visitor, words: Option<String>) -> Login {
    let mut shell = Shell::bare(visitor, "Sign in", Tab::None);
    shell.who = None;
    Login { shell, heading: "Sign in to Danube", words }
}
