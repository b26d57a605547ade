//! `danube.toml`: what a server must know before it can read its configuration repository (docs/danube.toml.md).
//!
//! [`KEYS`] is the one table of what can be written: it is read by, documented from, and a starter file is made of it.

mod keys;
mod kubernetes;
mod starter;
mod value;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Diagnostics, shown};
use crate::nearest::nearest;
use crate::text::Text;
pub use keys::{KEYS, Key, TABLES};
pub use kubernetes::{Enforcement, Isolation, KubernetesConfig, Limits};
pub use starter::starter;

/// Where the file is unless somebody says otherwise.
pub const USUAL_PATH: &str = "/etc/danube/danube.toml";
/// A longer file is refused unread.
const LONGEST_FILE: usize = 1024 * 1024;

/// What the file says. Its defaults are those of an empty file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where it is spoken to; always a loopback address.
    pub listen: SocketAddr,
    /// What runs jobs.
    pub runtime: RuntimeKind,
    /// The folder with credentials.
    pub credentials: Option<PathBuf>,
    /// The configuration repository.
    pub config: ConfigSource,
    /// How much is run at once.
    pub limits: ServerLimits,
    /// The cluster that jobs run on.
    pub kubernetes: KubernetesConfig,
}

/// What runs jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeKind {
    /// Sandboxes on this machine.
    Embedded,
    /// Pods of a cluster.
    Kubernetes,
}

/// The configuration repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSource {
    /// Where it is on this machine.
    pub repository: Option<PathBuf>,
    /// The branch whose head counts.
    pub branch: String,
    /// How often it is looked at.
    pub sync_interval: Duration,
}

/// How much is run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Of all pipelines together.
    pub jobs: Option<NonZeroUsize>,
    /// Of each pipeline.
    pub jobs_per_pipeline: Option<NonZeroUsize>,
    /// Job surroundings that are kept ready.
    pub warm: usize,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self { jobs: None, jobs_per_pipeline: None, warm: 1 }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            data_dir: "/var/lib/danube".into(),
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            runtime: RuntimeKind::Embedded,
            credentials: None,
            config: ConfigSource {
                repository: None,
                branch: "main".to_owned(),
                sync_interval: Duration::from_secs(60),
            },
            limits: ServerLimits::default(),
            kubernetes: KubernetesConfig::default(),
        }
    }
}

/// Reads the file. `path_shown` names it in errors; every mistake is told at once.
///
/// # Errors
/// All mistakes of the file, each with its line, its key and what would be right.
pub fn read(path_shown: &str, bytes: &[u8]) -> Result<ServerConfig, Diagnostics> {
    if bytes.len() > LONGEST_FILE {
        return Err(Diagnostics::unread(path_shown, &format!("it is larger than {LONGEST_FILE} bytes")));
    }
    let text = Text::decode(path_shown, bytes)?;
    let mut reader = Reader { text: &text, config: ServerConfig::default(), found: Vec::new() };
    let (document, errors) = DeTable::parse_recoverable(&text.text);
    for error in &errors {
        let range = error.span().unwrap_or_default();
        reader.found.push(text.diagnostic(range, format!("this is not valid TOML: {}", error.message()), None));
    }
    // What follows a mistake of form may be anything.
    if errors.is_empty() {
        reader.table("", document.get_ref());
        reader.check(document.get_ref());
    }
    if reader.found.is_empty() { Ok(reader.config) } else { Err(Diagnostics::sorted(reader.found)) }
}

/// What was read and found so far.
struct Reader<'t> {
    text: &'t Text,
    config: ServerConfig,
    found: Vec<Diagnostic>,
}

impl Reader<'_> {
    /// Reads every key of a table; the top of the file is the table without a name.
    fn table(&mut self, table: &'static str, entries: &DeTable<'_>) {
        for (name, value) in entries {
            let written = name.get_ref().as_ref();
            let nested = TABLES.iter().find(|(known, _)| table.is_empty() && *known == written);
            match (nested, value.get_ref()) {
                (Some((known, _)), DeValue::Table(entries)) => self.table(known, entries),
                (Some((known, _)), _) => {
                    self.wrong(
                        value,
                        format!("`{known}` must be a table"),
                        format!("write [{known}] and its keys below"),
                    );
                }
                (None, _) => self.key(table, name, value),
            }
        }
    }

    fn key(&mut self, table: &str, name: &Spanned<toml::de::DeString<'_>>, value: &Spanned<DeValue<'_>>) {
        let written = name.get_ref().as_ref();
        let Some(key) = KEYS.iter().find(|key| key.table == table && key.name == written) else {
            let (message, help) = unknown(table, written);
            return self.found.push(self.text.diagnostic(name.span(), message, Some(help)));
        };
        if let Err(wrong) = key.set(&mut self.config, value.get_ref()) {
            self.wrong(value, wrong, format!("for example {} = {}", key.name, key.example));
        }
    }

    /// What one key asks of others.
    fn check(&mut self, document: &DeTable<'_>) {
        if self.config.runtime != RuntimeKind::Kubernetes || !self.found.is_empty() {
            return;
        }
        let Some(runtime) = document.get("runtime") else { return };
        for name in self.config.kubernetes.missing() {
            let message = format!("jobs on a cluster need `{name}`");
            let help = "name it below [kubernetes]; docs/kubernetes.md says how it is made";
            self.wrong(runtime, message, help.to_owned());
        }
    }

    fn wrong(&mut self, value: &Spanned<DeValue<'_>>, message: String, help: String) {
        self.found.push(self.text.diagnostic(value.span(), message, Some(help)));
    }
}

/// What is said of a key that nobody knows.
fn unknown(table: &str, written: &str) -> (String, String) {
    let place = if table.is_empty() { "here".to_owned() } else { format!("in [{table}]") };
    let message = format!("there is no key `{}` {place}", shown(written));
    if let Some(elsewhere) = KEYS.iter().find(|key| key.name == written) {
        let place = match elsewhere.table {
            "" => "at the top of the file, before the first [table]".to_owned(),
            table => format!("below [{table}]"),
        };
        return (message, format!("it stands {place}"));
    }
    let here = KEYS.iter().filter(|key| key.table == table).map(|key| key.name);
    let tables = TABLES.iter().filter(|_| table.is_empty()).map(|(name, _)| *name);
    let known: Vec<&str> = here.chain(tables).collect();
    let help = match nearest(written, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known are: {}", known.join(", ")),
    };
    (message, help)
}
