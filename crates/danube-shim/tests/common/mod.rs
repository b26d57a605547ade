//! A real shim on a real socket, and a master for it.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

pub mod master;

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use danube_proto::v1::start_request::Command as Run;
use danube_proto::v1::{Argv, Script, StartRequest, script};
use rustix::io::FdFlags;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use master::Master;

/// While one shim is started its listening socket can be inherited: nobody else may fork then.
static FORK: Mutex<()> = Mutex::new(());

/// A running shim. Dropping it kills it.
pub struct Shim {
    pub child: Child,
    pub folder: TempDir,
    pub socket: PathBuf,
}

/// How to start one.
pub struct Options {
    role: &'static str,
    environment: Vec<(String, String)>,
    wrapper: Vec<String>,
    by_path: bool,
    late: bool,
}

impl Options {
    pub fn worker() -> Self {
        Self { role: "worker", environment: Vec::new(), wrapper: Vec::new(), by_path: false, late: false }
    }

    pub fn coordinator() -> Self {
        Self { role: "coordinator", ..Self::worker() }
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs the shim through another program, whose last argument it becomes.
    pub fn through(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// The shim makes its socket itself, as in Kubernetes.
    pub fn by_path(mut self) -> Self {
        self.by_path = true;
        self
    }

    /// Started ahead: it is told for which job it is by whoever comes to its socket.
    pub fn late(mut self) -> Self {
        self.late = true;
        self.by_path = true;
        self.env("DANUBE_SHIM_LATE_S", "60")
    }

    /// `{}` in a value stands for the test's folder.
    pub fn start(self) -> Shim {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("shim.sock");
        std::fs::create_dir(folder.path().join("workspace")).unwrap();
        std::fs::create_dir(folder.path().join("danube")).unwrap();
        let child = {
            let _fork = FORK.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let listener = UnixListener::bind(&socket).unwrap();
            rustix::io::fcntl_setfd(&listener, FdFlags::empty()).unwrap();
            self.command(folder.path(), &listener).spawn().unwrap()
        };
        if !self.by_path {
            return Shim { child, folder, socket };
        }
        let socket = folder.path().join("own.sock");
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            std::thread::yield_now();
        }
        Shim { child, folder, socket }
    }

    fn command(&self, folder: &Path, listener: &UnixListener) -> Command {
        use std::os::fd::AsRawFd;
        // The static binary can be put to the same tests.
        let shim = std::env::var("DANUBE_SHIM_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_danube-shim").to_owned());
        let words = self.wrapper.iter().map(String::as_str).chain([shim.as_str()]);
        let words: Vec<&str> = words.collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var("PATH").unwrap());
        command.env("DANUBE_SHIM_ROLE", self.role);
        if !self.late {
            command.env("DANUBE_SHIM_NONCE", "the-nonce");
        }
        if self.by_path {
            command.env("DANUBE_SHIM_LISTEN", folder.join("own.sock"));
        } else {
            command.env("DANUBE_SHIM_LISTEN_FD", listener.as_raw_fd().to_string());
        }
        command.env("DANUBE_SHIM_WORKSPACE", folder.join("workspace"));
        command.env("DANUBE_SHIM_DANUBE", folder.join("danube"));
        let folder = folder.to_str().unwrap();
        self.environment.iter().for_each(|(name, value)| {
            command.env(name, value.replace("{}", folder));
        });
        command
    }
}

impl Shim {
    pub fn worker() -> Self {
        Options::worker().start()
    }

    /// A master that has said Hello.
    pub async fn master(&self) -> Master {
        self.master_of(1).await
    }

    pub async fn master_of(&self, epoch: u64) -> Master {
        let mut master = Master::connect(&self.socket).await;
        master.hello(epoch).await.unwrap();
        master
    }

    pub fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    /// Waits for the shim to exit by itself.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let mut child = std::mem::replace(&mut self.child, Command::new("true").spawn().unwrap());
        tokio::task::spawn_blocking(move || child.wait().unwrap().code()).await.unwrap()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// A number out of `/proc/PID/status`, in KiB.
    pub fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':')).unwrap();
        found.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A fresh step id.
pub fn id() -> Vec<u8> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes().to_vec()
}

fn hashed(request: StartRequest) -> StartRequest {
    StartRequest { spec_hash: Sha256::digest(format!("{request:?}")).to_vec().into(), ..request }
}

/// A step that runs a script with `sh -e`.
pub fn sh(text: &str) -> StartRequest {
    script_of("sh", text)
}

pub fn script_of(shell: &str, text: &str) -> StartRequest {
    let source = Some(script::Source::Inline(text.to_owned().into()));
    let script = Script { source, shell: shell.to_owned(), errexit: true };
    hashed(StartRequest { step_id: id().into(), command: Some(Run::Script(script)), ..StartRequest::default() })
}

/// A step that runs a program.
pub fn argv(args: &[&str]) -> StartRequest {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    hashed(StartRequest { step_id: id().into(), command: Some(Run::Argv(Argv { args })), ..StartRequest::default() })
}

/// Reproducible randomness; `DANUBE_SEED` repeats a run.
pub struct Random(u64);

impl Random {
    pub fn new() -> Self {
        let drawn = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = std::env::var("DANUBE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(drawn);
        eprintln!("DANUBE_SEED={seed}");
        Self(seed | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
