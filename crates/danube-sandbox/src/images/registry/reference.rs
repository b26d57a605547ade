//! What a user writes to name an image in a registry.

use std::fmt;
use std::str::FromStr;

use super::error::RegistryError;
use crate::images::digest::Digest;

/// Where an image without a host is.
const DOCKER_HUB: &str = "docker.io";
/// Bytes of a repository's name, and of a tag, at most; both by the OCI specification.
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    host: String,
    repository: String,
    target: Target,
}

/// Which image of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// The one that a tag names at this moment.
    Tag(String),
    /// The one with this digest, for ever.
    Digest(Digest),
}

impl Reference {
    /// The registry, as users name it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Which image.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// The repository within the registry.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The image of this repository with this digest.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Self {
        Self { target: Target::Digest(digest), ..self.clone() }
    }

    /// Where the registry's interface is.
    #[must_use]
    pub fn authority(&self) -> &str {
        if self.host == DOCKER_HUB { "registry-1.docker.io" } else { &self.host }
    }
}

impl FromStr for Reference {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        let wrong = |why| RegistryError::Reference { text: text.chars().take(300).collect(), why };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse().map_err(|_| wrong("after @ stands sha256: and 64 hexadecimal digits"))?))
            }
            None => (text, None),
        };
        let (host, path) = match rest.split_once('/') {
            Some((host, path)) if is_host(host) => (host, path),
            _ => (DOCKER_HUB, rest),
        };
        let (name, tag) = path.split_once(':').map_or((path, None), |(name, tag)| (name, Some(tag)));
        if host.split_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_err()) || !is_plain(host) {
            return Err(wrong("its host is no host"));
        }
        if name.len() > LONGEST_NAME || !name.split('/').all(is_component) {
            return Err(wrong("names have lower-case letters, digits and single separators"));
        }
        if !tag.is_none_or(is_tag) {
            return Err(wrong("a tag has letters, digits, `_`, `.` and `-`, 128 at most"));
        }
        let official = host == DOCKER_HUB && !name.contains('/');
        let target = digest.map_or_else(|| Target::Tag(tag.unwrap_or("latest").to_owned()), Target::Digest);
        let repository = if official { format!("library/{name}") } else { name.to_owned() };
        Ok(Self { host: host.to_owned(), repository, target })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Tag(tag) => write!(f, "{}/{}:{tag}", self.host, self.repository),
            Target::Digest(digest) => write!(f, "{}/{}@{digest}", self.host, self.repository),
        }
    }
}

/// What stands before the first slash is a host if it could not be a part of a name on Docker Hub.
fn is_host(text: &str) -> bool {
    text == "localhost" || text.contains(['.', ':'])
}

fn is_plain(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:".contains(&byte))
}

fn is_component(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (first, last) = (text.bytes().next(), text.bytes().next_back());
    let ends = first.is_some_and(letter) && last.is_some_and(letter);
    let separators = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    ends && separators
        .into_iter()
        .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= LONGEST_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        text.parse::<Reference>().ok().map(|reference| reference.to_string())
    }

    #[test]
    fn a_reference_is_read_as_docker_reads_it() {
        let digest = format!("sha256:{}", "a1".repeat(32));
        for (text, whole) in [
            ("python:3.12", "docker.io/library/python:3.12".to_owned()),
            ("grafana/grafana", "docker.io/grafana/grafana:latest".to_owned()),
            ("127.0.0.1:5000/team/tool:1", "127.0.0.1:5000/team/tool:1".to_owned()),
            ("localhost/tool", "localhost/tool:latest".to_owned()),
            ("registry.example/a__b/c-d.e:V_1", "registry.example/a__b/c-d.e:V_1".to_owned()),
            (&format!("other.example/x/y:1@{digest}"), format!("other.example/x/y@{digest}")),
        ] {
            assert_eq!(read(text), Some(whole), "{text}");
        }
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        for text in [
            "",
            "UPPER",
            "a/../b",
            "a//b",
            "-a",
            "a:",
            "a:b/c",
            "a b",
            "x.y/a?b",
            "x.y/a#b",
            "u:p@x.y/a",
            "x.y:99999/a",
            "x.y/a:tag with",
            "a@sha256:12",
            "x.y/%2e%2e/a",
            "a_-b",
            "x.y\r\nHost: z/a",
            "http://x.y/a",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
