//! The `host` image: this machine's own programs by allow-list, so that a fresh machine needs no registry.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Bind, Node, etc};

/// Directories at the top that hold programs and libraries. `/var`, `/run`, `/root`, `/home` are never there.
const SHOWN: [&str; 5] = ["usr", "bin", "sbin", "opt", "nix/store"];

/// The root of the `host` image.
#[derive(Debug, Default)]
pub struct HostRoot {
    /// Links and generated files.
    pub nodes: Vec<Node>,
    /// The machine's own directories.
    pub binds: Vec<Bind>,
}

/// The allow-list as it applies to this machine.
#[must_use]
pub fn root(user: (u32, u32), resolv_conf: &str, host: &str) -> HostRoot {
    let mut root = HostRoot::default();
    for path in SHOWN.iter().map(|name| Path::new("/").join(name)).chain(libraries()) {
        root.show(&path);
    }
    root.nodes.extend(etc::files(user, resolv_conf, host));
    for path in shown_of_etc() {
        root.show(&path);
    }
    root
}

/// Whether the `host` image shows a path, links resolved. Told from the name alone: it is asked for every tool and
/// every directory of `PATH`.
#[must_use]
pub fn shows(path: &Path) -> bool {
    let listed = SHOWN.iter().any(|name| path.starts_with(Path::new("/").join(name)));
    let second = |parent: &str| Some(path.strip_prefix(parent).ok()?.iter().next()?.to_str()?.to_owned());
    listed
        || second("/").is_some_and(|name| is_library(&name))
        || second("/etc").is_some_and(|name| is_shown_of_etc(&name))
}

/// `/lib`, `/lib64`, `/lib32`, …
fn libraries() -> impl Iterator<Item = PathBuf> {
    names(Path::new("/")).filter(|name| is_library(name)).map(|name| Path::new("/").join(name))
}

fn is_library(name: &str) -> bool {
    name.starts_with("lib")
}

fn shown_of_etc() -> impl Iterator<Item = PathBuf> {
    names(Path::new("/etc")).filter(|name| is_shown_of_etc(name)).map(|name| Path::new("/etc").join(name))
}

fn is_shown_of_etc(name: &str) -> bool {
    etc::SHOWN.contains(&name) || etc::SHOWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn names(dir: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names.into_iter()
}

impl HostRoot {
    /// A link stays a link (`/bin -> usr/bin`); anything else is mounted.
    fn show(&mut self, path: &Path) {
        let Ok(kind) = fs::symlink_metadata(path) else { return };
        if !kind.is_symlink() {
            self.binds.push(Bind::read_only(path));
        } else if let Ok(target) = fs::read_link(path) {
            self.nodes.push(Node::Link(path.into(), target));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_private_is_shown() {
        let root = root((1000, 1000), "", "worker");
        for private in ["/var", "/run", "/root", "/home", "/etc", "/etc/shadow", "/proc", "/sys", "/dev", "/tmp"] {
            assert!(!root.binds.iter().any(|bind| bind.source == Path::new(private)), "{private}");
            assert!(!shows(Path::new(private)), "{private}");
        }
        assert!(shows(Path::new("/usr/bin/env")));
        assert!(shows(Path::new("/etc/ssl/certs/ca-certificates.crt")));
        assert!(!shows(Path::new("/usrlocal")));
    }
}
