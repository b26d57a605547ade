//! The one table of the keys of `danube.toml`: what is read, what is documented, what errors suggest.

use toml::de::DeValue;

use super::value::{self, Must};
use super::{RuntimeKind, ServerConfig};

/// A key of the file.
pub struct Key {
    /// The table it stands in; none for the top of the file.
    pub table: &'static str,
    /// As it is written.
    pub name: &'static str,
    /// What holds when it is absent, as TOML; none where that is nothing, or depends on the machine.
    pub default: Option<&'static str>,
    /// What holds when it is absent, in words, where [`default`](Self::default) has nothing.
    pub otherwise: &'static str,
    /// A value, as TOML.
    pub example: &'static str,
    /// What it does, in sentences.
    pub meaning: &'static str,
    set: fn(&mut ServerConfig, &DeValue<'_>) -> Result<(), Must>,
}

impl Key {
    /// Reads the value, or says what is wrong with it.
    pub(super) fn set(&self, config: &mut ServerConfig, value: &DeValue<'_>) -> Result<(), String> {
        (self.set)(config, value)
            .map_err(|must| format!("`{}` must be {must}; it is {}", self.name, value::described(value)))
    }
}

/// The tables of the file, each with what it is about.
pub const TABLES: &[(&str, &str)] = &[
    ("config", "The configuration repository: pipelines are declared there, in pipelines/*.yaml."),
    ("limits", "How much is run at once."),
];

/// Every key, in the order of the documentation.
pub const KEYS: &[Key] = &[
    Key {
        table: "",
        name: "data_dir",
        default: Some(r#""/var/lib/danube""#),
        otherwise: "",
        example: r#""/var/lib/danube""#,
        meaning: "Where the database, logs, artifacts and images are kept. One Danube has it at a time.",
        set: |config, value| value::path(value).map(|path| config.data_dir = path),
    },
    Key {
        table: "",
        name: "listen",
        default: Some(r#""127.0.0.1:8080""#),
        otherwise: "",
        example: r#""127.0.0.1:8080""#,
        meaning: "Where it is spoken to: an address of the loopback. Port 0 takes any free one.",
        set: |config, value| value::loopback(value).map(|address| config.listen = address),
    },
    Key {
        table: "",
        name: "runtime",
        default: Some(r#""embedded""#),
        otherwise: "",
        example: r#""embedded""#,
        meaning: "What runs jobs: `embedded`, sandboxes on this machine.",
        set: |config, value| match value.as_str() {
            Some("embedded") => {
                config.runtime = RuntimeKind::Embedded;
                Ok(())
            }
            _ => Err("\"embedded\"".to_owned()),
        },
    },
    Key {
        table: "",
        name: "credentials",
        default: None,
        otherwise: "what systemd's LoadCredential= gives, if anything",
        example: r#""/etc/danube/credentials""#,
        meaning: "The folder with credentials, each a file that only Danube's user can read. `api-token` is a token for \
                  programs, at least 32 characters; without it there is a new one with each start, for this machine only.",
        set: |config, value| value::path(value).map(|path| config.credentials = Some(path)),
    },
    Key {
        table: "config",
        name: "url",
        default: None,
        otherwise: "none, and so no pipelines",
        example: r#""/srv/git/danube-config.git""#,
        meaning: "A Git repository on this machine, bare or not: an absolute path, or file:// and one.",
        set: |config, value| value::repository(value).map(|path| config.config.repository = Some(path)),
    },
    Key {
        table: "config",
        name: "branch",
        default: Some(r#""main""#),
        otherwise: "",
        example: r#""main""#,
        meaning: "The branch whose newest commit counts.",
        set: |config, value| value::branch(value).map(|branch| config.config.branch = branch),
    },
    Key {
        table: "config",
        name: "sync_interval",
        default: Some(r#""60s""#),
        otherwise: "",
        example: r#""60s""#,
        meaning: "How often it is looked at for a new commit: 1s to 1d.",
        set: |config, value| value::interval(value).map(|time| config.config.sync_interval = time),
    },
    Key {
        table: "limits",
        name: "jobs",
        default: None,
        otherwise: "as many as there are processors, at least 2",
        example: "4",
        meaning: "Jobs that run at once; the others wait for their turn and are told so.",
        set: |config, value| value::count(value).map(|count| config.limits.jobs = Some(count)),
    },
    Key {
        table: "limits",
        name: "jobs_per_pipeline",
        default: None,
        otherwise: "as many as `jobs`",
        example: "2",
        meaning: "Jobs of one pipeline that run at once.",
        set: |config, value| value::count(value).map(|count| config.limits.jobs_per_pipeline = Some(count)),
    },
    Key {
        table: "limits",
        name: "warm",
        default: Some("1"),
        otherwise: "",
        example: "1",
        meaning: "Job surroundings that are started ahead, for nobody, so that the next job begins sooner: 0 to 16. Each is \
                  used for one job, and holds about 11 MB until then.",
        set: |config, value| value::count_or_none(value).map(|count| config.limits.warm = count),
    },
];
