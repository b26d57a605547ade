//! Names of artifacts. A danubefile chooses them, and people download by them: none may lead out of the folder that it is
//! unpacked in, or hide something from who reads it.

use std::fmt;
use std::str::FromStr;

/// Bytes of a whole name.
const LONGEST: usize = 1024;
/// Bytes of each of its parts: more no file system takes.
const LONGEST_PART: usize = 255;

/// The name of an artifact: one or more parts with `/` between them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArtifactName(String);

/// Why a text is no name of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactNameError {
    /// Nothing, or too much.
    #[error("an artifact's name has 1 to {LONGEST} bytes, each part at most {LONGEST_PART}")]
    Length,
    /// It could lead elsewhere.
    #[error("an artifact's name is relative, without empty parts, `.` and `..`")]
    Leads,
    /// It does not show what it is.
    #[error("an artifact's name has no control characters and no backslash")]
    Character,
}

impl ArtifactName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ArtifactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ArtifactName {
    type Err = ArtifactNameError;

    fn from_str(text: &str) -> Result<Self, ArtifactNameError> {
        let mut parts = text.split('/');
        if text.len() > LONGEST || parts.clone().any(|part| part.len() > LONGEST_PART) {
            return Err(ArtifactNameError::Length);
        }
        if parts.any(|part| matches!(part, "" | "." | "..")) {
            return Err(if text.is_empty() { ArtifactNameError::Length } else { ArtifactNameError::Leads });
        }
        if text.chars().any(|c| c.is_control() || c == '\\') {
            return Err(ArtifactNameError::Character);
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        for name in ["a", "dist/app-1.0.tar.gz", "..a/...", "ä b", &"x".repeat(255)] {
            assert_eq!(name.parse::<ArtifactName>().map(|name| name.to_string()), Ok(name.to_owned()));
        }
        for name in ["/a", "a//b", "a/", "../a", "a/../b", "a/..", ".", "./a"] {
            assert_eq!(name.parse::<ArtifactName>(), Err(ArtifactNameError::Leads), "{name}");
        }
        for name in ["", &"x".repeat(256), &"x/".repeat(600)] {
            assert_eq!(name.parse::<ArtifactName>(), Err(ArtifactNameError::Length), "{name}");
        }
        for name in ["a\nb", "a\0", "\x1b[2J", "a\\b", "\u{9b}2J"] {
            assert_eq!(name.parse::<ArtifactName>(), Err(ArtifactNameError::Character), "{name:?}");
        }
    }
}
