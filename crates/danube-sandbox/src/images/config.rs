//! What an image says about how its programs are run.

use danube_core::runtime::ImageProgram;
use serde::{Deserialize, Serialize};

use super::error::{ImageError, Result, harmless};

/// The part of an image's configuration that Danube uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// `NAME=value` each.
    pub env: Vec<String>,
    /// `user`, `uid`, `user:group`, `uid:gid`; `None` is root. See [`super::user::find`].
    pub user: Option<String>,
    /// Where the image's programs start.
    pub working_dir: Option<String>,
    /// The program of the image.
    pub entrypoint: Vec<String>,
    /// Its arguments, or the program where there is no entrypoint.
    pub cmd: Vec<String>,
}

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Default for ImageConfig {
    /// What a bare tar of a root file system gets: a usual `PATH`, root.
    fn default() -> Self {
        Self { env: vec![DEFAULT_PATH.to_owned()], user: None, working_dir: None, entrypoint: vec![], cmd: vec![] }
    }
}

impl ImageConfig {
    /// What the image runs by itself.
    #[must_use]
    pub fn program(&self) -> ImageProgram {
        let working_dir = self.working_dir.as_deref().unwrap_or_default();
        ImageProgram {
            entrypoint: self.entrypoint.clone(),
            cmd: self.cmd.clone(),
            working_dir: format!("/{}", working_dir.trim_start_matches('/')),
        }
    }
}

/// The image's configuration as OCI and Docker write it; both use these names.
#[derive(Deserialize)]
pub(super) struct ConfigDocument {
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    config: Option<RunConfig>,
    #[serde(default)]
    pub rootfs: RootFs,
}

#[derive(Default, Deserialize)]
pub(super) struct RootFs {
    #[serde(default)]
    pub diff_ids: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RunConfig {
    env: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
}

impl ConfigDocument {
    pub fn parse(bytes: &[u8], name: &str) -> Result<Self> {
        let wrong = |why: String| ImageError::BadDocument { document: format!("the configuration {name}"), why };
        let document: Self = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        let config = document.config.as_ref();
        let bad_env = config.and_then(|c| c.env.iter().flatten().find(|v| v.contains('\0') || !v.contains('=')));
        match bad_env {
            Some(variable) => Err(wrong(format!("Env has {variable:?}, which is not NAME=value"))),
            None => Ok(document),
        }
    }

    /// Refuses an image made for another machine.
    pub fn check_platform(&self) -> Result<()> {
        let os_fits = self.os.is_empty() || self.os == "linux";
        let architecture_fits = self.architecture.is_empty() || self.architecture == machine();
        if os_fits && architecture_fits {
            return Ok(());
        }
        let found = harmless(&format!("{}/{}", self.os, self.architecture));
        Err(ImageError::Platform { wanted: format!("linux/{}", machine()), found })
    }

    pub fn into_config(self) -> ImageConfig {
        let config = self.config.unwrap_or_default();
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let mut env = config.env.unwrap_or_default();
        if !env.iter().any(|variable| variable.starts_with("PATH=")) {
            env.push(DEFAULT_PATH.to_owned());
        }
        ImageConfig {
            env,
            user: filled(config.user),
            working_dir: filled(config.working_dir),
            entrypoint: config.entrypoint.unwrap_or_default(),
            cmd: config.cmd.unwrap_or_default(),
        }
    }
}

/// This machine's architecture as OCI names it.
pub(super) fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_keeps_what_is_run_and_fills_in_a_path() {
        let json = br#"{"architecture":"","os":"linux","config":{"Env":["A=1"],"User":"app:staff","WorkingDir":"/src",
            "Entrypoint":["/init"],"Cmd":null},"rootfs":{"type":"layers","diff_ids":[]}}"#;
        let config = ConfigDocument::parse(json, "c").unwrap().into_config();
        assert_eq!(config.env, ["A=1", DEFAULT_PATH]);
        assert_eq!(config.user.as_deref(), Some("app:staff"));
        assert_eq!((config.entrypoint.len(), config.cmd.len()), (1, 0));
    }

    #[test]
    fn an_image_for_another_machine_is_refused_by_name() {
        let document = ConfigDocument::parse(br#"{"architecture":"s390x","os":"linux"}"#, "c").unwrap();
        let error = document.check_platform().unwrap_err().to_string();
        assert!(error.contains("linux/s390x") && error.contains(machine()), "{error}");
    }
}
