//! Test reports: what each `reports.junit` of an attempt brought. A report's cases are written in parts, so that nobody
//! else has to wait for a large one; until it is finished nobody is shown any of it.

use danube_core::id::{AttemptId, StepId};
use danube_core::report::{CaseStatus, Counts};
use sqlx::SqliteExecutor;

use crate::{StoreError, Tx, from_sql, to_sql};

/// What an attempt may keep.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Reports.
    pub reports: u64,
    /// Cases of all of them.
    pub cases: u64,
}

/// A report within its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportKey {
    /// Whose.
    pub attempt: AttemptId,
    /// Which, counted from 1 in order of the calls.
    pub number: u32,
}

/// One test as it is written; its texts are masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCase {
    /// The names of its suites.
    pub suite: String,
    /// Its class.
    pub class: String,
    /// Its own name.
    pub name: String,
    /// How it ended.
    pub status: CaseStatus,
    /// How long it took, where that is known.
    pub duration_ms: Option<u64>,
    /// Why it failed or was left out, in short.
    pub message: Option<String>,
    /// The rest that there is to read.
    pub details: Option<String>,
}

/// A finished report as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRow {
    /// In order of the calls, from 1.
    pub number: u32,
    /// What the danubefile calls it.
    pub name: String,
    /// Tests that passed at once.
    pub passed: i64,
    /// Tests that failed.
    pub failed: i64,
    /// Tests that could not be carried out.
    pub errors: i64,
    /// Tests that were left out.
    pub skipped: i64,
    /// Tests that passed when tried again.
    pub flaky: i64,
    /// What the tests took together.
    pub duration_ms: i64,
    /// Files that were read for it.
    pub files: i64,
    /// When it was kept, in milliseconds since the Unix epoch.
    pub created_ms: i64,
}

impl ReportRow {
    /// How many tests ended how.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            passed: from_sql(self.passed),
            failed: from_sql(self.failed),
            errors: from_sql(self.errors),
            skipped: from_sql(self.skipped),
            flaky: from_sql(self.flaky),
            duration_ms: from_sql(self.duration_ms),
        }
    }
}

/// A test as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseRow {
    /// Its report.
    pub report: u32,
    /// Its place in that, from 0.
    pub seq: u32,
    /// Its place among the others: 0 what failed, 1 what is flaky, 2 what was left out, 3 what passed.
    pub rank: u8,
    /// The names of its suites, outermost first, with ` › ` between them.
    pub suite: String,
    /// Its class.
    pub class: String,
    /// Its own name.
    pub name: String,
    /// How it ended.
    pub status: String,
    /// How long it took, where that is known.
    pub duration_ms: Option<i64>,
    /// Why it failed or was left out, in short.
    pub message: Option<String>,
    /// Whether there is more to read: see [`details`].
    pub has_details: bool,
}

impl CaseRow {
    /// Whether somebody has to do something about it.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        self.rank == 0
    }
}

/// Which cases are wanted: all, unless told otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Of this report.
    pub report: Option<u32>,
    /// With this end.
    pub status: Option<CaseStatus>,
    /// Those that somebody has to do something about.
    pub failures: bool,
    /// With this in the name of suite, class or test; upper and lower case are the same.
    pub text: Option<&'a str>,
}

/// A place in a list of cases: the list goes on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaseKey {
    /// See [`CaseRow`].
    pub rank: u8,
    /// Its report.
    pub report: u32,
    /// Its place in that.
    pub seq: u32,
}

/// Makes place for a call's report; none when the attempt has as many as it may. What an engine that was killed had
/// written of it is gone.
pub async fn begin(
    tx: &mut Tx,
    attempt: &AttemptId,
    call: StepId,
    name: &str,
    caps: Caps,
) -> Result<Option<ReportKey>, StoreError> {
    let (job, number, call) = (attempt.job.as_str(), attempt.number, call.to_string());
    sqlx::query!(
        "DELETE FROM test_reports WHERE job = ? AND attempt = ? AND call = ? AND created_ms IS NULL",
        job,
        number,
        call
    )
    .execute(&mut *tx)
    .await?;
    let before = sqlx::query!(
        r#"SELECT count(*) AS "count: i64", coalesce(max(number), 0) AS "last: u32" FROM test_reports
           WHERE job = ? AND attempt = ?"#,
        job,
        number
    )
    .fetch_one(&mut *tx)
    .await?;
    if from_sql(before.count) >= caps.reports {
        return Ok(None);
    }
    let key = ReportKey { attempt: attempt.clone(), number: before.last + 1 };
    sqlx::query!(
        "INSERT INTO test_reports (job, attempt, number, call, name) VALUES (?, ?, ?, ?, ?)",
        job,
        number,
        key.number,
        call,
        name
    )
    .execute(tx)
    .await?;
    Ok(Some(key))
}

/// Writes some of a report's cases; `from` counts those before them. One statement takes them all, as JSON: row by row
/// everybody else would wait several times as long.
pub async fn append(tx: &mut Tx, report: &ReportKey, from: u32, cases: &[NewCase]) -> Result<(), StoreError> {
    let (job, attempt) = (report.attempt.job.as_str(), report.attempt.number);
    let rows = cases.iter().map(|case| {
        let NewCase { suite, class, name, status, duration_ms, message, details } = case;
        serde_json::json!([suite, class, name, status.as_str(), duration_ms.map(to_sql), message, details])
    });
    let rows = serde_json::Value::from_iter(rows).to_string();
    sqlx::query!(
        "INSERT INTO test_cases (job, attempt, report, seq, suite, class, name, status, duration_ms, message, details)
         SELECT ?, ?, ?, ? + key, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
         FROM json_each(?)",
        job,
        attempt,
        report.number,
        from,
        rows,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Shows a report whose cases are all written. False, and nothing is done, when the attempt would have more cases than
/// it may.
pub async fn finish(
    tx: &mut Tx,
    report: &ReportKey,
    (counts, files): (&Counts, u64),
    created_ms: i64,
    caps: Caps,
) -> Result<bool, StoreError> {
    if self::counts(&mut *tx, &report.attempt).await?.tests() + counts.tests() > caps.cases {
        return Ok(false);
    }
    let (job, attempt) = (report.attempt.job.as_str(), report.attempt.number);
    let [passed, failed, errors, skipped, flaky, duration_ms, files] =
        [counts.passed, counts.failed, counts.errors, counts.skipped, counts.flaky, counts.duration_ms, files]
            .map(to_sql);
    sqlx::query!(
        "UPDATE test_reports SET passed = ?, failed = ?, errors = ?, skipped = ?, flaky = ?, duration_ms = ?, files = ?,
                created_ms = ?
         WHERE job = ? AND attempt = ? AND number = ?",
        passed,
        failed,
        errors,
        skipped,
        flaky,
        duration_ms,
        files,
        created_ms,
        job,
        attempt,
        report.number,
    )
    .execute(tx)
    .await?;
    Ok(true)
}

/// Removes a report that could not be finished, with its cases.
pub async fn discard(tx: &mut Tx, report: &ReportKey) -> Result<(), StoreError> {
    let (job, attempt) = (report.attempt.job.as_str(), report.attempt.number);
    sqlx::query!(
        "DELETE FROM test_reports WHERE job = ? AND attempt = ? AND number = ? AND created_ms IS NULL",
        job,
        attempt,
        report.number
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What a call brought, should it be made again.
pub async fn of_call(
    db: impl SqliteExecutor<'_>,
    attempt: &AttemptId,
    call: StepId,
) -> Result<Option<ReportRow>, StoreError> {
    let (job, number, call) = (attempt.job.as_str(), attempt.number, call.to_string());
    let row = sqlx::query_as!(
        ReportRow,
        r#"SELECT number AS "number!: u32", name, passed, failed, errors, skipped, flaky, duration_ms, files,
                  created_ms AS "created_ms!"
           FROM test_reports WHERE job = ? AND attempt = ? AND call = ? AND created_ms IS NOT NULL"#,
        job,
        number,
        call
    );
    Ok(row.fetch_optional(db).await?)
}

/// An attempt's reports in order of the calls.
pub async fn list(db: impl SqliteExecutor<'_>, attempt: &AttemptId) -> Result<Vec<ReportRow>, StoreError> {
    let (job, number) = (attempt.job.as_str(), attempt.number);
    let rows = sqlx::query_as!(
        ReportRow,
        r#"SELECT number AS "number!: u32", name, passed, failed, errors, skipped, flaky, duration_ms, files,
                  created_ms AS "created_ms!"
           FROM test_reports WHERE job = ? AND attempt = ? AND created_ms IS NOT NULL ORDER BY number"#,
        job,
        number
    );
    Ok(rows.fetch_all(db).await?)
}

/// All reports of an attempt together.
pub async fn counts(db: impl SqliteExecutor<'_>, attempt: &AttemptId) -> Result<Counts, StoreError> {
    let mut sum = Counts::default();
    for counts in list(db, attempt).await?.iter().map(ReportRow::counts) {
        sum.add(&counts);
    }
    Ok(sum)
}

/// Bytes of the messages and details of an attempt's cases.
pub async fn words(db: impl SqliteExecutor<'_>, attempt: &AttemptId) -> Result<u64, StoreError> {
    let (job, number) = (attempt.job.as_str(), attempt.number);
    let bytes = sqlx::query_scalar!(
        r#"SELECT coalesce(sum(coalesce(octet_length(message), 0) + coalesce(octet_length(details), 0)), 0) AS "bytes: i64"
           FROM test_cases WHERE job = ? AND attempt = ?"#,
        job,
        number
    );
    Ok(from_sql(bytes.fetch_one(db).await?))
}

/// An attempt's cases: what failed first, then what is flaky, what was left out, what passed; within these in order of
/// the reports. At most `limit`, from behind `after` on.
pub async fn cases(
    db: impl SqliteExecutor<'_>,
    attempt: &AttemptId,
    filter: Filter<'_>,
    after: Option<CaseKey>,
    limit: u32,
) -> Result<Vec<CaseRow>, StoreError> {
    let (job, number, status) = (attempt.job.as_str(), attempt.number, filter.status.map(CaseStatus::as_str));
    let most = if filter.failures { 0 } else { 3 };
    let (least, most) = filter.status.map_or((0, most), |status| (rank(status), rank(status).min(most)));
    let after = after.map_or([i64::from(least), -1, -1], |key| [key.rank.into(), key.report.into(), key.seq.into()]);
    let rows = sqlx::query_as!(
        CaseRow,
        r#"SELECT report AS "report: u32", seq AS "seq: u32", rank AS "rank!: u8", suite, class, name, status, duration_ms,
                  message, details IS NOT NULL AS "has_details: bool"
           FROM test_cases AS c
           WHERE job = ?1 AND attempt = ?2 AND (rank, report, seq) > (?3, ?4, ?5) AND rank <= ?6
             AND (?7 IS NULL OR status = ?7) AND (?8 IS NULL OR report = ?8)
             AND (?9 IS NULL OR instr(lower(suite || ' ' || class || ' ' || name), lower(?9)) > 0)
             AND EXISTS (SELECT 1 FROM test_reports AS r
                         WHERE r.job = c.job AND r.attempt = c.attempt AND r.number = c.report AND r.created_ms IS NOT NULL)
           ORDER BY rank, report, seq LIMIT ?10"#,
        job,
        number,
        after[0],
        after[1],
        after[2],
        most,
        status,
        filter.report,
        filter.text,
        limit
    );
    Ok(rows.fetch_all(db).await?)
}

/// As the schema has it.
const fn rank(status: CaseStatus) -> u8 {
    match status {
        CaseStatus::Failed | CaseStatus::Error => 0,
        CaseStatus::Flaky => 1,
        CaseStatus::Skipped => 2,
        CaseStatus::Passed => 3,
    }
}

/// What there is to read about a case beside its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// Its report.
    pub report: u32,
    /// Its place in that.
    pub seq: u32,
    /// The text.
    pub text: String,
}

/// What there is to read about these cases of an attempt, given by report and place, in one statement.
pub async fn details_of(
    db: impl SqliteExecutor<'_>,
    attempt: &AttemptId,
    cases: &[(u32, u32)],
) -> Result<Vec<Details>, StoreError> {
    let (job, number) = (attempt.job.as_str(), attempt.number);
    let cases = serde_json::json!(cases).to_string();
    let rows = sqlx::query_as!(
        Details,
        r#"SELECT report AS "report: u32", seq AS "seq: u32", details AS "text!" FROM test_cases
           WHERE job = ? AND attempt = ? AND details IS NOT NULL
             AND (report, seq) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))"#,
        job,
        number,
        cases
    );
    Ok(rows.fetch_all(db).await?)
}

/// One case of a finished report.
pub async fn case(db: impl SqliteExecutor<'_>, report: &ReportKey, seq: u32) -> Result<Option<CaseRow>, StoreError> {
    let (job, attempt) = (report.attempt.job.as_str(), report.attempt.number);
    let row = sqlx::query_as!(
        CaseRow,
        r#"SELECT report AS "report: u32", seq AS "seq: u32", rank AS "rank!: u8", suite, class, name, status, duration_ms,
                  message, details IS NOT NULL AS "has_details: bool"
           FROM test_cases AS c
           WHERE job = ?1 AND attempt = ?2 AND report = ?3 AND seq = ?4
             AND EXISTS (SELECT 1 FROM test_reports AS r
                         WHERE r.job = c.job AND r.attempt = c.attempt AND r.number = c.report AND r.created_ms IS NOT NULL)"#,
        job,
        attempt,
        report.number,
        seq
    );
    Ok(row.fetch_optional(db).await?)
}

/// What there is to read about one case beside its message.
pub async fn details(db: impl SqliteExecutor<'_>, report: &ReportKey, seq: u32) -> Result<Option<String>, StoreError> {
    let (job, attempt) = (report.attempt.job.as_str(), report.attempt.number);
    let found = sqlx::query_scalar!(
        "SELECT details FROM test_cases WHERE job = ? AND attempt = ? AND report = ? AND seq = ?",
        job,
        attempt,
        report.number,
        seq
    );
    Ok(found.fetch_optional(db).await?.flatten())
}
