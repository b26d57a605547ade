//! What is asked about a Kubernetes cluster.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Which cluster, and which part of it.
#[derive(Debug, Args)]
pub struct WhereArgs {
    /// How the API server is reached. Without it: KUBECONFIG, ~/.kube/config, or the account of the pod that this runs in.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The namespace of jobs.
    #[arg(long, default_value = "danube-jobs", value_name = "NAME")]
    pub namespace: String,
    /// Names this Danube among those that share the namespace.
    #[arg(long, default_value = "danube", value_name = "NAME")]
    pub instance: String,
}

/// What a cluster is made ready by.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Bring what Danube needs into a cluster, and back into shape: namespaces, rights, policies, registry, Dex.
    Apply(Box<ApplyArgs>),
}

const APPLY_EXAMPLES: &str = "\
Examples:
  danube cluster apply --print > danube.yaml     all of it as YAML, to be kept in Git; no cluster is asked
  danube cluster apply --dry-run                 what would change
  danube cluster apply                           apply it: again and again, only differences are written
  danube cluster apply --force                   and take back what somebody else has changed
  danube cluster apply --only services           with the account danube-services: policies, registry, Dex";

/// Arguments of `danube cluster apply`.
#[derive(Debug, Args)]
#[command(after_help = APPLY_EXAMPLES)]
pub struct ApplyArgs {
    /// Which cluster.
    #[command(flatten)]
    pub place: WhereArgs,
    /// The namespace of the master's account, the registry and Dex.
    #[arg(long, default_value = "danube-system", value_name = "NAME")]
    pub system_namespace: String,
    /// Print the objects as YAML instead.
    #[arg(long, conflicts_with_all = ["dry_run", "force"])]
    pub print: bool,
    /// Ask the API server what would come of it, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Take back what somebody else has changed.
    #[arg(long)]
    pub force: bool,
    /// Only what needs the rights of an administrator (foundation), or only the rest (services).
    #[arg(long, value_enum, value_name = "PART")]
    pub only: Option<Part>,
    /// Leave out Cilium's policies, for a cluster that has no Cilium.
    #[arg(long)]
    pub without_cilium: bool,
    /// Run a registry of this image, named by digest.
    #[arg(long, value_name = "IMAGE")]
    pub registry_image: Option<String>,
    /// The size of the registry's volume, such as 20Gi. Without it its images are gone with its pod.
    #[arg(long, value_name = "SIZE", requires = "registry_image")]
    pub registry_storage: Option<String>,
    /// Run a Dex of this image, named by digest.
    #[arg(long, value_name = "IMAGE")]
    pub dex_image: Option<String>,
}

/// Which objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Namespaces, accounts, rights.
    Foundation,
    /// Policies, registry, Dex.
    Services,
}

/// What the doctor looks at beside this machine.
#[derive(Debug, Subcommand)]
pub enum DoctorOf {
    /// Try from within a cluster what a job may reach and what it may not.
    Egress(EgressArgs),
}

/// Arguments of `danube doctor egress`.
#[derive(Debug, Args)]
pub struct EgressArgs {
    /// Which cluster.
    #[command(flatten)]
    pub place: WhereArgs,
    /// A server's danube.toml, whose cluster it is: all of the other options but names come from there.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kubeconfig", "namespace", "instance", "coordinator_image"])]
    pub config: Option<PathBuf>,
    /// The coordinator's image, named by digest: it has the Python that the canary needs.
    #[arg(long, value_name = "IMAGE", required_unless_present = "config")]
    pub coordinator_image: Option<String>,
    /// A name that jobs may reach, as in a pipeline's list.
    #[arg(long = "allow", value_name = "NAME[:PORT]")]
    pub allowed: Vec<String>,
    /// A name of the world that they may not.
    #[arg(long, default_value = "example.org", value_name = "NAME")]
    pub other: String,
    /// Print one JSON object instead.
    #[arg(long)]
    pub json: bool,
}
