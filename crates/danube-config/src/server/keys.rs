//! The one table of the keys of `danube.toml`: what is read, what is documented, what errors suggest.

use toml::de::DeValue;

use super::kubernetes::{self, Enforcement, Isolation};
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
    ("kubernetes", "The cluster that jobs run on with `runtime = \"kubernetes\"` (docs/kubernetes.md)."),
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
        meaning: "What runs jobs: `embedded`, sandboxes on this machine; `kubernetes`, pods of a cluster.",
        set: |config, value| {
            let choices = [("embedded", RuntimeKind::Embedded), ("kubernetes", RuntimeKind::Kubernetes)];
            kubernetes::choice(value, choices).map(|chosen| config.runtime = chosen)
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
    Key {
        table: "kubernetes",
        name: "kubeconfig",
        default: None,
        otherwise: "the account of the pod that Danube itself runs in",
        example: r#""/etc/danube/kubeconfig""#,
        meaning: "How the cluster is reached: a file as kubectl has it, which only Danube's user can read.",
        set: |config, value| value::path(value).map(|path| config.kubernetes.kubeconfig = Some(path)),
    },
    Key {
        table: "kubernetes",
        name: "context",
        default: None,
        otherwise: "the file's own choice",
        example: r#""production""#,
        meaning: "Which context of the kubeconfig counts.",
        set: |config, value| {
            value::text(value, "the name of a context").map(|name| config.kubernetes.context = Some(name.to_owned()))
        },
    },
    Key {
        table: "kubernetes",
        name: "namespace",
        default: Some(r#""danube-jobs""#),
        otherwise: "",
        example: r#""danube-jobs""#,
        meaning: "Where the pods of jobs are, and nothing else.",
        set: |config, value| kubernetes::label(value).map(|got| config.kubernetes.namespace = got),
    },
    Key {
        table: "kubernetes",
        name: "instance",
        default: Some(r#""danube""#),
        otherwise: "",
        example: r#""danube""#,
        meaning: "This Danube's name among those that share the namespace: each sees the pods with its own name only.",
        set: |config, value| kubernetes::label(value).map(|got| config.kubernetes.instance = got),
    },
    Key {
        table: "kubernetes",
        name: "shim_image",
        default: None,
        otherwise: "none, and so no jobs on a cluster",
        example: r#""registry.example/danube-shim@sha256:9c1f00000000000000000000000000000000000000000000000000000000beef""#,
        meaning: "The image with danube-shim and nothing else, by its digest.",
        set: |config, value| kubernetes::image(value).map(|image| config.kubernetes.shim_image = Some(image)),
    },
    Key {
        table: "kubernetes",
        name: "coordinator_image",
        default: None,
        otherwise: "none, and so no jobs on a cluster",
        example: r#""registry.example/danube-coordinator@sha256:9c1f00000000000000000000000000000000000000000000000000000000beef""#,
        meaning: "The image with Python and the SDK, in which danubefiles run, by its digest.",
        set: |config, value| kubernetes::image(value).map(|image| config.kubernetes.coordinator_image = Some(image)),
    },
    Key {
        table: "kubernetes",
        name: "enforcement",
        default: Some(r#""required""#),
        otherwise: "",
        example: r#""required""#,
        meaning: "Whether Cilium must hold jobs to the names they list: `required`, or `off` where something else closes their network, or nothing does.",
        set: |config, value| {
            let choices = [("required", Enforcement::Required), ("off", Enforcement::Off)];
            kubernetes::choice(value, choices).map(|chosen| config.kubernetes.enforcement = chosen)
        },
    },
    Key {
        table: "kubernetes",
        name: "isolation",
        default: Some(r#""require""#),
        otherwise: "",
        example: r#""require""#,
        meaning: "What happens where a node does not map a pod's ids, or gives it more than was asked for: `require` refuses the job, `off` runs it.",
        set: |config, value| {
            let choices = [("require", Isolation::Require), ("off", Isolation::Off)];
            kubernetes::choice(value, choices).map(|chosen| config.kubernetes.isolation = chosen)
        },
    },
    Key {
        table: "kubernetes",
        name: "pull_secrets",
        default: Some("[]"),
        otherwise: "",
        example: r#"["registry"]"#,
        meaning: "Secrets of the namespace with which nodes pull images. Danube itself asks registries as its user's `docker login` says.",
        set: |config, value| kubernetes::names(value).map(|got| config.kubernetes.pull_secrets = got),
    },
    Key {
        table: "kubernetes",
        name: "node_selector",
        default: Some("{}"),
        otherwise: "",
        example: r#"{ "kubernetes.io/arch" = "amd64" }"#,
        meaning: "Labels that a node must have.",
        set: |config, value| kubernetes::labels(value).map(|got| config.kubernetes.node_selector = got),
    },
    Key {
        table: "kubernetes",
        name: "coordinator_cpu",
        default: Some(r#""500m""#),
        otherwise: "",
        example: r#""500m""#,
        meaning: "CPUs of a coordinator.",
        set: |config, value| kubernetes::cpu(value).map(|got| config.kubernetes.coordinator.cpu_millis = got),
    },
    Key {
        table: "kubernetes",
        name: "coordinator_memory",
        default: Some(r#""256Mi""#),
        otherwise: "",
        example: r#""256Mi""#,
        meaning: "Memory of a coordinator.",
        set: |config, value| kubernetes::size(value).map(|got| config.kubernetes.coordinator.memory = got),
    },
    Key {
        table: "kubernetes",
        name: "worker_cpu",
        default: Some("1"),
        otherwise: "",
        example: "1",
        meaning: "CPUs of each other container, unless the danubefile says otherwise: promised to it, and not exceeded.",
        set: |config, value| kubernetes::cpu(value).map(|got| config.kubernetes.worker.cpu_millis = got),
    },
    Key {
        table: "kubernetes",
        name: "worker_memory",
        default: Some(r#""2Gi""#),
        otherwise: "",
        example: r#""2Gi""#,
        meaning: "The same for memory.",
        set: |config, value| kubernetes::size(value).map(|got| config.kubernetes.worker.memory = got),
    },
    Key {
        table: "kubernetes",
        name: "workspace",
        default: Some(r#""10Gi""#),
        otherwise: "",
        example: r#""10Gi""#,
        meaning: "Room of `/workspace`, unless the danubefile says otherwise.",
        set: |config, value| kubernetes::size(value).map(|got| config.kubernetes.workspace = got),
    },
    Key {
        table: "kubernetes",
        name: "git_depth",
        default: Some("50"),
        otherwise: "",
        example: "50",
        meaning: "How many commits of history a workspace has; 0 for all of it.",
        set: |config, value| kubernetes::depth(value).map(|got| config.kubernetes.git_depth = got),
    },
    Key {
        table: "kubernetes",
        name: "pull_grace",
        default: Some(r#""120s""#),
        otherwise: "",
        example: r#""120s""#,
        meaning: "How long an image may be refused before its job fails: 1s to 1d.",
        set: |config, value| kubernetes::grace(value).map(|got| config.kubernetes.pull_grace = got),
    },
    Key {
        table: "kubernetes",
        name: "node_grace",
        default: Some(r#""10m""#),
        otherwise: "",
        example: r#""10m""#,
        meaning: "How long no node may have room, or no container be made, before the job fails: 1s to 1d.",
        set: |config, value| kubernetes::grace(value).map(|got| config.kubernetes.node_grace = got),
    },
];
