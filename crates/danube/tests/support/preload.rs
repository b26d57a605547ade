//! A library that stands before the C library in the process under test: a clock that jumps, a disk that fails.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Project, binary};

/// The library, and the files by which it is told what to do.
pub struct Preload {
    library: PathBuf,
    clock: PathBuf,
    eio: PathBuf,
}

impl Preload {
    /// Compiles it. None, said in so many words, where the binary takes no library.
    pub fn new(project: &Project) -> Option<Self> {
        let dynamic = fs::read(binary()).expect("the binary").windows(10).any(|bytes| bytes == b"/ld-linux-");
        if !dynamic {
            eprintln!("skipped: this binary is linked statically, so nothing can stand before its C library");
            return None;
        }
        let library = project.outside("preload.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/preload.c");
        let made =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl").status();
        assert!(made.expect("cc is there: Rust links with it").success());
        let preload = Self { library, clock: project.outside("clock"), eio: project.outside("eio") };
        preload.set_clock(0);
        Some(preload)
    }

    /// Has a command use it.
    pub fn before(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library);
        command.env("DANUBE_TEST_CLOCK", &self.clock).env("DANUBE_TEST_EIO", &self.eio);
    }

    /// So many seconds is the wall clock wrong.
    pub fn set_clock(&self, seconds: i64) {
        let new = self.clock.with_extension("new");
        fs::write(&new, seconds.to_string()).and_then(|()| fs::rename(new, &self.clock)).expect("written");
    }

    /// From now on nothing the database writes gets to the disk, or does again.
    pub fn break_disk(&self, broken: bool) {
        let done = if broken { fs::write(&self.eio, "") } else { fs::remove_file(&self.eio) };
        done.expect("told");
    }
}
