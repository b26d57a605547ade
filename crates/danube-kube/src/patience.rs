//! An API server that is away for a while: its restart, or its node's, must fail no job.

use std::future::Future;
use std::time::Duration;

use danube_core::runtime::RuntimeError;
use tokio::time::Instant;

/// So long is asked again.
const LONGEST: Duration = Duration::from_secs(180);
/// Between two tries at first, and at last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Asks until there is an answer that will not change by itself. What is asked must be the same however often it is done.
pub async fn patiently<T, F>(mut once: impl FnMut() -> F) -> Result<T, RuntimeError>
where
    F: Future<Output = Result<T, RuntimeError>>,
{
    let (since, mut pause) = (Instant::now(), PAUSES.0);
    loop {
        match once().await {
            Err(RuntimeError::Transient(message)) if since.elapsed() + pause < LONGEST => {
                tracing::warn!(%message, "the cluster is asked again");
            }
            answer => return answer,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
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

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_stays_away_is_given_up() {
        let since = Instant::now();
        let away = patiently(|| std::future::ready(Err::<(), _>(RuntimeError::Transient("away".into()))));
        assert!(matches!(away.await, Err(RuntimeError::Transient(_))));
        assert!(since.elapsed() < LONGEST);
    }
}
