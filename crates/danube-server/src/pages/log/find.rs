//! Search through all lines of a run, whether they are on the page or not.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use danube_engine::logs::{LogDir, LogError};
use danube_store::steps::StepKey;
use serde::Serialize;

use super::steps::Steps;
use super::view::Search;
use crate::answer::blocking;
use crate::api::logs::open;
use crate::context::Ctx;
use crate::logview::scan;
use crate::problem::Problem;

/// Lines that are counted.
const MOST: usize = 10_000;
/// After this time the lines so far are the answer: for a text, and for an expression.
const PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE_FOR_EXPRESSIONS: Duration = Duration::from_secs(2);

/// Lines that have what was searched for.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Hits {
    /// Step and line, from 1, in order.
    pub lines: Vec<(u32, u64)>,
    /// How many each step has.
    pub steps: BTreeMap<u32, u64>,
    /// There may be more.
    pub more: bool,
}

/// Searches.
pub(super) async fn find(ctx: &Ctx, steps: &Steps, search: &Search) -> Result<Hits, Problem> {
    let keys: Vec<StepKey> = steps.all.iter().map(|step| steps.key(step.number)).collect();
    let _turn = ctx.searches.acquire().await.map_err(Problem::internal)?;
    let wanted = Arc::new(());
    let (logs, search, asks) = (ctx.master.logs().clone(), search.clone(), Arc::downgrade(&wanted));
    let found = blocking(move || run(&logs, &keys, &search, &asks)).await??;
    drop(wanted);
    Ok(found)
}

/// Ends early when nobody waits any more: `asks` cannot be upgraded then.
fn run(logs: &LogDir, keys: &[StepKey], search: &Search, asks: &Weak<()>) -> Result<Hits, LogError> {
    let patience = if search.is_expression { PATIENCE_FOR_EXPRESSIONS } else { PATIENCE };
    let (mut hits, deadline) = (Hits::default(), Instant::now() + patience);
    for key in keys {
        let Some(log) = open(logs, key)? else { continue };
        let goes_on = || asks.strong_count() > 0 && Instant::now() < deadline;
        let is_whole = scan(log, &search.needle, goes_on, |found| {
            hits.lines.push((key.number, found.line + 1));
            *hits.steps.entry(key.number).or_default() += 1;
            hits.lines.len() < MOST
        })?;
        if !is_whole {
            return Ok(Hits { more: true, ..hits });
        }
    }
    Ok(hits)
}
