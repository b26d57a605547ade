//! The HTTP API (docs/api.md) and the pages (docs/ui.md). A request passes, from outside in: [`serve`] (connections), `request::finish` (its id, its
//! errors' words), `request::host`, the [`Permission`] of its route, and one handler of `api` or `pages`. All routes are in one
//! table, `routes`. Handlers read rows and log files; what changes something goes to the engine's
//! [`Master`](danube_engine::master::Master).

mod answer;
mod api;
mod assets;
mod auth;
mod context;
mod events;
mod logview;
mod model;
mod openapi;
mod pages;
mod permission;
mod problem;
mod range;
mod request;
mod router;
mod routes;
mod serve;
mod tarball;

pub use auth::{ApiToken, Auth, new_secret, secret_hash};
pub use permission::Permission;
pub use problem::Code;
pub use serve::{ServerError, serve};

use axum::Router;
use danube_engine::master::Master;
use tokio_util::sync::CancellationToken;

/// What a server is made from.
#[derive(Clone)]
pub struct Server {
    /// Takes jobs in, and has what there is to see.
    pub master: Master,
    /// Who may come in.
    pub auth: Auth,
    /// The port at which it listens: `127.0.0.1`, `localhost` and `[::1]` are answered there.
    pub port: u16,
    /// More hosts that are answered, as `Host` headers say them: with the port, unless it is 80.
    pub hosts: Vec<String>,
    /// Streams end when it is cancelled. Give the same one to [`serve`].
    pub shutdown: CancellationToken,
}

/// Every route of the server.
pub fn router(server: Server) -> Router {
    let hosts = request::Hosts::new(server.port, server.hosts);
    router::build(context::Context::new(server.master, server.auth, server.shutdown), hosts)
}
