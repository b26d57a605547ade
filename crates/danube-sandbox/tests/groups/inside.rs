//! The container's first process in these stories, in place of the shim: it runs what it is told over its socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use danube_core::runtime::shim_env;

/// Serves scripts: the first line says as whom, the rest is for `sh`; the answer is all it wrote and its status.
pub fn main() -> ExitCode {
    let number = std::env::var(shim_env::LISTEN_FD).unwrap().parse().unwrap();
    #[expect(unsafe_code, reason = "the descriptor is inherited")]
    // SAFETY: the runtime says that this number is a listening socket that it left to this process.
    let listener = UnixListener::from(unsafe { OwnedFd::from_raw_fd(number) });
    let told = told();
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        if let Some(code) = serve(stream, &told) {
            return code;
        }
    }
    ExitCode::SUCCESS
}

/// What a container that was made ahead is told before it serves.
fn told() -> String {
    let Ok(number) = std::env::var(shim_env::LATE_FD) else { return String::new() };
    #[expect(unsafe_code, reason = "the descriptor is inherited")]
    // SAFETY: the runtime says that this number is a stream that it left to this process.
    let stream = UnixStream::from(unsafe { OwnedFd::from_raw_fd(number.parse().unwrap()) });
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    if line.is_empty() {
        std::process::exit(0);
    }
    line.trim().to_owned()
}

fn serve(mut stream: UnixStream, told: &str) -> Option<ExitCode> {
    let mut request = BufReader::new(stream.try_clone().unwrap());
    let (mut user, mut script) = (String::new(), String::new());
    request.read_line(&mut user).ok()?;
    request.read_to_string(&mut script).ok()?;
    if let Some(code) = user.strip_prefix("exit ") {
        return Some(ExitCode::from(code.trim().parse::<u8>().unwrap()));
    }
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("exec 2>&1; {script}")]).stdin(Stdio::null());
    command.env_remove(shim_env::LISTEN_FD).env("TOLD", told);
    let steps = std::env::var(shim_env::USER).unwrap();
    if user.trim() == "step" && rustix::process::geteuid().is_root() {
        let (uid, groups) = steps.split_once(':').unwrap();
        let gid = groups.split(',').next().unwrap();
        command.uid(uid.parse().unwrap()).gid(gid.parse().unwrap());
    }
    let output = command.output().unwrap();
    let _ = stream.write_all(&output.stdout);
    let _ = write!(stream, "\nstatus {}", output.status.code().unwrap_or(-1));
    None
}

/// Tries to reach an abstract socket by name, for a story.
pub fn client() -> ExitCode {
    use std::os::linux::net::SocketAddrExt;
    let name = std::env::args_os().nth(2).unwrap();
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name.as_encoded_bytes()).unwrap();
    match UnixStream::connect_addr(&address) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}
