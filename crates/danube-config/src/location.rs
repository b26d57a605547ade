//! Where a Git repository is, as users write it.

use std::path::{Component, PathBuf};

/// What a repository's place must be.
pub(crate) const WANTED: &str = "a Git repository on this machine: an absolute path, or file:// and one";

/// A repository on this machine; else what it must be.
pub(crate) fn repository(text: &str) -> Result<PathBuf, String> {
    let path = match text.strip_prefix("file://") {
        Some(path) => path,
        None if is_elsewhere(text) => {
            return Err(format!(
                "{WANTED}; this Danube fetches from no other machine yet: keep a copy with `git clone --mirror` and name that"
            ));
        }
        None => text,
    };
    let path = PathBuf::from(path);
    let plain = path.components().all(|part| !matches!(part, Component::ParentDir));
    if path.is_absolute() && plain { Ok(path) } else { Err(WANTED.to_owned()) }
}

/// `https://host/x`, `git@host:x`, …
fn is_elsewhere(text: &str) -> bool {
    text.contains("://") || text.split_once(':').is_some_and(|(host, _)| !host.contains('/'))
}

/// Whether Git takes this for a branch's name (git-check-ref-format).
pub(crate) fn is_branch(name: &str) -> bool {
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let refused = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    name.split('/').all(part)
        && !name.contains(refused)
        && !["..", "@{"].iter().any(|two| name.contains(two))
        && !name.starts_with('-')
        && !name.ends_with('.')
        && name != "@"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_on_this_machine() {
        for text in ["/srv/a.git", "file:///srv/a.git"] {
            assert_eq!(repository(text), Ok(PathBuf::from("/srv/a.git")), "{text}");
        }
        for text in ["a.git", "./a", "file://host/a", "/srv/../etc", ""] {
            assert_eq!(repository(text), Err(WANTED.to_owned()), "{text}");
        }
        for text in ["https://git.example/a.git", "ssh://git@git.example/a", "git@git.example:a.git", "host:a"] {
            assert!(repository(text).is_err_and(|words| words.contains("mirror")), "{text}");
        }
    }

    #[test]
    fn a_branch_is_what_git_takes_for_one() {
        for name in ["main", "release/1.0", "a@b", "ünïcode"] {
            assert!(is_branch(name), "{name}");
        }
        for name in
            ["", "-x", "a b", "a..b", "a/", "/a", "a//b", ".a", "a/.b", "a.lock", "a~1", "a^", "@", "a@{1}", "a."]
        {
            assert!(!is_branch(name), "{name}");
        }
    }
}
