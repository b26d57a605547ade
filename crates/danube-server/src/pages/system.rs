//! `/system`: the parts of this Danube and what ails them; and the first steps for who has no pipeline yet.

use askama::Template;
use axum::extract::State as Shared;
use axum::response::Response;
use danube_store::pipelines;

use super::page;
use super::shell::{Shell, Tab};
use super::state::State;
use super::visitor::Visitor;
use crate::context::Ctx;
use crate::problem::Problem;

struct Part {
    name: &'static str,
    state: State,
    words: String,
}

#[derive(Template)]
#[template(path = "system.html")]
struct System {
    shell: Shell,
    parts: Vec<Part>,
    ill: usize,
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct Welcome {
    shell: Shell,
    pipelines: usize,
}

/// It works when the rest does not: a database that cannot be read is one of the rows.
pub(crate) async fn show(Shared(ctx): Shared<Ctx>, visitor: Visitor) -> Result<Response, Problem> {
    let shell = Shell::new(&ctx, &visitor, "System", Tab::System).await;
    let store = shell.as_ref().err().map(|problem| problem.message.clone());
    let mut parts = vec![Part::new("store", store)];
    parts.extend(ctx.master.health().into_iter().map(|part| Part::new(part.name, part.ill)));
    let ill = parts.iter().filter(|part| !part.words.is_empty()).count();
    let shell = shell.unwrap_or_else(|_| Shell::bare(&visitor, "System", Tab::System));
    page(&System { shell, parts, ill })
}

pub(crate) async fn welcome(Shared(ctx): Shared<Ctx>, visitor: Visitor) -> Result<Response, Problem> {
    let pipelines = pipelines::list(ctx.store().read()).await?.len();
    page(&Welcome { shell: Shell::new(&ctx, &visitor, "First steps", Tab::None).await?, pipelines })
}

impl Part {
    fn new(name: &'static str, ill: Option<String>) -> Self {
        Self { name, state: State::of_part(ill.is_some()), words: ill.unwrap_or_default() }
    }
}
