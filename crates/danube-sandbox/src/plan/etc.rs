//! The `/etc` of the `host` image: generated files, and the few of the machine's own that its programs cannot do without.

use std::path::PathBuf;

use super::Node;

/// Shown as they are on this machine, read-only. The first six are the list of design.md §6.
pub const SHOWN: &[&str] = &[
    "ssl",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "localtime",
    // Where Red Hat's and Arch's certificates are, to which `ssl` points.
    "pki",
    "ca-certificates",
    "crypto-policies",
    // Names of ports: `getservbyname` of curl, Perl and Java.
    "services",
    "protocols",
    // Read through links from /usr: Maven does not start without its own; manual pages and locales lack parts.
    "maven",
    "groff",
    "locale.alias",
    // Which system this is, in which time zone, and what kind a file is by its name: builds and tests ask.
    "os-release",
    "debian_version",
    "timezone",
    "mime.types",
    // NixOS: most of the above are links through it into /nix/store.
    "static",
];

/// Directories shown whose name starts so: Debian's JDKs read `java.security` there and start with an error without.
pub const SHOWN_PREFIXES: &[&str] = &["java-", "jvm-"];

/// The name of the user that steps are in the `host` image.
pub const USER: &str = "danube";
/// Its home.
pub const HOME: &str = "/home/danube";

/// The generated files for a container whose steps are this user and group.
#[must_use]
pub fn files((user, group): (u32, u32), resolv_conf: &str, host: &str) -> Vec<Node> {
    let file = |name: &str, text: String| Node::File(PathBuf::from("/etc").join(name), text);
    let mut files = vec![
        file("passwd", passwd(user, group)),
        file("group", groups(group)),
        file("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n".into()),
    ];
    files.extend(network_files(resolv_conf, host));
    files
}

/// The files that any image needs replaced.
#[must_use]
pub fn network_files(resolv_conf: &str, host: &str) -> Vec<Node> {
    let file = |name: &str, text: String| Node::File(PathBuf::from("/etc").join(name), text);
    vec![
        file("hosts", format!("127.0.0.1 localhost {host}\n::1 localhost ip6-localhost ip6-loopback {host}\n")),
        file("hostname", format!("{host}\n")),
        file("resolv.conf", resolv_conf.to_owned()),
    ]
}

/// A caller who is root by number keeps that number with a single id; the line for `root` is then the user's.
fn passwd(user: u32, group: u32) -> String {
    let root = if user == 0 { String::new() } else { "root:x:0:0:root:/root:/bin/sh\n".into() };
    format!(
        "{root}{USER}:x:{user}:{group}:Danube:{HOME}:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
    )
}

fn groups(group: u32) -> String {
    let root = if group == 0 { "" } else { "root:x:0:\n" };
    format!("{root}tty:x:5:\n{USER}:x:{group}:\nnogroup:x:65534:\n")
}
