//! `[kubernetes]` of `danube.toml`: the cluster that jobs run on, and how their pods are made.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::value::{Must, text};
use crate::danubefile::{parse_cpu_millis, parse_duration, parse_size};

/// Less gives a registry no second chance; more keeps a job that can never run.
const GRACES: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);
/// The longest name of a namespace, of a part of a name, and of a label's value.
const LONGEST_LABEL: usize = 63;
/// The longest name of most objects.
const LONGEST_NAME: usize = 253;

/// The cluster, and how pods are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// How the cluster is reached; without it this Danube is a pod of it.
    pub kubeconfig: Option<PathBuf>,
    /// Which context of that file.
    pub context: Option<String>,
    /// Where the pods of jobs are.
    pub namespace: String,
    /// This Danube's name among those that share the namespace.
    pub instance: String,
    /// The image with the shim, by digest.
    pub shim_image: Option<String>,
    /// The image with Python and the SDK, by digest.
    pub coordinator_image: Option<String>,
    /// Whether network policies must hold jobs to their names.
    pub enforcement: Enforcement,
    /// Whether a job is refused that the node does not isolate as was asked for.
    pub isolation: Isolation,
    /// Secrets of the namespace with which images are pulled.
    pub pull_secrets: Vec<String>,
    /// Labels that a node must have.
    pub node_selector: BTreeMap<String, String>,
    /// What a coordinator may use.
    pub coordinator: Limits,
    /// What a worker or a service may use, unless its danubefile says otherwise.
    pub worker: Limits,
    /// How many commits of history a workspace has; without a number all.
    pub git_depth: Option<NonZeroU32>,
    /// Bytes of `/workspace`.
    pub workspace: u64,
    /// How long an image may be refused.
    pub pull_grace: Duration,
    /// How long no node may have room.
    pub node_grace: Duration,
}

/// Whether network policies must hold jobs to their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// No job runs without.
    Required,
    /// Danube makes none.
    Off,
}

/// Whether a job is refused that the node does not isolate as was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// It is.
    Require,
    /// It runs with what the node gives.
    Off,
}

/// What a container may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Thousandths of a CPU.
    pub cpu_millis: u64,
    /// Bytes of memory.
    pub memory: u64,
}

impl Default for KubernetesConfig {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            namespace: "danube-jobs".to_owned(),
            instance: "danube".to_owned(),
            shim_image: None,
            coordinator_image: None,
            enforcement: Enforcement::Required,
            isolation: Isolation::Require,
            pull_secrets: Vec::new(),
            node_selector: BTreeMap::new(),
            coordinator: Limits { cpu_millis: 500, memory: 256 << 20 },
            worker: Limits { cpu_millis: 1000, memory: 2 << 30 },
            workspace: 10 << 30,
            git_depth: NonZeroU32::new(50),
            pull_grace: Duration::from_secs(120),
            node_grace: Duration::from_secs(600),
        }
    }
}

impl KubernetesConfig {
    /// The keys that jobs on a cluster need and that are not there.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let needed = [("shim_image", &self.shim_image), ("coordinator_image", &self.coordinator_image)];
        needed.into_iter().filter(|(_, image)| image.is_none()).map(|(name, _)| name).collect()
    }
}

/// One of two words.
pub(super) fn choice<T: Copy>(value: &DeValue<'_>, choices: [(&str, T); 2]) -> Result<T, Must> {
    let written = value.as_str().unwrap_or_default();
    let chosen = choices.iter().find(|(word, _)| *word == written).map(|(_, chosen)| *chosen);
    chosen.ok_or_else(|| format!("\"{}\" or \"{}\"", choices[0].0, choices[1].0))
}

/// The name of a namespace, or a label's value.
pub(super) fn label(value: &DeValue<'_>) -> Result<String, Must> {
    let wanted = "a name of lower-case letters, digits and `-`, at most 63";
    let name = text(value, wanted)?;
    if name.len() <= LONGEST_LABEL && is_part(name) { Ok(name.to_owned()) } else { Err(wanted.to_owned()) }
}

/// Names of objects.
pub(super) fn names(value: &DeValue<'_>) -> Result<Vec<String>, Must> {
    let wanted = || "a list of names of the namespace's secrets".to_owned();
    let is_name = |name: &str| name.len() <= LONGEST_NAME && name.split('.').all(is_part);
    let one = |value: &DeValue<'_>| value.as_str().filter(|name| is_name(name)).map(str::to_owned);
    let all = value.as_array().ok_or_else(wanted)?.iter();
    all.map(|value| one(value.get_ref())).collect::<Option<_>>().ok_or_else(wanted)
}

/// Labels with their values.
pub(super) fn labels(value: &DeValue<'_>) -> Result<BTreeMap<String, String>, Must> {
    let wanted = || "a table of labels with their values".to_owned();
    let all = value.as_table().ok_or_else(wanted)?.iter();
    let pairs = all.map(|(name, value)| {
        let (name, value) = (name.get_ref().as_ref(), value.get_ref().as_str()?);
        (is_label_name(name) && is_label_value(value)).then(|| (name.to_owned(), value.to_owned()))
    });
    pairs.collect::<Option<_>>().ok_or_else(wanted)
}

/// An image that is named by its digest: one by tag could be another one for each job.
pub(super) fn image(value: &DeValue<'_>) -> Result<String, Must> {
    let wanted = "an image by its digest, HOST/NAME@sha256: and 64 hexadecimal digits";
    let image = text(value, wanted)?;
    let is_hex = |hex: &str| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let parts = image.split_once("@sha256:").filter(|(name, hex)| !name.is_empty() && is_hex(hex));
    parts.map(|_| image.to_owned()).ok_or_else(|| wanted.to_owned())
}

/// Thousandths of a CPU.
pub(super) fn cpu(value: &DeValue<'_>) -> Result<u64, Must> {
    let written = match value {
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    parse_cpu_millis(&written).ok_or_else(|| "a number of CPUs: 2, 0.5 or \"500m\"".to_owned())
}

/// Bytes.
pub(super) fn size(value: &DeValue<'_>) -> Result<u64, Must> {
    let wanted = || "a size of at least 1Mi with its unit, as \"512Mi\" or \"2G\"".to_owned();
    value.as_str().and_then(parse_size).ok_or_else(wanted)
}

/// How many commits; 0 for all.
pub(super) fn depth(value: &DeValue<'_>) -> Result<Option<NonZeroU32>, Must> {
    let wanted = || "a number of commits, 0 for all".to_owned();
    let number = value.as_integer().ok_or_else(wanted)?;
    let number = u32::from_str_radix(number.as_str(), number.radix()).map_err(|_| wanted())?;
    Ok(NonZeroU32::new(number))
}

/// How long trouble may last.
pub(super) fn grace(value: &DeValue<'_>) -> Result<Duration, Must> {
    let wanted = "a time from 1s to 1d, in s, m, h or d";
    let time = parse_duration(text(value, wanted)?);
    time.filter(|time| GRACES.contains(time)).ok_or_else(|| wanted.to_owned())
}

fn is_part(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let edges = [name.bytes().next(), name.bytes().next_back()];
    edges.into_iter().all(|edge| edge.is_some_and(plain)) && name.bytes().all(|byte| plain(byte) || byte == b'-')
}

fn is_label_name(name: &str) -> bool {
    let (prefix, name) = name.split_once('/').map_or((None, name), |(prefix, name)| (Some(prefix), name));
    let prefix_fits = prefix.is_none_or(|prefix| prefix.len() <= LONGEST_NAME && prefix.split('.').all(is_part));
    prefix_fits && !name.is_empty() && is_label_value(name)
}

fn is_label_value(value: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let edges = edge(value.bytes().next()) && edge(value.bytes().next_back());
    value.len() <= LONGEST_LABEL && edges && value.bytes().all(inner)
}
