//! PID 1 of every container of a job: starts steps, keeps their output and their records, and serves them to the
//! master over whatever byte stream the runtime gives. `docs/protocol.md` says what it promises, `docs/shim.md` how
//! it protects itself from the steps it runs.

mod attach;
mod bridge;
mod config;
mod connection;
mod ending;
mod error;
mod events;
mod harden;
mod info;
mod install;
mod late;
mod listen;
mod mailbox;
mod probe;
mod process;
mod roots;
mod serve;
mod service;
mod step;
mod transfer;
mod unnamed;
mod user;

use std::ffi::OsString;
use std::path::Path;

use error::Error;

fn main() {
    let code = command(&std::env::args_os().skip(1).collect::<Vec<_>>()).unwrap_or_else(|error| {
        eprintln!("danube-shim: {error}");
        2
    });
    std::process::exit(code);
}

fn command(args: &[OsString]) -> Result<i32, Error> {
    match args {
        [] => serve::run(),
        [flag] if flag == "--version" => {
            println!("danube-shim {}", env!("CARGO_PKG_VERSION"));
            Ok(0)
        }
        [verb, folder] if verb == "install" => install::install(Path::new(folder)).map(|()| 0),
        [verb, socket] if verb == "bridge" => bridge::run(Path::new(socket)),
        _ => Err(Error::Usage),
    }
}
