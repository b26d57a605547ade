//! An API server that is away for a while: its restart, or its node's, must fail no job.

use std::future::Future;
use std::time::Duration;

use danube_core::runtime::RuntimeError;
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

/// Asks until there is an answer that will not change by itself. What is asked must be the same however often it is done.
pub async fn patiently<T, F>(mut once: impl FnMut() -> F) -> Result<T, RuntimeError>
where
    F: Future<Output = Result<T, RuntimeError>>,
{
    let (since, mut pauses) = (Instant::now(), Pauses::default());
    loop {
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
        match once().await {
            Err(RuntimeError::Transient(message)) if since.elapsed() + pause < LONGEST => {
                tracing::warn!(%message, "the cluster is asked again");
            }
            answer => return answer,
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_asked_again_and_what_will_not_is_told_at_once() {
        let mut asked = 0;
        let answer = patiently(|| {
            asked += 1;
            let here = if asked < 5 { Err(RuntimeError::Transient("away".into())) } else { Ok(asked) };
            std::future::ready(here)
        });
        assert_eq!(answer.await.ok(), Some(5));
        let mut asked = 0;
        let refused = patiently(|| {
            asked += 1;
            std::future::ready(Err::<(), _>(RuntimeError::NotRunning("a pod".into())))
        });
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
        let away = patiently(|| std::future::ready(Err::<(), _>(RuntimeError::Transient("away".into()))));
        assert!(matches!(away.await, Err(RuntimeError::Transient(_))));
        assert!(since.elapsed() < LONGEST);
    }
}
