//! An API server that is away for a while: its restart, or its node's, must fail no job.

use std::future::Future;
use std::time::Duration;

use danube_core::runtime::{GroupFailure, RuntimeError};
use kube::runtime::utils::Backoff;
use tokio::time::Instant;

/// So long is asked again.
const LONGEST: Duration = Duration::from_secs(180);
/// Between two tries at first, and at last.
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The pauses between tries, each twice as long as the one before. A watch begins anew with the shortest when it has heard
/// something.
pub struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(SHORTEST)
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let longer = (self.0 * 2).min(LONGEST_PAUSE);
        Some(std::mem::replace(&mut self.0, longer))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Asks until there is an answer that will not change by itself; a refusal does, while the API server is not ready. What is
/// asked must be the same however often it is done.
pub async fn patiently<T, F, R>(mut once: impl FnMut() -> F, ready: impl Fn() -> R) -> Result<T, RuntimeError>
where
    F: Future<Output = Result<T, RuntimeError>>,
    R: Future<Output = bool>,
{
    let (since, mut pauses) = (Instant::now(), Pauses::default());
    loop {
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
        let answer = once().await;
        let (Err(error), true) = (&answer, since.elapsed() + pause < LONGEST) else { return answer };
        if !may_pass(error, &ready).await {
            return answer;
        }
        tracing::warn!(%error, "the cluster is asked again");
        tokio::time::sleep(pause).await;
    }
}

async fn may_pass<R: Future<Output = bool>>(error: &RuntimeError, ready: &impl Fn() -> R) -> bool {
    match error {
        RuntimeError::Transient(_) => true,
        RuntimeError::Refused { kind: GroupFailure::Infra, .. } => !ready().await,
        RuntimeError::NotRunning(_) | RuntimeError::Refused { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ready() -> std::future::Ready<bool> {
        std::future::ready(true)
    }

    /// An API server that has just started knows of no account what it may do.
    #[tokio::test(start_paused = true)]
    async fn a_refusal_counts_once_the_api_server_is_ready() {
        let refused = || RuntimeError::Refused { kind: GroupFailure::Infra, message: "pods is forbidden".into() };
        let asked = std::cell::Cell::new(0);
        let once = || {
            asked.set(asked.get() + 1);
            std::future::ready(if asked.get() < 4 { Err(refused()) } else { Ok(()) })
        };
        assert!(patiently(once, || std::future::ready(false)).await.is_ok());
        asked.set(0);
        assert!(patiently(once, is_ready).await.is_err());
        assert_eq!(asked.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_asked_again_and_what_will_not_is_told_at_once() {
        let mut asked = 0;
        let answer = patiently(
            || {
                asked += 1;
                let here = if asked < 5 { Err(RuntimeError::Transient("away".into())) } else { Ok(asked) };
                std::future::ready(here)
            },
            is_ready,
        );
        assert_eq!(answer.await.ok(), Some(5));
        let mut asked = 0;
        let refused = patiently(
            || {
                asked += 1;
                std::future::ready(Err::<(), _>(RuntimeError::NotRunning("a pod".into())))
            },
            is_ready,
        );
        assert!(refused.await.is_err());
        assert_eq!(asked, 1);
    }

    #[test]
    fn a_watch_of_a_cluster_that_is_away_asks_less_and_less_often_and_at_once_again_when_it_is_back() {
        let mut pauses = Pauses::default();
        let millis: Vec<u128> = pauses.by_ref().take(7).map(|pause| pause.as_millis()).collect();
        assert_eq!(millis, [200, 400, 800, 1600, 3200, 5000, 5000]);
        pauses.reset();
        assert_eq!(pauses.next(), Some(SHORTEST));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_stays_away_is_given_up() {
        let since = Instant::now();
        let away = patiently(|| std::future::ready(Err::<(), _>(RuntimeError::Transient("away".into()))), is_ready);
        assert!(matches!(away.await, Err(RuntimeError::Transient(_))));
        assert!(since.elapsed() < LONGEST);
    }
}
