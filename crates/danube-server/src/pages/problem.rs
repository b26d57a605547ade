//! What goes wrong, as a page. It needs no database.

use askama::Template;
use axum::http::{HeaderMap, StatusCode};

use super::shell::{Shell, Tab};
use super::visitor::Visitor;
use super::{POLICY, dress, login};
use crate::problem::{Code, Problem};
use crate::router::WHO;

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    shell: Shell,
    heading: &'static str,
    message: &'a str,
    request_id: &'a str,
}

/// A problem as a page, and the headers that belong to it.
pub(crate) fn write(visitor: &Visitor, problem: &Problem, request_id: &str, headers: &mut HeaderMap) -> String {
    dress(headers, POLICY);
    if problem.code == Code::Unauthenticated {
        let words = Some(problem.message.clone()).filter(|message| message != WHO);
        return login::write(visitor, words).unwrap_or_default();
    }
    let heading = heading(problem);
    let shell = Shell::bare(visitor, heading, Tab::None);
    let page = ProblemPage { shell, heading, message: &problem.message, request_id };
    // A page that cannot be written is still an answer.
    page.render().unwrap_or_else(|_| heading.to_owned())
}

fn heading(problem: &Problem) -> &'static str {
    match problem.code {
        Code::NotFound | Code::Gone => "There is nothing here",
        Code::Forbidden => "You may not do this",
        Code::Unavailable => "Not now",
        Code::Internal => "Danube failed",
        _ if problem.status == StatusCode::CONFLICT => "It is too late for this",
        _ => "This cannot be done",
    }
}
