//! A library that stands before the C library in the process under test: a clock that jumps, a disk that fails, a power
//! cut that takes what was not synced.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Project, binary};

/// What is lost when the power is cut.
#[derive(Clone, Copy, Debug)]
pub enum Lost {
    /// What was written and not synced. A file keeps its name and may be empty.
    Bytes,
    /// Names too: what was made, renamed or removed in a folder that was not synced since.
    BytesAndNames,
}

/// The library, and the files by which it is told what to do.
pub struct Preload {
    library: PathBuf,
    clock: PathBuf,
    eio: PathBuf,
    disk: PathBuf,
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
        let preload = Self {
            library,
            clock: project.outside("clock"),
            eio: project.outside("eio"),
            disk: project.outside("disk"),
        };
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

    /// Has a command keep what it syncs, from now on: what is there now is on the disk.
    pub fn before_a_cut(&self, command: &mut Command, data: &Path) {
        // There is none before the first time.
        let _ = fs::remove_dir_all(&self.disk);
        fs::create_dir(&self.disk).expect("a folder");
        fs::create_dir_all(data).expect("a folder");
        self.note(data);
        self.before(command);
        command.env("DANUBE_TEST_DISK", &self.disk);
    }

    /// Makes a folder what it is after the power was cut. Nobody may be using it.
    pub fn cut(&self, data: &Path, lost: Lost) {
        let before = data.with_extension("before");
        fs::rename(data, &before).expect("put aside");
        self.rebuild(&before, &key(&fs::metadata(&before).expect("a folder")), data, lost);
        fs::remove_dir_all(before).expect("removed");
    }

    /// Keeps a folder as it stands.
    fn note(&self, folder: &Path) {
        let mut names = String::new();
        for (name, path, found) in entries(folder) {
            names += &format!("{} {} {name}\n", key(&found), if found.is_dir() { 'd' } else { 'f' });
            if found.is_dir() {
                self.note(&path);
            } else if found.is_file() {
                fs::copy(&path, self.disk.join(key(&found))).expect("copied");
            }
        }
        let own = key(&fs::metadata(folder).expect("a folder"));
        fs::write(self.disk.join(own), names).expect("noted");
    }

    /// What the disk has of a file. Monitors start without the library and sync their records themselves: those stay.
    fn bytes(&self, key: &str, was: &Path) -> Vec<u8> {
        let of_monitors = was.components().any(|part| part.as_os_str() == "groups");
        let kept = fs::read(self.disk.join(key));
        kept.or_else(|lost| if of_monitors { fs::read(was) } else { Err(lost) }).unwrap_or_default()
    }

    /// The folder with this key, as the disk has it. `was` is what it was; empty when it is not known by that name.
    fn rebuild(&self, was: &Path, own: &str, to: &Path, lost: Lost) {
        fs::create_dir(to).expect("a folder");
        let names: Vec<(String, bool, String)> = match lost {
            Lost::Bytes => entries(was).map(|(name, _, found)| (key(&found), found.is_dir(), name)).collect(),
            Lost::BytesAndNames => {
                let text = fs::read_to_string(self.disk.join(own)).unwrap_or_default();
                let words = |line: &str| {
                    let mut words = line.splitn(3, ' ').map(str::to_owned);
                    let mut word = || words.next().expect("three words");
                    (word(), word() == "d", word())
                };
                text.lines().map(words).collect()
            }
        };
        for (key, is_folder, name) in names {
            if is_folder {
                self.rebuild(&was.join(&name), &key, &to.join(name), lost);
            } else {
                fs::write(to.join(&name), self.bytes(&key, &was.join(&name))).expect("written");
                let mode = fs::metadata(was.join(&name)).map_or(0o600, |found| found.permissions().mode());
                fs::set_permissions(to.join(name), PermissionsExt::from_mode(mode)).expect("its mode");
            }
        }
        let mode = fs::metadata(was).map_or(0o700, |found| found.permissions().mode());
        fs::set_permissions(to, PermissionsExt::from_mode(mode)).expect("its mode");
    }
}

/// What is in a folder. Links and sockets are no part of what must last.
fn entries(folder: &Path) -> impl Iterator<Item = (String, PathBuf, Metadata)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let all = entries.filter_map(|entry| {
        Some((entry.file_name().to_string_lossy().into_owned(), entry.path(), entry.metadata().ok()?))
    });
    all.filter(|(_, _, found)| found.is_dir() || found.is_file())
}

/// As the library names it.
fn key(found: &Metadata) -> String {
    let made = found.created().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
    format!("{}-{}.{:09}", found.ino(), made.as_secs(), made.subsec_nanos())
}
