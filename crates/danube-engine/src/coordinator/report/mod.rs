//! One `reports.junit`: files with the ends of tests are read from a worker's shim, one after the other, and become rows.
//! What the danubefile, or a step, says about them does not count: only what is in the files does.

mod cases;

use std::fs::File;
use std::sync::Arc;

use danube_core::artifact::ArtifactName;
use danube_core::id::StepId;
use danube_core::report::Counts;
use danube_core::runtime::Runtime;
use danube_proto::mailbox::{Answer, CallError, ErrorCode, ReportsJunit};
use danube_store::reports::{self, Caps, CaseRow, Filter, NewCase, ReportKey, ReportRow};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc};

use super::{container, infra, invalid, refused, workspace};
use crate::failpoint::failpoint;
use crate::job::progress::{Progress, TestsReported};
use crate::job::shared::Shared;
use crate::shim::link::Link;
use crate::{EngineError, records};
use cases::{Reading, Stop};

/// The largest file, in bytes, and all of one report together.
const LARGEST: u64 = 64 << 20;
const LARGEST_TOGETHER: u64 = 256 << 20;
/// Files of one report.
const FILES: usize = 1000;
/// What an attempt may keep.
const CAPS: Caps = Caps { reports: 1000, cases: 100_000 };
/// Bytes of messages and details that an attempt keeps; beyond, tests have their names and ends only.
const WORDS: u64 = 64 << 20;
/// A report's name is at most so many characters.
const NAME_CHARACTERS: usize = 200;
/// Failures that are told at once.
const TOLD: u32 = 100;

/// Files that are parsed at the same time, over all jobs: steps' output must not wait for them.
static PARSING: Semaphore = Semaphore::const_new(2);

/// Reads a report. Delivered again after a restart, it answers what is kept already.
pub async fn junit<R>(shared: &Arc<Shared<R>>, id: StepId, junit: &ReportsJunit) -> Result<Answer, CallError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    if let Some(closed) = shared.closed() {
        return Err(refused(closed));
    }
    let (paths, name) = (paths(junit)?, named(shared, &junit.name)?);
    let _turn = shared.reports.lock().await;
    let attempt = &shared.plan.group.attempt;
    if let Some(row) = reports::of_call(shared.services.store.read(), attempt, id).await.map_err(infra)? {
        return Ok(answer(&row.counts()));
    }
    let (_, link) = container::of_image(shared, &shared.plan.default_image).await?;
    let key = begin(shared, id, name.clone()).await?;
    match read(shared, &link, &paths, &key).await {
        Ok(counts) => {
            failpoint("report-kept");
            tell(shared, &key).await.map_err(infra)?;
            Ok(answer(&counts))
        }
        Err(error) => {
            discard(shared, key).await;
            Err(error)
        }
    }
}

fn paths(junit: &ReportsJunit) -> Result<Vec<ArtifactName>, CallError> {
    if junit.paths.is_empty() || junit.paths.len() > FILES {
        return Err(invalid(format!("a report has 1 to {FILES} files, and these are {}", junit.paths.len())));
    }
    junit.paths.iter().map(|path| workspace::below(path)).collect()
}

/// Secrets are masked in names too: names are shown.
fn named<R: Runtime>(shared: &Shared<R>, name: &str) -> Result<String, CallError> {
    let length = name.chars().count();
    if length == 0 || length > NAME_CHARACTERS || name.chars().any(char::is_control) {
        return Err(invalid(format!("a report's name is 1 to {NAME_CHARACTERS} visible characters")));
    }
    Ok(shared.mask(name))
}

async fn begin<R: Runtime>(shared: &Shared<R>, id: StepId, name: String) -> Result<ReportKey, CallError> {
    let attempt = shared.plan.group.attempt.clone();
    let begin = shared
        .services
        .store
        .write(move |tx| Box::pin(async move { reports::begin(tx, &attempt, id, &name, CAPS).await }));
    let full = || invalid(format!("a job keeps at most {} reports: give one call several files", CAPS.reports));
    begin.await.map_err(infra)?.ok_or_else(full)
}

/// Reads all files, then shows the report.
async fn read<R: Runtime>(
    shared: &Shared<R>,
    link: &Link,
    paths: &[ArtifactName],
    key: &ReportKey,
) -> Result<Counts, CallError> {
    let (store, attempt) = (&shared.services.store, &key.attempt);
    let before = reports::counts(store.read(), attempt).await.map_err(infra)?.tests();
    let words = reports::words(store.read(), attempt).await.map_err(infra)?;
    let room = usize::try_from(WORDS.saturating_sub(words)).unwrap_or(0);
    let mut reading = Reading::new(shared.masks.clone(), CAPS.cases.saturating_sub(before), room);
    let mut bytes = 0;
    for path in paths {
        let file = shared.services.logs.unnamed_file().map_err(infra)?;
        bytes += workspace::fetch(link, path, LARGEST, ErrorCode::ReportNotFound, &file).await?.size;
        failpoint("report-received");
        if bytes > LARGEST_TOGETHER {
            return Err(invalid(format!("the files of a report have at most {} MiB together", LARGEST_TOGETHER >> 20)));
        }
        reading = read_file(shared, key, reading, (path, file)).await?;
        failpoint("report-written");
    }
    finish(shared, key, reading.counts(), paths.len()).await
}

/// Reads one file; its cases are written while it is read.
async fn read_file<R: Runtime>(
    shared: &Shared<R>,
    key: &ReportKey,
    mut reading: Reading,
    (path, file): (&ArtifactName, File),
) -> Result<Reading, CallError> {
    let mut from = reading.cases();
    let _turn = PARSING.acquire().await.map_err(infra)?;
    let (sender, mut batches) = mpsc::channel(1);
    let parsed = tokio::task::spawn_blocking(move || {
        let stopped = reading.file(file, &sender);
        (reading, stopped)
    });
    while let Some(batch) = batches.recv().await {
        let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        append(shared, key, from, batch).await?;
        from = from.saturating_add(count);
    }
    let (reading, stopped) = parsed.await.map_err(infra)?;
    stopped.map(|()| reading).map_err(|stop| match stop {
        Stop::Xml(error) => {
            CallError { code: ErrorCode::ReportInvalid, message: format!("`{path}` is no report of tests: {error}") }
        }
        Stop::TooMany => too_many(),
        Stop::Unwanted => infra("the report's rows cannot be written"),
    })
}

async fn append<R: Runtime>(
    shared: &Shared<R>,
    key: &ReportKey,
    from: u32,
    batch: Vec<NewCase>,
) -> Result<(), CallError> {
    let key = key.clone();
    let append =
        shared.services.store.write(move |tx| Box::pin(async move { reports::append(tx, &key, from, &batch).await }));
    append.await.map_err(infra)
}

async fn finish<R: Runtime>(
    shared: &Shared<R>,
    key: &ReportKey,
    counts: Counts,
    files: usize,
) -> Result<Counts, CallError> {
    let (key, now) = (key.clone(), records::now_ms());
    let finish = shared
        .services
        .store
        .write(move |tx| Box::pin(async move { reports::finish(tx, &key, (&counts, files as u64), now, CAPS).await }));
    if finish.await.map_err(infra)? { Ok(counts) } else { Err(too_many()) }
}

fn too_many() -> CallError {
    invalid(format!("a job keeps at most {} tests: report fewer, or split the pipeline", CAPS.cases))
}

/// Rows that nobody will be shown. If they cannot be removed now they go with the job.
async fn discard<R: Runtime>(shared: &Shared<R>, key: ReportKey) {
    let gone = shared.services.store.write(move |tx| Box::pin(async move { reports::discard(tx, &key).await }));
    if let Err(error) = gone.await {
        tracing::debug!(%error, "a report that could not be read stays, unseen");
    }
}

async fn tell<R: Runtime>(shared: &Shared<R>, key: &ReportKey) -> Result<(), EngineError> {
    let reports = reports::list(shared.services.store.read(), &key.attempt).await?;
    match reports.into_iter().find(|report| report.number == key.number) {
        Some(report) => tell_of(shared, report).await,
        None => Ok(()),
    }
}

async fn tell_of<R: Runtime>(shared: &Shared<R>, report: ReportRow) -> Result<(), EngineError> {
    let filter = Filter { report: Some(report.number), ..Filter::default() };
    let read = shared.services.store.read();
    let mut failures = reports::cases(read, &shared.plan.group.attempt, filter, None, TOLD).await?;
    failures.retain(CaseRow::is_failure);
    shared.observer.tell(Progress::Tests(TestsReported { report, failures }));
    Ok(())
}

/// Tells of reports from before a restart.
pub async fn tell_again<R: Runtime>(shared: &Shared<R>) -> Result<(), EngineError> {
    for report in reports::list(shared.services.store.read(), &shared.plan.group.attempt).await? {
        tell_of(shared, report).await?;
    }
    Ok(())
}

const fn answer(counts: &Counts) -> Answer {
    let Counts { passed, failed, errors, skipped, flaky, duration_ms } = *counts;
    Answer::Report { tests: counts.tests(), passed, failed, errors, skipped, flaky, duration_ms }
}
