//! Which server is meant: the one that was named, or the `danube dev` that runs on this machine.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Pid, geteuid, test_kill_process};
use ureq::http::Uri;

use crate::cli::client::Server;
use crate::error::CliError;
use crate::local::instance::{self, Kind};
use crate::place::Place;
use crate::settings;

/// A longer token is none.
const LONGEST: u64 = 64 * 1024;
/// What is said when there is no server, and what to do.
const NONE: &str = "no Danube is running here";
const START: &str = "start one with `danube dev`, or name another: --url URL";

/// A server, and what lets us in.
#[derive(Clone)]
pub struct Instance {
    /// Without a slash at its end.
    pub url: String,
    token: String,
}

impl Instance {
    /// One that this process itself is.
    pub fn own(url: String, token: String) -> Self {
        Self { url, token }
    }

    /// Finds it by what was typed.
    pub fn find(server: &Server) -> Result<Self, CliError> {
        match &server.url {
            Some(url) => Self::named(url, server.token.as_deref()),
            None => Self::here(server.data_dir.as_deref()),
        }
    }

    /// One that runs on this machine: in the data directory that was named, else in one's own, else in the server's.
    fn here(named: Option<&Path>) -> Result<Self, CliError> {
        if let Some(found) = Self::in_place(Place::find(named)?.dir())? {
            return Ok(found);
        }
        let server = if named.is_none() { settings::of_this_machine()? } else { None };
        let found = server.map_or(Ok(None), |config| Self::in_place(&config.data_dir))?;
        found.ok_or_else(|| CliError::config(NONE).hint(START))
    }

    /// The one that runs on a data directory.
    fn in_place(dir: &Path) -> Result<Option<Self>, CliError> {
        Kind::ALL.into_iter().find_map(|kind| Self::running(kind, dir).transpose()).transpose()
    }

    fn named(url: &str, token: Option<&str>) -> Result<Self, CliError> {
        Ok(Self { url: checked(url)?, token: read_token(token)? })
    }

    fn running(kind: Kind, dir: &Path) -> Result<Option<Self>, CliError> {
        let file = &kind.path(dir);
        let mut opened = match File::open(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| unreadable(file, &error))?,
        };
        only_ours(file, &opened)?;
        let mut text = String::new();
        let read = opened.by_ref().take(LONGEST).read_to_string(&mut text);
        let found = read.ok().and_then(|_| serde_json::from_str::<instance::Instance>(&text).ok());
        let Some(found) = found else {
            let command = kind.command();
            let error = CliError::config(format!("{} is not what `{command}` writes", file.display()));
            return Err(error.hint(format!("stop {command}, remove the file, and start it again")));
        };
        if !lives(found.pid) {
            return Ok(None);
        }
        Ok(Some(Self { url: checked(&found.url)?, token: found.token }))
    }

    /// The header that lets us in.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// Whether it is on this machine.
    pub fn is_here(&self) -> bool {
        self.url.parse::<Uri>().is_ok_and(|uri| is_loopback(&uri))
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> CliError {
    let error = CliError::config(format!("{}: {error}", path.display()));
    error.hint("a server is asked by its own user: sudo -u danube danube …, or with --url and a token of your own")
}

/// Whoever can read the file can do all that we can; whoever could write it would get our calls. Root may ask everybody's.
fn only_ours(path: &Path, file: &File) -> Result<(), CliError> {
    let meta = file.metadata().map_err(|error| unreadable(path, &error))?;
    if meta.uid() != geteuid().as_raw() && !geteuid().is_root() {
        let error = CliError::config(format!("{} belongs to another user", path.display()));
        return Err(error.hint("name your own data directory with --data-dir"));
    }
    if meta.mode() & 0o077 != 0 {
        let error = CliError::config(format!("others can read the token in {}", path.display()));
        return Err(error.hint("stop that Danube, remove the file, and start it again: it makes a new token"));
    }
    Ok(())
}

/// A process of another user is alive as well.
fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// A token goes in clear to this machine only.
fn checked(url: &str) -> Result<String, CliError> {
    let wrong = |why: &str| CliError::config(format!("--url {url}: {why}")).hint("for example https://ci.example.com");
    let trimmed = url.trim_end_matches('/');
    let uri: Uri = trimmed.parse().map_err(|_| wrong("it is no address"))?;
    let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
    if authority.as_str().contains('@') || uri.query().is_some() {
        return Err(wrong("name only the server; the token is in DANUBE_TOKEN or --token @FILE"));
    }
    match uri.scheme_str() {
        Some("https") => Ok(trimmed.to_owned()),
        Some("http") if is_loopback(&uri) => Ok(trimmed.to_owned()),
        Some("http") => Err(wrong("the token would be sent in clear: use https")),
        _ => Err(wrong("it is neither http nor https")),
    }
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// From a file or the environment; every user of a machine can read what others type.
fn read_token(typed: Option<&str>) -> Result<String, CliError> {
    let token = match typed {
        Some(typed) => {
            let file = typed.strip_prefix('@').ok_or_else(|| {
                CliError::config("--token takes a file, since everybody on this machine can read what is typed")
                    .hint("--token @FILE, or put the token into DANUBE_TOKEN")
            })?;
            fs::read_to_string(file).map_err(|error| CliError::config(format!("--token @{file}: {error}")))?
        }
        None => std::env::var("DANUBE_TOKEN").unwrap_or_default(),
    };
    match token.trim() {
        "" => Err(CliError::config("there is no token for that server")
            .hint("put it into DANUBE_TOKEN, or name its file: --token @FILE")),
        token if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(token.to_owned()),
        _ => Err(CliError::config("that is no token: it has more than visible ASCII characters")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn at(kind: Kind, mode: u32, text: &str) -> Result<Instance, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = kind.path(dir.path());
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        Instance::here(Some(dir.path())).map_err(|error| error.message().replace(dir.path().to_str().unwrap(), "DIR"))
    }

    fn dev(mode: u32, text: &str) -> Result<Instance, String> {
        at(Kind::Dev, mode, text)
    }

    fn text(pid: u32) -> String {
        format!(r#"{{"url": "http://127.0.0.1:8080/", "token": "t", "pid": {pid}}}"#)
    }

    #[test]
    fn a_running_dev_is_found() {
        let found = dev(0o600, &text(std::process::id())).unwrap();
        assert_eq!(
            (found.url.as_str(), found.bearer().as_str(), found.is_here()),
            ("http://127.0.0.1:8080", "Bearer t", true)
        );
    }

    #[test]
    fn a_running_serve_is_found_beside_what_is_left_of_a_dev() {
        let (dir, me) = (tempfile::tempdir().unwrap(), text(std::process::id()));
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        for (kind, text) in [(Kind::Dev, text(gone.id()).replace("8080", "1")), (Kind::Serve, me)] {
            let file = kind.path(dir.path());
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        assert_eq!(
            Instance::here(Some(dir.path())).map(|found| found.url).ok().as_deref(),
            Some("http://127.0.0.1:8080")
        );
    }

    #[test]
    fn what_is_left_of_another_is_not_believed() {
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        assert_eq!(dev(0o600, &text(gone.id())).err().as_deref(), Some(NONE));
        let me = text(std::process::id());
        for mode in [0o644, 0o640, 0o604, 0o660, 0o601] {
            assert_eq!(dev(mode, &me).err().as_deref(), Some("others can read the token in DIR/dev.json"), "{mode:o}");
        }
        for broken in ["", "{", "{}", r#"{"url": "http://127.0.0.1:1", "token": "t", "pid": "x"}"#] {
            assert_eq!(
                dev(0o600, broken).err().as_deref(),
                Some("DIR/dev.json is not what `danube dev` writes"),
                "{broken}"
            );
        }
        assert_eq!(dev(0o600, &text(0)).err().as_deref(), Some(NONE));
        let elsewhere = me.replace("127.0.0.1", "ci.example");
        assert!(dev(0o600, &elsewhere).is_err(), "in clear");
    }

    #[test]
    fn a_token_goes_in_clear_to_this_machine_only() {
        for url in ["http://127.0.0.1:1", "http://localhost:8080/", "http://[::1]:2", "https://ci.example/danube/"] {
            assert_eq!(checked(url).unwrap(), url.trim_end_matches('/'), "{url}");
        }
        for url in [
            "http://ci.example",
            "http://localhost.example",
            "http://10.0.0.1",
            "ftp://localhost",
            "ci.example",
            "",
            "https://u:p@ci.example",
            "https://ci.example/?token=a",
        ] {
            assert!(checked(url).is_err(), "{url}");
        }
    }
}
