//! A terminal for danube, and what stands on its screen in the end.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Runs a command in a terminal of this width; gives its exit code and all that it wrote.
pub fn run(command: &mut Command, columns: u16) -> (i32, String) {
    run_typing(command, columns, "")
}

/// The same, and somebody has typed something already.
pub fn run_typing(command: &mut Command, columns: u16, typed: &str) -> (i32, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let name = ptsname(&master, Vec::new()).expect("its name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = File::from(rustix::fs::open(&name, flags, Mode::empty()).expect("opened"));
    tcsetwinsize(&slave, Winsize { ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).expect("its size");
    let clone = || slave.try_clone().expect("another handle");
    command.stdin(clone()).stdout(clone()).stderr(clone()).env("TERM", "xterm-256color");
    let mut child = command.spawn().expect("danube starts");
    // The command keeps its own copies of the handle as well: the end is seen only when none is left.
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    drop(slave);
    let mut master = File::from(master);
    master.write_all(typed.as_bytes()).expect("typed");
    let mut written = Vec::new();
    // The other side being closed is an error here, not an end.
    let _ = master.read_to_end(&mut written);
    let code = child.wait().expect("its end").code().unwrap_or(-1);
    (code, String::from_utf8_lossy(&written).into_owned())
}

/// What stays on the screen: lines that were erased are gone, and colours are left out.
pub fn screen(written: &str) -> String {
    let kept =
        written.split('\n').map(|line| line.rsplit("\r\x1b[2K").next().unwrap_or_default().trim_end_matches('\r'));
    let text: Vec<&str> = kept.collect();
    let mut plain = String::new();
    let mut rest = text.join("\n");
    while let Some(at) = rest.find("\x1b[") {
        plain.push_str(&rest[..at]);
        let end = rest[at..].find(|c: char| c.is_ascii_alphabetic()).map_or(rest.len(), |end| at + end + 1);
        rest = rest[end..].to_owned();
    }
    plain + &rest
}
