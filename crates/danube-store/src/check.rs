//! Whether the database is whole. A damaged page is worth a moment at start: found later, it would take running jobs along.
//! But the jobs of before wait to be taken up meanwhile, so what a moment is not enough for is looked at beside the work.

use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::watch;

use crate::StoreError;
use crate::error::is_interrupt;
use crate::open::remove;

/// So long is looked before anything else is done. Some 200 000 jobs are looked through in that time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// Steps of SQLite's machine after which it is asked whether to go on.
const TURN: i32 = 1000;

/// Reads every page once.
pub(crate) async fn whole(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    judge(look(connection).await, path)
}

/// Likewise, but gives up after a time: then the answer is false. What was found to be damaged is looked at to the end.
pub(crate) async fn whole_within(
    connection: &mut SqliteConnection,
    path: &Path,
    patience: Duration,
) -> Result<bool, StoreError> {
    let suspect = suspect(path);
    if suspect.exists() {
        whole(connection, path).await?;
        return remove(&suspect).map(|()| true);
    }
    let since = Instant::now();
    connection.lock_handle().await?.set_progress_handler(TURN, move || since.elapsed() < patience);
    let found = look(connection).await;
    connection.lock_handle().await?.remove_progress_handler();
    match found {
        Err(error) if is_interrupt(&error) => Ok(false),
        found => judge(found, path).map(|()| true),
    }
}

/// Looks while others work, as long as there is somebody to be told.
pub(crate) async fn beside(options: SqliteConnectOptions, path: PathBuf, broken: Weak<watch::Sender<Option<String>>>) {
    let (since, listener) = (Instant::now(), broken.clone());
    let looked = async {
        let mut connection = options.read_only(true).connect().await?;
        connection.lock_handle().await?.set_progress_handler(TURN, move || listener.strong_count() > 0);
        let found = look(&mut connection).await;
        // Nothing was written.
        let _ = connection.close().await;
        found
    };
    match looked.await {
        Err(error) if is_interrupt(&error) => {}
        found => match judge(found, &path) {
            Ok(()) => {
                tracing::info!(path = %path.display(), seconds = since.elapsed().as_secs(), "the database is whole")
            }
            Err(damaged) => tell(&damaged, &path, &broken),
        },
    }
}

/// The next start looks at all of it first, and refuses.
fn tell(damaged: &StoreError, path: &Path, broken: &Weak<watch::Sender<Option<String>>>) {
    if let Err(error) = std::fs::write(suspect(path), "") {
        tracing::warn!(path = %path.display(), %error, "that the database is damaged cannot be noted");
    }
    if let Some(broken) = broken.upgrade() {
        broken.send_replace(Some(damaged.to_string()));
    }
}

fn suspect(path: &Path) -> PathBuf {
    path.with_extension("suspect")
}

async fn look(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("PRAGMA quick_check(3)").fetch_all(connection).await
}

fn judge(found: Result<Vec<String>, sqlx::Error>, path: &Path) -> Result<(), StoreError> {
    let damaged = |what: String| StoreError::Damaged { path: path.to_owned(), what };
    match found {
        Ok(found) if found == ["ok"] => Ok(()),
        Ok(found) => Err(damaged(found.join("; "))),
        Err(error) => Err(damaged(error.to_string())),
    }
}
