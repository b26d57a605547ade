//! The real binary, driven as a user drives it, in a place of its own that must be empty of traces in the end.
//!
//! Each test file is a program of its own and uses a part of this.
#![allow(dead_code)]

pub mod cluster;
pub mod dev;
pub mod events;
pub mod git;
pub mod image;
pub mod preload;
pub mod processes;
pub mod pty;
pub mod site;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A folder with a danubefile and a data directory. Dropped, it checks that nothing is left behind.
pub struct Project {
    root: tempfile::TempDir,
    /// A test that leaves something behind on purpose says so.
    pub may_leave_traces: bool,
}

/// A finished run.
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Project {
    /// A project with this danubefile.
    pub fn new(danubefile: &str) -> Self {
        let project = Self::empty();
        project.write("danubefile.py", danubefile);
        project
    }

    /// A project without one.
    pub fn empty() -> Self {
        let root = tempfile::Builder::new().prefix("danube-e2e-").tempdir().expect("temporary folder");
        fs::create_dir(root.path().join("project")).expect("project folder");
        Self { root, may_leave_traces: false }
    }

    /// A pipeline whose function has this body, with the SDK's names imported.
    pub fn pipeline(body: &str) -> Self {
        let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
        Self::new(&format!("from danube import *\nimport danube\n\n@pipeline(name=\"test\")\ndef build():\n{body}"))
    }

    /// The folder with the danubefile.
    pub fn dir(&self) -> PathBuf {
        self.root.path().join("project")
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// A path outside the project, for witnesses.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a file of the project.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.dir().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, content).expect("written");
    }

    /// `danube run` with these arguments, ready to be changed and started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("run").arg(self.dir()).args(arguments);
        command.env("DANUBE_DATA_DIR", self.data()).env_remove("DANUBE_LOG").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().expect("danube starts"))
    }

    /// Starts it.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().expect("danube starts")
    }

    /// The folders of the runs so far, oldest first.
    pub fn runs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.data().join("runs")).into_iter().flatten().flatten();
        let mut runs: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        runs.sort();
        runs
    }

    /// The groups of containers that were not deleted.
    pub fn groups(&self) -> Vec<PathBuf> {
        let masters = [self.data().join("master")];
        let groups = self.runs().into_iter().chain(masters).map(|run| run.join("groups"));
        groups.flat_map(|groups| fs::read_dir(groups).into_iter().flatten().flatten()).map(|e| e.path()).collect()
    }

    /// Processes whose command line names this project's data directory.
    pub fn processes(&self) -> Vec<String> {
        let data = self.data().to_string_lossy().into_owned();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        lines.filter(|line| line.contains(&data)).collect()
    }

    /// Mounts that name this project's data directory.
    pub fn mounts(&self) -> Vec<String> {
        let data = self.data().to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        mounts.lines().filter(|line| line.contains(&data)).map(str::to_owned).collect()
    }

    /// Control groups of this project's jobs.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        // A group may be there before its job's logs are, or after.
        let named = ["logs", "groups"].map(|folder| fs::read_dir(self.data().join("master").join(folder)));
        let folders = named.into_iter().flatten().flatten().flatten().map(|entry| entry.path()).chain(self.runs());
        let jobs: Vec<String> = folders.filter_map(|job| Some(job.file_name()?.to_str()?.to_owned())).collect();
        let mut found = Vec::new();
        let mut pending = vec![(PathBuf::from("/sys/fs/cgroup"), 0)];
        while let Some((dir, depth)) = pending.pop() {
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten().filter(|e| e.path().is_dir()) {
                let name = entry.file_name().to_string_lossy().into_owned();
                if jobs.iter().any(|job| name.contains(job)) {
                    found.push(entry.path());
                } else if depth < 6 {
                    pending.push((entry.path(), depth + 1));
                }
            }
        }
        found
    }

    /// Fails if a run left a process, mount, control group or group folder.
    pub fn assert_no_traces(&self) {
        assert_eq!(self.processes(), Vec::<String>::new(), "processes are left");
        assert_eq!(self.mounts(), Vec::<String>::new(), "mounts are left");
        assert_eq!(self.groups(), Vec::<PathBuf>::new(), "groups are left");
        assert_eq!(self.cgroups(), Vec::<PathBuf>::new(), "control groups are left");
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.may_leave_traces {
            self.assert_no_traces();
        }
    }
}

impl Ran {
    /// From a process's output.
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Fails with everything it printed unless it ended with this code.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails with everything it printed unless it printed this.
    pub fn says(self, text: &str) -> Self {
        let said = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(said, "`{text}` was not said\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails with everything it printed if it printed this.
    pub fn never_says(self, text: &str) -> Self {
        let said = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(!said, "`{text}` was said\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// The events of a run with `--json`.
    pub fn events(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The job's object: the last line.
    pub fn job(&self) -> Value {
        self.events().pop().unwrap_or_else(|| panic!("no events\n--- stderr\n{}", self.stderr))
    }
}

/// The binary under test. `DANUBE_TEST_BINARY` names another one, for a user who cannot reach the build's.
pub fn binary() -> PathBuf {
    std::env::var_os("DANUBE_TEST_BINARY")
        .map_or_else(|| Path::new(env!("CARGO_BIN_EXE_danube")).to_owned(), PathBuf::from)
}

/// A seed, printed so that a failure can be repeated with `DANUBE_SEED`.
pub fn seed() -> u64 {
    let seed = std::env::var("DANUBE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        now.as_nanos() as u64
    });
    eprintln!("DANUBE_SEED={seed}");
    seed
}

/// How many rounds of random kills there are: `DANUBE_KILL_ROUNDS`, or 10.
pub fn kill_rounds() -> u32 {
    std::env::var("DANUBE_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// A small generator of numbers, the same for the same seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
