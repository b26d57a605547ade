//! An empty database to copy. Making the schema anew costs a short run more CPU than everything else in the store.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::open::{self, MIGRATIONS};
use crate::{DATABASE, Durability, StoreError};

/// The template of this schema in the folder of templates. Its name tells the schema: another version makes its own.
pub fn path(folder: &Path) -> PathBuf {
    let words = MIGRATIONS.iter().flat_map(|step| step.checksum.iter().take(4));
    let checksum: String = words.map(|byte| format!("{byte:02x}")).collect();
    folder.join(format!("empty-{checksum}.db"))
}

/// Gives a new data directory a copy of the template, which is made first where there is none.
pub async fn copy(template: &Path, dir: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(StoreError::io("make", dir))?;
    if !template.exists() {
        open::create(dir, template, Durability::Kill, &MIGRATIONS).await?;
    }
    // Under another name first: a database that stands under its own name is always whole.
    let draft = dir.join(format!("{DATABASE}.new"));
    fs::copy(template, &draft).map_err(StoreError::io("copy", template))?;
    fs::rename(&draft, dir.join(DATABASE)).map_err(StoreError::io("rename", &draft))
}

/// Removes a template that turned out to be damaged, and the copy that showed it.
pub fn discard(template: &Path, dir: &Path) -> Result<(), StoreError> {
    open::remove(template)?;
    ["", "-wal", "-shm"].iter().try_for_each(|suffix| open::remove(&dir.join(format!("{DATABASE}{suffix}"))))
}
