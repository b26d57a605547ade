//! Toolchains in the caller's home, shown to `host` containers read-only. Only known directories and those on
//! `PATH` are shown, never the home itself, and never a file that holds credentials.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Bind, host};

/// Known toolchains: the directory beneath the home, and the variable that tells programs of it.
const KNOWN: [(&str, &str); 8] = [
    (".rustup", "RUSTUP_HOME"),
    (".pyenv", "PYENV_ROOT"),
    (".nvm", "NVM_DIR"),
    (".local/share/uv", ""),
    (".local/share/mise", "MISE_DATA_DIR"),
    (".sdkman", "SDKMAN_DIR"),
    (".cargo/bin", ""),
    ("go/bin", ""),
];
/// Cargo's settings (mirrors, targets), not its credentials, which are in a file of their own.
const CARGO_CONFIG: &str = ".cargo/config.toml";
/// After every `pip install`, pyenv writes into its own folder, which fails here and takes pip's success along. What pip
/// installs is on `PATH` without that.
const PYENV_REHASH: &str = ".pyenv/pyenv.d/exec/pip-rehash.bash";
/// Files that may hold credentials, covered wherever they lie at the top of a shown directory.
const CREDENTIALS: [&str; 9] = [
    ".npmrc",
    ".netrc",
    ".pypirc",
    ".git-credentials",
    "credentials",
    "credentials.toml",
    "auth.json",
    "pip.conf",
    ".env",
];
/// Variables that name a toolchain or the machine's certificates; kept when the place they name is shown. Behind a
/// company's own authority nothing that brings its certificates along (Node, pip) works without the latter.
const NAMING: [&str; 12] = [
    "JAVA_HOME",
    "GOROOT",
    "NODE_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NIX_SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "CARGO_HTTP_CAINFO",
];

/// What is shown of the caller's home.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeTools {
    /// Directories shown, for the list that is printed once.
    pub shown: Vec<PathBuf>,
    /// The mounts that show them, and those that cover credentials.
    pub binds: Vec<Bind>,
    /// `NAME=value` that tells programs where they are.
    pub env: Vec<String>,
    /// `PATH` for steps: the caller's, as far as it is shown.
    pub path: Vec<PathBuf>,
}

/// What a search looks at.
pub struct Surroundings<'a> {
    /// The caller's home.
    pub home: Option<&'a Path>,
    /// The caller's variables.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// The search path that any `host` container has.
const SYSTEM_PATH: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

impl HomeTools {
    /// No toolchains: `--no-home-tools`.
    #[must_use]
    pub fn none() -> Self {
        Self { path: SYSTEM_PATH.map(PathBuf::from).to_vec(), ..Self::default() }
    }

    /// Finds the toolchains in the home of the caller of this process.
    #[must_use]
    pub fn find() -> Self {
        let home = std::env::home_dir();
        Self::find_in(&Surroundings { home: home.as_deref(), variable: &|name| std::env::var(name).ok() })
    }

    /// Finds the toolchains in given surroundings.
    #[must_use]
    pub fn find_in(around: &Surroundings<'_>) -> Self {
        let mut tools = Self::default();
        if let Some(home) = around.home.filter(|home| home.is_absolute() && home.parent().is_some()) {
            tools.add_known(home);
            tools.add_search_path(home, around);
            tools.add_cargo(home);
            tools.quiet_pyenv(home);
        }
        tools.add_path(around);
        tools.keep_naming(around);
        tools
    }

    fn add_known(&mut self, home: &Path) {
        for (name, variable) in KNOWN {
            let dir = home.join(name);
            if self.show(&dir) && !variable.is_empty() {
                self.env.push(format!("{variable}={}", dir.display()));
            }
        }
    }

    /// Directories on `PATH` beneath the home, such as `~/.local/bin`.
    fn add_search_path(&mut self, home: &Path, around: &Surroundings<'_>) {
        for dir in search_path(around) {
            let hidden_place = dir.starts_with(home.join(".ssh")) || dir.starts_with(home.join(".gnupg"));
            if dir.starts_with(home) && dir != home && !hidden_place {
                self.show(&dir);
            }
        }
    }

    fn add_cargo(&mut self, home: &Path) {
        let config = home.join(CARGO_CONFIG);
        if config.is_file() {
            let target = PathBuf::from(super::etc::HOME).join(CARGO_CONFIG);
            self.binds.push(Bind { source: config, target, access: super::Access::ReadOnly });
        }
    }

    fn quiet_pyenv(&mut self, home: &Path) {
        let hook = home.join(PYENV_REHASH);
        if self.sees(&hook) && is_file(&hook) {
            self.binds.push(Bind::masked(&hook));
        }
    }

    fn add_path(&mut self, around: &Surroundings<'_>) {
        let system = SYSTEM_PATH.map(PathBuf::from);
        for dir in search_path(around).chain(system) {
            if self.sees(&dir) && !self.path.contains(&dir) {
                self.path.push(dir);
            }
        }
    }

    fn keep_naming(&mut self, around: &Surroundings<'_>) {
        for name in NAMING {
            if let Some(value) = (around.variable)(name).filter(|value| self.sees(Path::new(value))) {
                self.env.push(format!("{name}={value}"));
            }
        }
    }

    fn sees(&self, path: &Path) -> bool {
        host::shows(path) || self.shown.iter().any(|shown| path.starts_with(shown))
    }

    /// Shows a directory, unless it does not exist or is shown already. True when it is shown.
    fn show(&mut self, dir: &Path) -> bool {
        if self.sees(dir) {
            return true;
        }
        if !dir.is_dir() {
            return false;
        }
        self.binds.push(Bind::read_only(dir));
        self.binds.extend(
            CREDENTIALS.iter().map(|name| dir.join(name)).filter(|file| is_file(file)).map(|f| Bind::masked(&f)),
        );
        self.shown.push(dir.into());
        true
    }
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|kind| kind.is_file())
}

fn search_path(around: &Surroundings<'_>) -> impl Iterator<Item = PathBuf> + use<> {
    let path = (around.variable)("PATH").unwrap_or_default();
    std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_shows_its_toolchains_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        for dir in [".cargo/bin", ".rustup", ".ssh", ".local/bin", "secret"] {
            fs::create_dir_all(home.path().join(dir)).unwrap();
        }
        for file in [".cargo/credentials.toml", ".local/bin/.npmrc", ".npmrc"] {
            fs::write(home.path().join(file), "token").unwrap();
        }
        let path = format!("{0}:{0}/.local/bin:{0}/.ssh:/usr/bin:relative", home.path().display());
        let variable = |name: &str| (name == "PATH").then(|| path.clone());
        let tools = HomeTools::find_in(&Surroundings { home: Some(home.path()), variable: &variable });

        let under = |name: &str| home.path().join(name);
        assert_eq!(tools.shown, [under(".rustup"), under(".cargo/bin"), under(".local/bin")]);
        assert!(tools.binds.contains(&Bind::masked(&under(".local/bin/.npmrc"))));
        assert!(tools.env.contains(&format!("RUSTUP_HOME={}", under(".rustup").display())));
        assert_eq!(tools.path[..2], [under(".local/bin"), PathBuf::from("/usr/bin")]);
    }

    #[test]
    fn pip_does_not_fail_by_pyenvs_afterthought() {
        let home = tempfile::tempdir().unwrap();
        let hook = home.path().join(PYENV_REHASH);
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, "false").unwrap();
        let tools = HomeTools::find_in(&Surroundings { home: Some(home.path()), variable: &|_| None });
        let (shown, covered) = (Bind::read_only(&home.path().join(".pyenv")), Bind::masked(&hook));
        assert_eq!(tools.binds, [shown, covered], "covered after the folder is shown");
    }

    #[test]
    fn certificates_are_named_where_they_are_shown() {
        let home = tempfile::tempdir().unwrap();
        let variable = |name: &str| match name {
            "NODE_EXTRA_CA_CERTS" => Some("/etc/ssl/certs/ca-certificates.crt".to_owned()),
            "SSL_CERT_FILE" => Some(format!("{}/own.pem", home.path().display())),
            _ => None,
        };
        let tools = HomeTools::find_in(&Surroundings { home: Some(home.path()), variable: &variable });
        assert_eq!(tools.env, ["NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt"]);
    }
}
