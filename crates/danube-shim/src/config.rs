//! What the runtime tells the shim, by environment. Everything named `DANUBE_SHIM_*` stops here: steps inherit the
//! rest.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use danube_core::runtime::{ImageProgram, Role, shim_env};
use danube_proto::mailbox::runner_env;

use crate::error::Error;
use crate::user::User;

/// Prefix of the variables that steps do not inherit.
const PREFIX: &[u8] = b"DANUBE_SHIM_";
/// Folder of this container alone, where spool, scripts and secret files may stand. `/danube/private` unless set.
const PRIVATE: &str = "DANUBE_SHIM_PRIVATE";
/// What `/workspace` is called here: `--isolation none` and tests.
const WORKSPACE: &str = "DANUBE_SHIM_WORKSPACE";
/// What `/danube` is called here: `--isolation none` and tests.
const DANUBE: &str = "DANUBE_SHIM_DANUBE";

/// How long the shim waits for a master unless told otherwise.
const ORPHAN_GRACE: Duration = Duration::from_secs(3600);

/// An environment: names and values as the kernel has them, bytes.
pub type Environment = BTreeMap<Vec<u8>, Vec<u8>>;

/// Where masters connect.
#[derive(Debug)]
pub enum Listen {
    /// An inherited listening socket.
    Inherited(i32),
    /// A path; peers are checked.
    Path(PathBuf),
}

/// Where a shim that was started ahead is told for which job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// On an inherited stream.
    Inherited(i32),
    /// At its own socket, by whoever comes first; it waits so long.
    Socket(Duration),
}

/// The shim's configuration.
#[derive(Debug)]
pub struct Config {
    /// What the container is for.
    pub role: Role,
    /// What the image runs by itself; a service's only.
    pub program: Option<ImageProgram>,
    /// The group's nonce; empty until a shim that was started ahead is told.
    pub nonce: String,
    /// Where a shim that was started ahead is told for which job; none for any other.
    pub late: Option<Late>,
    /// What such a shim starts ahead.
    pub ready: Vec<String>,
    /// Where masters connect.
    pub listen: Listen,
    /// Inherited directory for unnamed files.
    pub spool_fd: Option<i32>,
    /// Inherited counter of OOM kills.
    pub oom_fd: Option<i32>,
    /// How long to wait for a master.
    pub orphan_grace: Duration,
    /// Whom steps run as.
    pub user: User,
    /// What steps inherit.
    pub environment: Environment,
    /// This container's own folder.
    pub private: PathBuf,
    /// `/workspace`.
    pub workspace: PathBuf,
    /// `/danube`.
    pub danube: PathBuf,
    /// The mailbox's socket; a coordinator's only.
    pub mailbox: Option<PathBuf>,
    /// The SDK's outbox; a coordinator's only.
    pub outbox: Option<PathBuf>,
}

impl Config {
    /// Reads this process's own environment.
    pub fn from_env() -> Result<Self, Error> {
        Self::read(std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())).collect())
    }

    fn read(all: Environment) -> Result<Self, Error> {
        let (own, mut environment): (Environment, Environment) =
            all.into_iter().partition(|(name, _)| name.starts_with(PREFIX));
        let own = Own(own);
        let without = own.text(shim_env::WITHOUT)?.unwrap_or_default();
        let unwanted =
            |name: &[u8]| without.split(',').any(|begin| !begin.is_empty() && name.starts_with(begin.as_bytes()));
        environment.retain(|name, _| !unwanted(name));
        let role = own.role()?;
        let named = |name: &str| environment_path(&environment, name).filter(|_| role == Role::Coordinator);
        let late = own.late()?;
        let nonce = own.text(shim_env::NONCE)?.or_else(|| late.map(|_| String::new()));
        Ok(Self {
            role,
            program: if role == Role::Service { Some(own.program()?) } else { None },
            nonce: nonce.ok_or(Error::Missing(shim_env::NONCE))?,
            late,
            ready: if role == Role::Coordinator { own.ready()? } else { Vec::new() },
            listen: own.listen()?,
            spool_fd: own.number(shim_env::SPOOL_FD)?,
            oom_fd: own.number(shim_env::OOM_FD)?,
            orphan_grace: own.seconds(shim_env::ORPHAN_GRACE)?.unwrap_or(ORPHAN_GRACE),
            user: own.user()?,
            private: own.path(PRIVATE, "/danube/private"),
            workspace: own.path(WORKSPACE, "/workspace"),
            danube: own.path(DANUBE, "/danube"),
            mailbox: named(runner_env::SOCKET),
            outbox: named(runner_env::OUTBOX),
            environment,
        })
    }
}

fn environment_path(environment: &Environment, name: &str) -> Option<PathBuf> {
    environment.get(name.as_bytes()).map(|value| std::ffi::OsString::from_vec(value.clone()).into())
}

/// The shim's own variables.
struct Own(Environment);

impl Own {
    fn text(&self, name: &'static str) -> Result<Option<String>, Error> {
        let Some(value) = self.0.get(name.as_bytes()) else { return Ok(None) };
        let text = String::from_utf8(value.clone()).map_err(|_| invalid(name, "?", "UTF-8"))?;
        Ok(Some(text))
    }

    fn role(&self) -> Result<Role, Error> {
        let text = self.text(shim_env::ROLE)?.ok_or(Error::Missing(shim_env::ROLE))?;
        Role::parse(&text).ok_or_else(|| invalid(shim_env::ROLE, &text, "coordinator, worker or service"))
    }

    fn program(&self) -> Result<ImageProgram, Error> {
        let Some(text) = self.text(shim_env::PROGRAM)? else { return Ok(ImageProgram::default()) };
        serde_json::from_str(&text).map_err(|_| invalid(shim_env::PROGRAM, &text, "an image's program as JSON"))
    }

    fn ready(&self) -> Result<Vec<String>, Error> {
        let Some(text) = self.text(shim_env::READY)? else { return Ok(Vec::new()) };
        serde_json::from_str(&text).map_err(|_| invalid(shim_env::READY, &text, "a program with its arguments as JSON"))
    }

    fn listen(&self) -> Result<Listen, Error> {
        if let Some(fd) = self.number(shim_env::LISTEN_FD)? {
            return Ok(Listen::Inherited(fd));
        }
        environment_path(&self.0, shim_env::LISTEN).map(Listen::Path).ok_or(Error::Missing(shim_env::LISTEN_FD))
    }

    fn number(&self, name: &'static str) -> Result<Option<i32>, Error> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let fd = text.parse().ok().filter(|fd| *fd > 2).ok_or_else(|| invalid(name, &text, "a descriptor over 2"))?;
        Ok(Some(fd))
    }

    fn late(&self) -> Result<Option<Late>, Error> {
        let inherited = self.number(shim_env::LATE_FD)?.map(Late::Inherited);
        Ok(inherited.or(self.seconds(shim_env::LATE)?.map(Late::Socket)))
    }

    fn seconds(&self, name: &'static str) -> Result<Option<Duration>, Error> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        seconds.map(Some).ok_or_else(|| invalid(name, &text, "a number of seconds"))
    }

    fn user(&self) -> Result<User, Error> {
        let Some(text) = self.text(shim_env::USER)? else { return Ok(User::current()) };
        User::parse(&text).ok_or_else(|| invalid(shim_env::USER, &text, "uid:gid[,gid…]"))
    }

    fn path(&self, name: &str, default: &str) -> PathBuf {
        environment_path(&self.0, name).unwrap_or_else(|| default.into())
    }
}

fn invalid(name: &'static str, value: &str, expected: &'static str) -> Error {
    Error::Invalid { name, value: value.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let base = [("DANUBE_SHIM_ROLE", "worker"), ("DANUBE_SHIM_NONCE", "n"), ("DANUBE_SHIM_LISTEN_FD", "3")];
        base.iter().chain(pairs).map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn steps_inherit_nothing_of_the_shims_own() {
        let read = Config::read(environment(&[("PATH", "/bin"), ("DANUBE_SHIM_LATER", "x")])).expect("valid");
        assert_eq!(read.environment.keys().collect::<Vec<_>>(), [&b"PATH".to_vec()]);
        assert!(matches!(read.listen, Listen::Inherited(3)));
    }

    #[test]
    fn steps_inherit_nothing_that_the_runtime_added_unasked() {
        let added =
            [("KUBERNETES_PORT_443_TCP", "x"), ("KUBERNETES_SERVICE_HOST", "x"), ("KUBERNETES_NAMESPACE", "mine")];
        let without = ("DANUBE_SHIM_WITHOUT", "KUBERNETES_PORT,KUBERNETES_SERVICE_");
        let read = Config::read(environment(&[&added[..], &[without]].concat())).expect("valid");
        assert_eq!(read.environment.keys().collect::<Vec<_>>(), [&b"KUBERNETES_NAMESPACE".to_vec()]);
        assert_eq!(Config::read(environment(&added)).expect("valid").environment.len(), 3);
    }

    #[test]
    fn a_worker_has_no_mailbox_even_if_its_image_asks_for_one() {
        let read = Config::read(environment(&[("DANUBE_SOCKET", "/tmp/s")])).expect("valid");
        assert_eq!(read.mailbox, None);
    }

    #[test]
    fn a_service_alone_has_the_image_s_program() {
        let program = ("DANUBE_SHIM_PROGRAM", r#"{"entrypoint":["/init"],"cmd":[],"working_dir":"/srv"}"#);
        let read = Config::read(environment(&[("DANUBE_SHIM_ROLE", "service"), program])).expect("valid");
        assert_eq!(read.program.expect("a program").entrypoint, ["/init"]);
        assert_eq!(Config::read(environment(&[program])).expect("valid").program, None);
    }

    #[test]
    fn wrong_values_are_named() {
        for (name, value) in [("DANUBE_SHIM_ROLE", "boss"), ("DANUBE_SHIM_SPOOL_FD", "1"), ("DANUBE_SHIM_USER", "bob")]
        {
            let error = Config::read(environment(&[(name, value)])).expect_err(name).to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
    }
}
