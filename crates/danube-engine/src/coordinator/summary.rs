//! One `summary.markdown`: Markdown for people, kept in order. It is text and nothing else: whoever shows it must not
//! take it for Danube's own words.

use std::io::{Read, Seek};
use std::sync::Arc;

use danube_core::id::{ContainerName, StepId};
use danube_core::runtime::Runtime;
use danube_proto::limits::{INLINE_TEXT_BYTES, SUMMARY_BYTES};
use danube_proto::mailbox::{Answer, CallError, SummaryMarkdown};
use danube_store::summaries::{self, Caps, NewSummary, Written};

use super::{infra, invalid, refused};
use crate::EngineError;
use crate::failpoint::failpoint;
use crate::job::progress::{Progress, SummaryWritten};
use crate::job::shared::Shared;
use crate::shim::transfer::{self, TransferError};

/// What an attempt may keep.
const CAPS: Caps = Caps { calls: 10_000, bytes: SUMMARY_BYTES };

/// Keeps a text. Delivered again after a restart, it is not written twice.
pub async fn markdown<R: Runtime>(
    shared: &Arc<Shared<R>>,
    id: StepId,
    summary: SummaryMarkdown,
) -> Result<Answer, CallError> {
    if let Some(closed) = shared.closed() {
        return Err(refused(closed));
    }
    let text = text(shared, &summary).await?;
    let append = summary.append;
    let new = NewSummary { call: id, text: shared.mask(&text), append };
    let (attempt, written) = (shared.plan.group.attempt.clone(), new.clone());
    let write = shared
        .services
        .store
        .write(move |tx| Box::pin(async move { summaries::write(tx, &attempt, &written, CAPS).await }));
    match write.await.map_err(infra)? {
        Written::Known => {}
        Written::Kept => {
            failpoint("summary-kept");
            shared.observer.tell(Progress::Summary(SummaryWritten { text: new.text, append }));
        }
        Written::TooLong(bytes) => return Err(too_long(bytes)),
        Written::TooMany => return Err(invalid(format!("a job writes at most {} summaries: join them", CAPS.calls))),
    }
    Ok(Answer::Done {})
}

/// The text of a call, or of the file that it names.
async fn text<R: Runtime>(shared: &Shared<R>, summary: &SummaryMarkdown) -> Result<String, CallError> {
    match (&summary.text, &summary.text_file) {
        (Some(text), None) if text.len() <= INLINE_TEXT_BYTES => Ok(text.clone()),
        (None, Some(path)) => fetched(shared, path).await,
        _ => Err(invalid(format!("exactly one of text (at most {INLINE_TEXT_BYTES} bytes) and text_file"))),
    }
}

/// A long text goes by file, from the coordinator's outbox.
async fn fetched<R: Runtime>(shared: &Shared<R>, path: &str) -> Result<String, CallError> {
    let coordinator = shared.link(&ContainerName::coordinator()).ok_or_else(|| infra("the coordinator is gone"))?;
    let mut file = shared.services.logs.unnamed_file().map_err(infra)?;
    let fetched = transfer::fetch(&coordinator, path, SUMMARY_BYTES, &file).await;
    fetched.map_err(|error| match error {
        TransferError::Disk(_) => infra(error),
        TransferError::TooLarge { .. } => invalid(format!("the text is longer than {} MiB", SUMMARY_BYTES >> 20)),
        other => invalid(format!("text_file: {other}")),
    })?;
    let mut text = String::new();
    file.rewind()
        .and_then(|()| file.read_to_string(&mut text))
        .map_err(|_| invalid("the text is not UTF-8".to_owned()))?;
    Ok(text)
}

fn too_long(bytes: u64) -> CallError {
    let most = SUMMARY_BYTES >> 20;
    invalid(format!(
        "with this text the job's summary would have {bytes} bytes, and at most {most} MiB is kept: shorten it, or upload \
         the text with artifacts.upload"
    ))
}

/// Tells of what was written before a restart.
pub async fn tell_again<R: Runtime>(shared: &Shared<R>) -> Result<(), EngineError> {
    for row in summaries::list(shared.services.store.read(), &shared.plan.group.attempt).await? {
        shared.observer.tell(Progress::Summary(SummaryWritten { text: row.text, append: true }));
    }
    Ok(())
}
