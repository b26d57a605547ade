//! A step's process, decided before the fork: the child allocates nothing and looks nothing up.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::Rlimit;

use crate::config::Environment;
use crate::user::User;

/// Where programs are looked for when the environment has no PATH.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the child does between fork and exec.
#[derive(Debug)]
pub struct Plan {
    /// Files to try, in the order of PATH.
    pub programs: Vec<CString>,
    /// The program's arguments, its name first.
    pub args: Vec<CString>,
    /// `NAME=value`.
    pub environment: Vec<CString>,
    /// Its working directory.
    pub cwd: CString,
    /// Whom it runs as.
    pub user: User,
    /// Its limit of open files: the one that the shim found.
    pub nofile: Rlimit,
    /// The shim is PID 1: capabilities must be droppable. Otherwise the step dies with the shim.
    pub pid_one: bool,
}

/// The child's side of its descriptors.
#[derive(Debug)]
pub struct Stdio {
    /// `/dev/null`.
    pub stdin: OwnedFd,
    /// A pipe, or a terminal.
    pub stdout: OwnedFd,
    /// A pipe of its own, the same as stdout's, or a terminal.
    pub stderr: OwnedFd,
    /// stdout is a terminal and becomes the controlling one.
    pub terminal: bool,
}

/// The files that a program's name may mean.
pub fn candidates(program: &[u8], environment: &Environment) -> io::Result<Vec<CString>> {
    if program.is_empty() || program.contains(&b'/') {
        return Ok(vec![CString::new(program)?]);
    }
    let path = environment.get(&b"PATH"[..]).map_or(DEFAULT_PATH, Vec::as_slice);
    path.split(|byte| *byte == b':').map(|folder| joined(folder, program)).collect()
}

fn joined(folder: &[u8], program: &[u8]) -> io::Result<CString> {
    let folder = if folder.is_empty() { b"." } else { folder };
    Ok(CString::new([folder, b"/", program].concat())?)
}

/// `NAME=value`, sorted by name. Fails on a NUL.
pub fn pairs(environment: &Environment) -> io::Result<Vec<CString>> {
    environment.iter().map(|(name, value)| Ok(CString::new([name, &b"="[..], value].concat())?)).collect()
}

/// A path for the kernel. Fails on a NUL.
pub fn path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_looked_for_in_the_steps_own_path() {
        let environment = Environment::from([(b"PATH".to_vec(), b"/a::/b".to_vec())]);
        let found = candidates(b"make", &environment).expect("no NUL");
        assert_eq!(found, [c"/a/make".to_owned(), c"./make".to_owned(), c"/b/make".to_owned()]);
        assert_eq!(candidates(b"./make", &environment).expect("no NUL"), [c"./make".to_owned()]);
    }
}
