//! A pseudo-terminal for steps that ask for one.

use std::os::fd::OwnedFd;

use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::user::User;

/// What every terminal of a step measures.
const SIZE: Winsize = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };

/// The shim's side and the step's side of a new terminal.
pub fn open(user: &User) -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let shim = rustix::pty::openpt(flags)?;
    rustix::pty::unlockpt(&shim)?;
    let step = rustix::pty::ioctl_tiocgptpeer(&shim, flags)?;
    rustix::termios::tcsetwinsize(&step, SIZE)?;
    let (uid, gid) = (rustix::fs::Uid::from_raw(user.uid), rustix::fs::Gid::from_raw(user.gid));
    // Programs that open their terminal by name need to own it; without CHOWN they use the descriptor they have.
    let _ = rustix::fs::fchown(&step, Some(uid), Some(gid));
    Ok((shim, step))
}
