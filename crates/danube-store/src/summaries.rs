//! Summaries: the Markdown that an attempt's danubefile wrote for people, one row per call.

use danube_core::id::{AttemptId, StepId};
use sqlx::SqliteExecutor;

use crate::{StoreError, Tx, from_sql, to_sql};

/// What an attempt may keep.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Calls.
    pub calls: u64,
    /// Bytes of all their texts.
    pub bytes: u64,
}

/// One call's text as it is written; masked.
#[derive(Clone, Debug)]
pub struct NewSummary {
    /// The call that brought it.
    pub call: StepId,
    /// Markdown.
    pub text: String,
    /// Whether the texts before it stay.
    pub append: bool,
}

/// One call's text as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryRow {
    /// In order of the calls, from 1.
    pub seq: u32,
    /// Markdown.
    pub text: String,
}

/// What became of a new text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is kept.
    Kept,
    /// It is kept since an earlier delivery of the same call.
    Known,
    /// The attempt would keep so many bytes.
    TooLong(u64),
    /// The attempt has as many texts as it may.
    TooMany,
}

/// Writes a text. The same call again changes nothing.
pub async fn write(tx: &mut Tx, attempt: &AttemptId, summary: &NewSummary, caps: Caps) -> Result<Written, StoreError> {
    let (job, number, call) = (attempt.job.as_str(), attempt.number, summary.call.to_string());
    let before = sqlx::query!(
        r#"SELECT count(*) AS "count: i64", coalesce(max(seq), 0) AS "last: u32",
                  coalesce(sum(octet_length(text)), 0) AS "bytes: i64",
                  coalesce(sum(call = ?), 0) AS "known: i64"
           FROM summaries WHERE job = ? AND attempt = ?"#,
        call,
        job,
        number
    );
    let before = before.fetch_one(&mut *tx).await?;
    if before.known > 0 {
        return Ok(Written::Known);
    }
    if from_sql(before.count) >= caps.calls {
        return Ok(Written::TooMany);
    }
    let stays = if summary.append { from_sql(before.bytes) } else { 0 };
    let bytes = stays.saturating_add(summary.text.len() as u64);
    if bytes > caps.bytes {
        return Ok(Written::TooLong(bytes));
    }
    if !summary.append {
        replace(&mut *tx, attempt).await?;
    }
    let seq = to_sql(u64::from(before.last) + 1);
    sqlx::query!(
        "INSERT INTO summaries (job, attempt, seq, call, text) VALUES (?, ?, ?, ?, ?)",
        job,
        number,
        seq,
        call,
        summary.text
    )
    .execute(tx)
    .await?;
    Ok(Written::Kept)
}

async fn replace(tx: &mut Tx, attempt: &AttemptId) -> Result<(), StoreError> {
    let (job, number) = (attempt.job.as_str(), attempt.number);
    let replaced = sqlx::query!("UPDATE summaries SET text = '' WHERE job = ? AND attempt = ?", job, number);
    replaced.execute(tx).await?;
    Ok(())
}

/// An attempt's texts, in order of the calls.
pub async fn list(db: impl SqliteExecutor<'_>, attempt: &AttemptId) -> Result<Vec<SummaryRow>, StoreError> {
    let (job, number) = (attempt.job.as_str(), attempt.number);
    let rows = sqlx::query_as!(
        SummaryRow,
        r#"SELECT seq AS "seq: u32", text FROM summaries WHERE job = ? AND attempt = ? AND text <> '' ORDER BY seq"#,
        job,
        number
    );
    Ok(rows.fetch_all(db).await?)
}
