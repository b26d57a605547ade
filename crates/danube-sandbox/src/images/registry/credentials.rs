//! What `docker login` wrote into `~/.docker/config.json`: names and passwords by registry. Read here, kept in memory,
//! and sent to that registry and its token service alone.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::error::RegistryError;

/// The key of Docker Hub in the file, for historical reasons.
const DOCKER_HUB_KEY: &str = "index.docker.io";

/// The value of an `Authorization` header. Prints itself as stars.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret of this text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text; for a header and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Names and passwords by registry.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    by_host: BTreeMap<String, Secret>,
    /// Some are kept by a program, which is not asked.
    helped: bool,
}

#[derive(Default, Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Auth {
    #[serde(default)]
    auth: String,
}

impl Credentials {
    /// Those of the caller: `$DOCKER_CONFIG/config.json`, or `~/.docker/config.json`.
    pub fn of_caller() -> Result<Self, RegistryError> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let dir = set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")));
        dir.map_or_else(|| Ok(Self::default()), |dir| Self::read(&dir.join("config.json")))
    }

    /// Those of a file; none when there is no file.
    pub fn read(path: &Path) -> Result<Self, RegistryError> {
        let failed = |why: String| RegistryError::Credentials { path: path.to_owned(), why };
        let text = match std::fs::read(path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Self::default());
            }
            text => text.map_err(|error| failed(error.to_string()))?,
        };
        // The parser's own words could quote the file.
        let file: File = serde_json::from_slice(&text)
            .map_err(|error| failed(format!("it is no JSON as Docker writes it, at line {}", error.line())))?;
        let helped = file.store.is_some() || !file.helpers.is_empty();
        let known = file.auths.into_iter().filter(|(_, auth)| is_pair(&auth.auth));
        let by_host = known.map(|(key, auth)| (host_of(&key).to_owned(), Secret::new(format!("Basic {}", auth.auth))));
        Ok(Self { by_host: by_host.collect(), helped })
    }

    /// What a registry is told of the caller.
    pub fn of_host(&self, host: &str) -> Option<&Secret> {
        self.by_host.get(if host == "docker.io" { DOCKER_HUB_KEY } else { host })
    }

    /// What to do when a registry wants another caller. Many also say so of what they do not have.
    pub fn hint(&self, host: &str) -> String {
        if self.of_host(host).is_some() {
            return format!("the password that `docker login {host}` wrote is not, or no longer, enough");
        }
        let login = format!(
            "look at its name first; for a private image `docker login {host}` writes a password into ~/.docker/config.json, where it is looked for"
        );
        if self.helped {
            format!("{login}; one kept by a credential helper (credsStore, credHelpers) is not")
        } else {
            login
        }
    }
}

/// A name, a colon, a password: anything else would only be refused by the registry.
fn is_pair(auth: &str) -> bool {
    STANDARD.decode(auth).is_ok_and(|pair| pair.contains(&b':'))
}

/// Keys are hosts, or the address of an interface on them.
fn host_of(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Credentials, RegistryError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        Credentials::read(&path)
    }

    #[test]
    fn each_registry_gets_its_own_and_nothing_is_printed() {
        let pair = STANDARD.encode("me:hunter2");
        let text = format!(
            r#"{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{pair}"}}, "r.example:5000": {{"auth": "{pair}"}},
                "empty.example": {{}}}}, "credsStore": "desktop"}}"#
        );
        let credentials = read(&text).unwrap();
        for host in ["docker.io", "r.example:5000"] {
            assert_eq!(credentials.of_host(host).unwrap().reveal(), format!("Basic {pair}"));
        }
        for host in ["r.example", "empty.example", "evil.example"] {
            assert_eq!(credentials.of_host(host), None, "{host}");
        }
        assert!(!format!("{credentials:?}").contains(&pair));
        assert!(credentials.hint("evil.example").contains("credential helper"));
    }

    #[test]
    fn a_broken_file_is_named_and_not_quoted() {
        let error = read("{\"auths\": {\"r\": \"hunter2\"}}").unwrap_err().to_string();
        assert!(error.contains("config.json") && !error.contains("hunter2"), "{error}");
        assert_eq!(Credentials::read(Path::new("/nowhere/config.json")).unwrap().by_host.len(), 0);
    }
}
