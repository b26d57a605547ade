//! What an attempt tried to reach. The runtime tells its list again from the first entry on; each is written once.

use danube_core::egress::{EgressEvent, EgressVerdict};
use danube_core::id::AttemptId;
use sqlx::SqliteExecutor;

use crate::{StoreError, Tx, to_sql};

/// A decision as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressRow {
    /// Its place in the runtime's list.
    pub seq: i64,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The name asked for.
    pub name: String,
    /// The port, for a connection.
    pub port: Option<u16>,
    /// What was decided, by the name of the verdict.
    pub verdict: String,
}

/// Writes the `seq`-th event of the runtime's list. The same one again changes nothing.
pub async fn append(tx: &mut Tx, attempt: &AttemptId, seq: u64, event: &EgressEvent) -> Result<(), StoreError> {
    let (job, number, seq) = (attempt.job.as_str(), attempt.number, to_sql(seq));
    let (at_ms, verdict) = (to_sql(event.at_ms), verdict_name(event.verdict));
    sqlx::query!(
        "INSERT INTO egress (job, attempt, seq, at_ms, name, port, verdict) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING",
        job,
        number,
        seq,
        at_ms,
        event.name,
        event.port,
        verdict
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The name under which a verdict is stored and shown.
#[must_use]
pub const fn verdict_name(verdict: EgressVerdict) -> &'static str {
    match verdict {
        EgressVerdict::Allowed => "allowed",
        EgressVerdict::DeniedName => "denied_name",
        EgressVerdict::DeniedPrivate => "denied_private",
        EgressVerdict::DeniedServerName => "denied_server_name",
        EgressVerdict::Unreachable => "unreachable",
    }
}

/// An attempt's decisions, in order.
pub async fn list(db: impl SqliteExecutor<'_>, attempt: &AttemptId) -> Result<Vec<EgressRow>, StoreError> {
    let (job, number) = (attempt.job.as_str(), attempt.number);
    let rows = sqlx::query_as!(
        EgressRow,
        r#"SELECT seq, at_ms, name, port AS "port: u16", verdict FROM egress WHERE job = ? AND attempt = ? ORDER BY seq"#,
        job,
        number
    );
    Ok(rows.fetch_all(db).await?)
}
