//! Makes the two files that the binary carries: the static shim, by a nested cargo with a target folder of its own, and
//! the SDK's wheel. Neither is made again unless its sources changed.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// What the shim is built from, relative to the workspace.
const SHIM_SOURCES: [&str; 5] =
    ["crates/danube-shim", "crates/danube-proto", "crates/danube-core", "Cargo.toml", "Cargo.lock"];
/// The SDK's package, relative to the workspace.
const SDK: &str = "coordinator/src";
/// What starts a danubefile, unpacked beside the SDK.
const RUNNER: &str = "coordinator/src/danube-runner.py";

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    shim(&root, &out)?;
    wheel(&root, &out)?;
    name_contents("SHIM", &[out.join("danube-shim")])?;
    name_contents("SDK", &[out.join("danube-sdk.whl"), root.join(RUNNER)])
}

/// What the files are unpacked under, so that no run need hash them: `DANUBE_…_DIGEST`, the start of their SHA-256.
fn name_contents(what: &str, files: &[PathBuf]) -> Outcome<()> {
    let mut hasher = Sha256::new();
    for file in files {
        hasher.update(fs::read(file)?);
    }
    println!("cargo:rustc-env=DANUBE_{what}_DIGEST={}", hex::encode(&hasher.finalize()[..8]));
    Ok(())
}

/// Runs this again when a source has changed. It is named relative to this crate: a target folder that serves two checkouts
/// must not keep what it made of the other one's.
fn watch(source: &str) {
    println!("cargo:rerun-if-changed=../../{source}");
}

/// `DANUBE_SHIM_PREBUILT` names a shim built elsewhere (the flake builds it as a package of its own).
fn shim(root: &Path, out: &Path) -> Outcome<()> {
    println!("cargo:rerun-if-env-changed=DANUBE_SHIM_PREBUILT");
    SHIM_SOURCES.iter().for_each(|source| watch(source));
    let built = match env::var_os("DANUBE_SHIM_PREBUILT") {
        Some(path) => PathBuf::from(path),
        None => build_shim(root, out)?,
    };
    fs::copy(&built, out.join("danube-shim")).map_err(|error| format!("{}: {error}", built.display()))?;
    Ok(())
}

fn build_shim(root: &Path, out: &Path) -> Outcome<PathBuf> {
    // The outer cargo holds its own target folder's lock, so the nested one needs another. It stands beside the outer
    // one's profiles, so that debug and release share it.
    let target_dir = out.ancestors().nth(4).ok_or("OUT_DIR is not in a target folder")?.join("shim");
    let triple = env::var("TARGET")?;
    let mut cargo = Command::new(env::var_os("CARGO").ok_or("CARGO is not set")?);
    cargo.current_dir(root).args([
        "build",
        "--package",
        "danube-shim",
        "--bin",
        "danube-shim",
        "--profile",
        "shim",
        "--locked",
    ]);
    cargo.args(["--target", &triple]).arg("--target-dir").arg(&target_dir);
    // With --target these flags are for the shim alone, not for its build scripts.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", shim_flags().join("\u{1f}")).env_remove("RUSTFLAGS");
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let of_outer = name.starts_with("CARGO_FEATURE_") || name.starts_with("CARGO_CFG_") || name.starts_with("DEP_");
        if of_outer || ["CARGO_TARGET_DIR", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"].contains(&name.as_str()) {
            cargo.env_remove(&name);
        }
    }
    let status = cargo.status()?;
    if !status.success() {
        return Err(format!("building danube-shim: {status}").into());
    }
    Ok(target_dir.join(triple).join("shim/danube-shim"))
}

/// Of the outer build's flags those that keep this machine's paths out; the others are not meant for the shim.
fn shim_flags() -> Vec<String> {
    let outer = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let kept = outer.split('\u{1f}').filter(|flag| flag.starts_with("--remap-path-prefix="));
    ["-Ctarget-feature=+crt-static", "-Clink-arg=-Wl,--build-id=none"]
        .into_iter()
        .chain(kept)
        .map(str::to_owned)
        .collect()
}

/// A wheel as pip installs it (PEP 427): every file stored, in order, with one fixed date, so that it is reproducible.
fn wheel(root: &Path, out: &Path) -> Outcome<()> {
    let sources = root.join(SDK);
    watch(SDK);
    let version = env::var("CARGO_PKG_VERSION")?;
    let info = format!("danube_sdk-{version}.dist-info");
    let mut files = Vec::new();
    collect(&sources.join("danube"), "danube", &mut files)?;
    let metadata = format!("Metadata-Version: 2.1\nName: danube-sdk\nVersion: {version}\nRequires-Python: >=3.11\n");
    files.push((format!("{info}/METADATA"), metadata.into_bytes()));
    let wheel = "Wheel-Version: 1.0\nGenerator: danube\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    files.push((format!("{info}/WHEEL"), wheel.into()));
    let record: String = files.iter().map(|(name, _)| format!("{name},,\n")).collect();
    files.push((format!("{info}/RECORD"), format!("{record}{info}/RECORD,,\n").into_bytes()));
    write_zip(ZipWriter::new(File::create(out.join("danube-sdk.whl"))?), &files)
}

fn collect(dir: &Path, name: &str, files: &mut Vec<(String, Vec<u8>)>) -> Outcome<()> {
    let mut entries: Vec<_> = fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let inner = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            if !inner.ends_with("__pycache__") {
                collect(&entry.path(), &inner, files)?;
            }
        } else {
            files.push((inner, fs::read(entry.path())?));
        }
    }
    Ok(())
}

fn write_zip<W: Write + Seek>(mut zip: ZipWriter<W>, files: &[(String, Vec<u8>)]) -> Outcome<()> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).unix_permissions(0o644);
    for (name, content) in files {
        zip.start_file(name.as_str(), options)?;
        zip.write_all(content)?;
    }
    zip.finish()?;
    Ok(())
}
