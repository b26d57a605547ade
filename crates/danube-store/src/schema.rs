//! The schema of a data directory that no master has open: which one it is, and bringing it up to this version's.

use std::path::Path;

use sqlx::{Connection, SqliteConnection};

use crate::check;
use crate::lock::DirectoryLock;
use crate::open::{self, MIGRATIONS};
use crate::{DATABASE, Durability, StoreError};

/// Which schema a database has, and which one this Danube has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The number of its last step.
    pub found: i64,
    /// The number of the last step that this Danube knows.
    pub known: i64,
}

impl Schema {
    /// Whether nothing need be done.
    #[must_use]
    pub const fn is_current(&self) -> bool {
        self.found == self.known
    }
}

/// Looks at a data directory and changes nothing. None where there is no database yet.
///
/// # Errors
/// When a master runs on it, or the database is damaged or from a newer Danube.
pub async fn look(dir: &Path) -> Result<Option<Schema>, StoreError> {
    with_database(dir, false).await
}

/// Brings a database up to this Danube's schema, and says what it was. None where there is no database yet.
///
/// # Errors
/// As [`look`], and when a step fails; then the database is as it was before that step.
pub async fn migrate(dir: &Path) -> Result<Option<Schema>, StoreError> {
    with_database(dir, true).await
}

async fn with_database(dir: &Path, change: bool) -> Result<Option<Schema>, StoreError> {
    if !dir.exists() {
        return Ok(None);
    }
    let _lock = DirectoryLock::take(dir)?;
    let path = dir.join(DATABASE);
    open::look(dir, &path)?;
    if !path.exists() {
        return Ok(None);
    }
    let unreadable = |error: sqlx::Error| StoreError::from(error).located(dir);
    let mut connection = open::connect(&path, Durability::PowerCut).await.map_err(unreadable)?;
    check::whole(&mut connection, &path).await?;
    let schema = Schema { found: version(&mut connection).await.map_err(unreadable)?, known: open::known(&MIGRATIONS) };
    if schema.found > schema.known {
        return Err(StoreError::Newer { path, found: schema.found, known: schema.known });
    }
    if change && !schema.is_current() {
        open::migrate(&mut connection, &path, &MIGRATIONS).await?;
    }
    connection.close().await.map_err(unreadable)?;
    Ok(Some(schema))
}

async fn version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let newest: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success").fetch_one(connection).await?;
    Ok(newest.unwrap_or(0))
}
