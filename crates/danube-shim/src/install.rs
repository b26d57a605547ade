//! `danube-shim install DIR`: an image that holds nothing but the shim fills the volume that every container of a pod
//! mounts read-only.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::error::Error;

/// Copies this program to `DIR/danube-shim`, executable by all and writable by none.
pub fn install(folder: &Path) -> Result<(), Error> {
    let target = folder.join("danube-shim");
    let temporary = folder.join(".danube-shim.new");
    copy(&temporary).map_err(Error::path("write", &temporary))?;
    std::fs::rename(&temporary, &target).map_err(Error::path("put in place", &target))
}

fn copy(target: &Path) -> io::Result<()> {
    // A former try may have left one that cannot be written.
    let _ = std::fs::remove_file(target);
    let mut from = File::open("/proc/self/exe")?;
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o555).open(target)?;
    io::copy(&mut from, &mut to)?;
    to.set_permissions(std::fs::Permissions::from_mode(0o555))?;
    to.sync_all()
}
