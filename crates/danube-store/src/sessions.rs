//! Sessions of browsers. Of each cookie only the SHA-256 is known here.

use sqlx::SqliteExecutor;

use crate::{StoreError, Tx};

/// A session as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Who came in.
    pub actor: String,
    /// When, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// From then on it is nobody's.
    pub expires_ms: i64,
}

/// Begins a session.
pub async fn insert(tx: &mut Tx, token: &[u8; 32], session: &SessionRow) -> Result<(), StoreError> {
    let token = &token[..];
    sqlx::query!(
        "INSERT INTO sessions (token, actor, created_ms, expires_ms) VALUES (?, ?, ?, ?)",
        token,
        session.actor,
        session.created_ms,
        session.expires_ms,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The session of a cookie, if it is one and has not expired.
pub async fn get(db: impl SqliteExecutor<'_>, token: &[u8; 32], now_ms: i64) -> Result<Option<SessionRow>, StoreError> {
    let token = &token[..];
    let row = sqlx::query_as!(
        SessionRow,
        "SELECT actor, created_ms, expires_ms FROM sessions WHERE token = ? AND expires_ms > ?",
        token,
        now_ms
    );
    Ok(row.fetch_optional(db).await?)
}

/// Ends a session.
pub async fn delete(tx: &mut Tx, token: &[u8; 32]) -> Result<(), StoreError> {
    let token = &token[..];
    sqlx::query!("DELETE FROM sessions WHERE token = ?", token).execute(tx).await?;
    Ok(())
}

/// Forgets those that have expired.
pub async fn delete_expired(tx: &mut Tx, now_ms: i64) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM sessions WHERE expires_ms <= ?", now_ms).execute(tx).await?;
    Ok(())
}
