//! Opening the data directory: lock, look, connect, check, migrate, count the epoch.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

use crate::check;
use crate::lock::DirectoryLock;
use crate::writer::Writer;
use crate::{DATABASE, Durability, LOGS, Store, StoreError};

/// Every step the schema has taken. A released one is never changed: a new one is added.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!();

const READERS: u32 = 4;

pub(crate) async fn open(dir: &Path, durability: Durability, migrations: &Migrator) -> Result<Store, StoreError> {
    open_within(dir, durability, migrations, check::PATIENCE).await
}

/// With another time for looking at what is there.
pub(crate) async fn open_within(
    dir: &Path,
    durability: Durability,
    migrations: &Migrator,
    patience: Duration,
) -> Result<Store, StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(StoreError::io("make", dir))?;
    let lock = DirectoryLock::take(dir)?;
    let path = dir.join(DATABASE);
    look(dir, &path)?;
    if !path.exists() {
        create(dir, &path, durability, migrations).await?;
    }
    let mut connection = connect(&path, durability).await.map_err(|error| unreadable(&path, error))?;
    let is_whole = check::whole_within(&mut connection, &path, patience).await?;
    migrate(&mut connection, &path, migrations).await?;
    let epoch = next_epoch(&mut connection).await.map_err(|error| StoreError::from(error).located(dir))?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .connect_with(options(&path, durability).read_only(true))
        .await
        .map_err(|error| unreadable(&path, error))?;
    let writer = Writer::start(connection, lock, dir, (!is_whole).then(|| options(&path, durability)));
    Ok(Store { dir: dir.into(), epoch: crate::from_sql(epoch), durability, writer, readers })
}

/// Refuses what cannot be a database of ours, before SQLite would make an empty one of it.
pub(crate) fn look(dir: &Path, path: &Path) -> Result<(), StoreError> {
    let damaged = |what: &str| Err(StoreError::Damaged { path: path.to_owned(), what: what.to_owned() });
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => damaged("it is not a regular file"),
        Ok(found) if found.len() == 0 => damaged("it is empty"),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            match [dir.join(format!("{DATABASE}-wal")), dir.join(LOGS)].into_iter().find(|remains| remains.exists()) {
                Some(remains) => Err(StoreError::Missing { path: path.to_owned(), remains }),
                None => Ok(()),
            }
        }
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

/// Makes the database under another name first, so that one that stands under its own name is always whole.
pub(crate) async fn create(
    dir: &Path,
    path: &Path,
    durability: Durability,
    migrations: &Migrator,
) -> Result<(), StoreError> {
    let draft = dir.join(format!("{DATABASE}.new"));
    for suffix in ["", "-wal", "-shm"] {
        remove(&PathBuf::from(format!("{}{suffix}", draft.display())))?;
    }
    let options = options(&draft, durability).create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
    let mut connection = options.connect().await.map_err(|error| StoreError::from(error).located(dir))?;
    migrate(&mut connection, &draft, migrations).await?;
    connection.close().await.map_err(|error| StoreError::from(error).located(dir))?;
    if durability == Durability::PowerCut {
        File::open(&draft).and_then(|file| file.sync_all()).map_err(StoreError::io("sync", &draft))?;
        sync_ways(dir)?;
    }
    fs::rename(&draft, path).map_err(StoreError::io("rename", &draft))?;
    if durability == Durability::Kill {
        return Ok(());
    }
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io("sync", dir))
}

/// Makes the way to the data directory durable, as far as this user may: folders on it may just have been made.
fn sync_ways(dir: &Path) -> Result<(), StoreError> {
    for folder in dir.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
        match File::open(folder) {
            Ok(folder_file) => folder_file.sync_all().map_err(StoreError::io("sync", folder))?,
            // Somebody else's, and so made by somebody else.
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn options(path: &Path, durability: Durability) -> SqliteConnectOptions {
    let synchronous = match durability {
        Durability::PowerCut => SqliteSynchronous::Full,
        Durability::Kill => SqliteSynchronous::Off,
    };
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .synchronous(synchronous)
        // What is overwritten is gone from the page too: a running step's row holds a few bytes of unmasked output.
        .pragma("secure_delete", "FAST")
}

/// The writer's connection.
pub(crate) async fn connect(path: &Path, durability: Durability) -> Result<SqliteConnection, sqlx::Error> {
    options(path, durability).journal_mode(SqliteJournalMode::Wal).connect().await
}

fn unreadable(path: &Path, error: sqlx::Error) -> StoreError {
    let dir = path.parent().unwrap_or(path);
    StoreError::from(error).located(dir)
}

/// The last step of a schema.
pub(crate) fn known(migrations: &Migrator) -> i64 {
    migrations.iter().map(|step| step.version).max().unwrap_or(0)
}

pub(crate) async fn migrate(
    connection: &mut SqliteConnection,
    path: &Path,
    migrations: &Migrator,
) -> Result<(), StoreError> {
    let known = known(migrations);
    migrations.run(&mut *connection).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) if found > known => {
            StoreError::Newer { path: path.to_owned(), found, known }
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            match StoreError::from(error).located(path.parent().unwrap_or(path)) {
                StoreError::Query(error) => StoreError::Migration { path: path.to_owned(), why: error.to_string() },
                located => located,
            }
        }
        other => StoreError::Migration { path: path.to_owned(), why: other.to_string() },
    })
}

async fn next_epoch(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!("UPDATE meta SET epoch = epoch + 1 RETURNING epoch").fetch_one(connection).await
}
