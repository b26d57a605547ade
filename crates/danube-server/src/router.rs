//! From the table of routes to a router: who asks is known, and may do it, before a handler runs.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;

use crate::auth::refuse_cross_site;
use crate::context::Ctx;
use crate::permission::Permission;
use crate::problem::{Code, Problem};
use crate::request::{Hosts, check_host, compress, finish, not_found, wrong_method};
use crate::routes::{Route, routes};

/// The router of every route.
pub(crate) fn build(ctx: Ctx, hosts: Hosts) -> Router {
    let with_route = |router: Router<Ctx>, route: Route| {
        let gate = middleware::from_fn_with_state((ctx.clone(), route.permission), check_permission);
        router.route(route.path, route.handler.route_layer(gate))
    };
    routes()
        .into_iter()
        .fold(Router::new(), with_route)
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .with_state(ctx)
        .layer(middleware::from_fn_with_state(hosts, check_host))
        .layer(middleware::from_fn(finish))
        .layer(middleware::from_fn(compress))
}

/// To who has not come in.
pub(crate) const WHO: &str = "Say who you are: a token in the header Authorization, or a login link in a browser.";

async fn check_permission(
    State((ctx, needed)): State<(Ctx, Permission)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if needed == Permission::Public {
        return Ok(next.run(request).await);
    }
    let who = ctx.auth.identify(request.headers()).await?.ok_or_else(|| Problem::unauthenticated(WHO))?;
    if who.permission < needed {
        return Err(Problem::new(Code::Forbidden, "You may not do this."));
    }
    if who.by_cookie {
        refuse_cross_site(request.method(), request.headers())?;
    }
    request.extensions_mut().insert(who);
    Ok(next.run(request).await)
}
