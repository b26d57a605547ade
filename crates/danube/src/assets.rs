//! The files that the binary carries, unpacked once per content into the data directory.

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use danube_sandbox::Python;
use zip::ZipArchive;

use crate::error::CliError;

/// PID 1 of every container, a static program.
const SHIM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/danube-shim"));
/// The SDK as pip installs it.
const WHEEL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/danube-sdk.whl"));

/// What starts the SDK's runner. Not part of the wheel: it is of no use in anybody's site-packages.
const RUNNER: &str = include_str!("../../../coordinator/src/danube-runner.py");
/// Its name beside the package.
pub const RUNNER_NAME: &str = "danube-runner.py";

/// Where the unpacked files are.
#[derive(Clone, Debug)]
pub struct Assets {
    /// The shim's program.
    pub shim: PathBuf,
    /// The folder that holds the package `danube`.
    pub sdk: PathBuf,
}

/// Unpacks what is not there yet. A half-written file is never seen: each appears under its name by a rename.
pub fn unpack(dir: &Path) -> Result<Assets, CliError> {
    let failed = |error: std::io::Error| {
        CliError::infra(format!("cannot unpack Danube's own files in {}: {error}", dir.display()))
            .hint("free some space, or choose another place with --data-dir")
    };
    fs::create_dir_all(dir).map_err(failed)?;
    let shim = dir.join(concat!("danube-shim-", env!("DANUBE_SHIM_DIGEST")));
    if !shim.exists() {
        write_program(&shim).map_err(failed)?;
    }
    let sdk = dir.join(concat!("sdk-", env!("DANUBE_SDK_DIGEST")));
    if !sdk.exists() {
        write_sdk(&sdk).map_err(failed)?;
    }
    Ok(Assets { shim, sdk })
}

/// Compiles the SDK once for each version of Python: every run's start is some milliseconds shorter. The copy belongs to
/// Danube and is never changed, so nothing need be compared with its source. Without it a run only starts later.
pub fn precompile(sdk: &Path, python: &Python) {
    let marker = sdk.join(format!(".compiled-{}", python.version));
    if marker.exists() {
        return;
    }
    let mut compile = Command::new(&python.path);
    compile.args(["-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]).arg(sdk.join("danube"));
    let compiled = compile.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success());
    if !compiled || sync_all(sdk).and_then(|()| fs::write(marker, "")).is_err() {
        tracing::debug!(python = %python.path.display(), "the SDK is not compiled ahead");
    }
}

fn write_program(path: &Path) -> std::io::Result<()> {
    let partial = partial(path);
    let mut file = File::create(&partial)?;
    file.write_all(SHIM)?;
    file.set_permissions(fs::Permissions::from_mode(0o555))?;
    file.sync_all()?;
    drop(file);
    fs::rename(partial, path)
}

fn write_sdk(path: &Path) -> std::io::Result<()> {
    let partial = partial(path);
    let mut wheel = ZipArchive::new(Cursor::new(WHEEL)).map_err(std::io::Error::other)?;
    wheel.extract(&partial).map_err(std::io::Error::other)?;
    fs::write(partial.join(RUNNER_NAME), RUNNER)?;
    // After a power cut its name may be there and its files empty: then nothing would ever put it right.
    sync_all(&partial)?;
    match fs::rename(&partial, path) {
        // Another run was faster; its copy is the same.
        Err(_) if path.exists() => fs::remove_dir_all(partial),
        renamed => renamed,
    }
}

/// Makes every file below a folder durable.
fn sync_all(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

fn partial(path: &Path) -> PathBuf {
    path.with_extension(format!("partial-{}", std::process::id()))
}
