//! Stories of whole groups, with real namespaces: as root, then again as an ordinary user with a range of ids and
//! as one without. This one program is the engine, the monitor and the containers' first process.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

mod ahead;
mod inside;
mod stories;
mod world;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use danube_core::runtime::shim_env;
use danube_sandbox::monitor;

/// Users to repeat the stories as: an account with a range in `/etc/subuid` if there is one, and a number without.
const WITHOUT_RANGE: u32 = 65_432;
const WITH_RANGE: &str = "danube-test";

fn main() -> ExitCode {
    if std::env::var_os(shim_env::LISTEN_FD).is_some() {
        return inside::main();
    }
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == "__monitor" => return monitor::main(arguments),
        Some(first) if first == "__client" => return inside::client(),
        Some(first) if first == "__probe" => return probe(),
        _ => {}
    }
    let failed = stories::run();
    let others = if rustix::process::geteuid().is_root() { as_others() } else { true };
    if failed == 0 && others { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints what the machine allows: the probe forks, so it has a process of its own that never had a thread.
fn probe() -> ExitCode {
    danube_sandbox::probe::probe().facts.iter().for_each(|fact| println!("{} {}", fact.name, fact.words));
    ExitCode::SUCCESS
}

/// Runs this program again as ordinary users. True when all went well.
fn as_others() -> bool {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let account = passwd.lines().find(|line| line.starts_with(&format!("{WITH_RANGE}:")));
    let with_range = account.and_then(|line| line.split(':').nth(2)?.parse().ok());
    if with_range.is_none() {
        println!("no account {WITH_RANGE}: the tier with a range in /etc/subuid is not tried");
    }
    let failed = with_range.into_iter().chain([WITHOUT_RANGE]).filter(|user| !as_user(*user)).count();
    failed == 0
}

fn as_user(user: u32) -> bool {
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(std::env::args_os().skip(1)).uid(user).gid(user).env("HOME", "/nonexistent").current_dir("/");
    again.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin");
    again.status().unwrap().success()
}
