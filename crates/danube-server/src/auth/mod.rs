//! Who is asking: by a token of the API, or by the cookie that a one-time link gave.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use danube_store::sessions::{self, SessionRow};
use danube_store::{Store, StoreError};
use subtle::ConstantTimeEq;

use crate::permission::Permission;
use crate::problem::Problem;
use crate::request::is_this_machine;

mod cross_site;
mod login;
mod secret;

pub(crate) use cross_site::refuse_cross_site;
pub(crate) use login::LINK_LIFE;
pub use secret::{new_secret, secret_hash};

/// The cookie's name on this machine.
pub(crate) const COOKIE: &str = "danube_session";
/// Under any other name there is TLS before us: browsers take this one only by it, and from nobody but this host.
const SECURE_COOKIE: &str = "__Host-danube";
/// How long a session lasts.
const SESSION_SECONDS: i64 = 30 * 24 * 60 * 60;

/// Who may come in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Auth {
    store: Store,
    tokens: Arc<[ApiToken]>,
    links: Arc<login::Links>,
    owner: Arc<str>,
}

/// A token of the API. Only its hash is known here.
#[derive(Clone, Debug)]
pub struct ApiToken {
    /// SHA-256 of the token's text: [`secret_hash`].
    pub sha256: [u8; 32],
    /// In whose name it acts.
    pub actor: String,
    /// What it may do.
    pub permission: Permission,
}

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub actor: String,
    pub permission: Permission,
    /// Came by a cookie, which browsers send along with what other sites make them ask.
    pub by_cookie: bool,
}

impl Auth {
    /// Lets in these tokens, and browsers that were given a link.
    #[must_use]
    pub fn new(store: Store, tokens: impl IntoIterator<Item = ApiToken>) -> Self {
        Self { store, tokens: tokens.into_iter().collect(), links: Arc::default(), owner: "owner".into() }
    }

    /// Who comes in by a link acts in this name: whoever prints it is who runs Danube.
    #[must_use]
    pub fn owned_by(self, name: &str) -> Self {
        Self { owner: name.into(), ..self }
    }

    /// The secret part of a link `/login?token=…`, which lets one browser in, within 10 minutes.
    #[must_use]
    pub fn issue_link(&self) -> String {
        self.links.issue(tokio::time::Instant::now())
    }

    /// Who is asking, if anybody.
    pub(crate) async fn identify(&self, headers: &HeaderMap) -> Result<Option<Identity>, Problem> {
        if let Some(given) = headers.get(header::AUTHORIZATION) {
            // Who shows a token is not let in by anything else.
            let token = given.to_str().ok().and_then(bearer);
            return token.and_then(|token| self.by_token(token)).map(Some).ok_or_else(wrong_token);
        }
        match cookie(headers) {
            Some(cookie) => Ok(self.by_cookie(cookie).await?),
            None => Ok(None),
        }
    }

    fn by_token(&self, token: &str) -> Option<Identity> {
        let given = secret_hash(token);
        // All of them are compared, in a time that tells nothing of where they differ.
        let found = self
            .tokens
            .iter()
            .fold(None, |found, token| if bool::from(token.sha256.ct_eq(&given)) { Some(token) } else { found })?;
        Some(Identity { actor: found.actor.clone(), permission: found.permission, by_cookie: false })
    }

    async fn by_cookie(&self, cookie: &str) -> Result<Option<Identity>, StoreError> {
        let session = sessions::get(self.store.read(), &secret_hash(cookie), now_ms()).await?;
        Ok(session.map(|session| Identity { actor: session.actor, permission: Permission::Admin, by_cookie: true }))
    }

    /// Uses up a link. The answer is the `Set-Cookie` header of a new session; none when the link is no good.
    pub(crate) async fn log_in(&self, link: &str, headers: &HeaderMap) -> Result<Option<String>, StoreError> {
        if !self.links.take(link, tokio::time::Instant::now()) {
            return Ok(None);
        }
        let (cookie, now) = (new_secret(), now_ms());
        let hash = secret_hash(&cookie);
        let expires_ms = now.saturating_add(SESSION_SECONDS * 1000);
        let session = SessionRow { actor: self.owner.to_string(), created_ms: now, expires_ms };
        let write = self.store.write(move |tx| {
            Box::pin(async move {
                sessions::delete_expired(tx, now).await?;
                sessions::insert(tx, &hash, &session).await
            })
        });
        write.await?;
        let name = cookie_name(headers);
        Ok(Some(format!("{name}={cookie}; HttpOnly; SameSite=Lax; Path=/; Max-Age={SESSION_SECONDS}")))
    }
}

impl Auth {
    /// Ends the session that a browser's cookie names. The answer is the `Set-Cookie` header that takes the cookie away.
    pub(crate) async fn log_out(&self, headers: &HeaderMap) -> Result<String, StoreError> {
        if let Some(cookie) = cookie(headers) {
            let hash = secret_hash(cookie);
            self.store.write(move |tx| Box::pin(async move { sessions::delete(tx, &hash).await })).await?;
        }
        Ok(format!("{}=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0", cookie_name(headers)))
    }
}

fn wrong_token() -> Problem {
    Problem::unauthenticated("The token is not one of this Danube.")
}

/// The token of `Bearer TOKEN`.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookie_name(headers: &HeaderMap) -> &'static str {
    if is_this_machine(headers) { COOKIE } else { SECURE_COOKIE }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let wanted = cookie_name(headers);
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
