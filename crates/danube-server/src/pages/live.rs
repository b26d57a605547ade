//! `/events`: tells a page with a list that the list is another one by now. What it is now is on the page itself, which
//! the browser asks for again, so that there is one way to make it.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::response::Response;
use danube_engine::master::LiveLists;
use danube_store::runs;
use serde::Deserialize;
use tokio::time::Instant;

use super::link;
use crate::api::events::answer;
use crate::context::Ctx;
use crate::events::{HEARTBEAT, short_hash};
use crate::problem::Problem;
use crate::request::extract::InQuery;

/// A reader looks at most so often.
const PACE: Duration = Duration::from_secs(1);
/// What no job tells of, such as a new pipeline, is seen at the latest then.
const HEARTBEAT_AFTER: Duration = Duration::from_secs(15);

/// Which list, and how it stood on the page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Of this pipeline; else all that goes on.
    pipeline: Option<String>,
    after: Option<String>,
}

/// Where a page that is made now listens: the address has how its list stands.
pub(super) async fn address(ctx: &Ctx, pipeline: Option<&str>) -> Result<String, Problem> {
    let of = pipeline.map_or_else(String::new, |name| format!("pipeline={}&", link::segment(name)));
    Ok(format!("/events?{of}after={}", standing(ctx, pipeline).await?))
}

async fn standing(ctx: &Ctx, pipeline: Option<&str>) -> Result<String, Problem> {
    let text = runs::standing(ctx.store().read(), pipeline).await?;
    Ok(format!("{:016x}", short_hash(text.as_bytes())))
}

pub(crate) async fn stream(Shared(ctx): Shared<Ctx>, InQuery(asked): InQuery<Asked>) -> Result<Response, Problem> {
    let changes = ctx.master.live().follow_lists();
    let reader = Reader { changes, pipeline: asked.pipeline, told: asked.after.unwrap_or_default(), looked: None, ctx };
    Ok(answer(reader, |mut reader| async move { Ok(reader.next().await?.map(|bytes| (bytes, reader))) }))
}

/// One who looks at a list.
struct Reader {
    ctx: Ctx,
    changes: LiveLists,
    pipeline: Option<String>,
    /// How the list stood when it was told last.
    told: String,
    looked: Option<Instant>,
}

impl Reader {
    /// The next event; none when the server stops.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            if let Some(looked) = self.looked {
                tokio::select! {
                    () = tokio::time::sleep_until(looked + PACE) => {}
                    () = self.ctx.shutdown.cancelled() => return Ok(None),
                }
            }
            // What comes from here on wakes the reader again.
            self.changes.mark();
            let now = standing(&self.ctx, self.pipeline.as_deref()).await?;
            self.looked = Some(Instant::now());
            if now != self.told {
                let event = format!("id: {now}\nevent: changed\ndata: {{}}\n\n");
                self.told = now;
                return Ok(Some(event.into()));
            }
            tokio::select! {
                () = self.changes.changed() => {}
                () = tokio::time::sleep(HEARTBEAT_AFTER) => {
                    self.looked = None;
                    return Ok(Some(HEARTBEAT));
                }
                () = self.ctx.shutdown.cancelled() => return Ok(None),
            }
        }
    }
}
