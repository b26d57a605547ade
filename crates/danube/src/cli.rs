//! The command line: what can be typed, and the help for it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const AFTER: &str = "\
Exit codes:
  0    success
  1    the job failed: a step, an exception in the danubefile, a step's timeout, out of memory
  2    usage, configuration, or a danubefile that cannot be read
  3    infrastructure: Danube or this machine failed, not the job
  4    the job's timeout
  130  cancelled

Examples:
  danube run                             run ./danubefile.py on this machine
  danube run examples/python             run the danubefile of another folder
  danube init                            write a danubefile for the project here
  danube doctor                          say what this machine offers and lacks
  danube trigger --follow                start a job on a server, or on the `danube dev` here, and watch it";

/// Self-hosted CI: pipelines in plain Python.
#[derive(Debug, Parser)]
#[command(name = "danube", version, after_help = AFTER, max_term_width = 110)]
pub struct Cli {
    /// What to log to stderr: error, warn, info, debug, trace, or a filter such as `danube_engine=debug`. Without it
    /// `serve` logs from info on, everything else from warn on.
    #[arg(long, env = "DANUBE_LOG", global = true, value_name = "FILTER", hide_env_values = true)]
    pub log: Option<String>,
    /// How to log it.
    #[arg(long, env = "DANUBE_LOG_FORMAT", default_value = "pretty", global = true, value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// Everything that can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one danubefile on this machine, without a server.
    Run(Box<RunArgs>),
    /// Start a Danube for the checkout here, run it, and show its log.
    Dev(Box<DevArgs>),
    /// Start the server that danube.toml describes. Its jobs run on when it is stopped.
    Serve(ConfigArg),
    /// Write a danube.toml in which every key is explained.
    InitConfig(InitConfigArgs),
    /// Read a danube.toml, or a configuration repository, as a server would, and tell every mistake.
    CheckConfig(CheckConfigArgs),
    /// Install this program as a server that systemd starts: account, folders, unit, danube.toml.
    Install(InstallArgs),
    /// Remove what `danube install` made, and keep data and configuration.
    Uninstall(UninstallArgs),
    /// Bring a server's database up to this version, while no master runs. A start does the same.
    Migrate(MigrateArgs),
    /// Look at a project and write a danubefile that it passes.
    Init(InitArgs),
    /// Say in one line each what this machine offers, or a cluster, and what to do about what is missing.
    Doctor(Box<DoctorArgs>),
    /// Make a Kubernetes cluster ready for jobs.
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    /// What is asked of a server.
    #[command(flatten)]
    Client(client::Client),
    /// Write the manual pages, one for each command, into a folder.
    Man(ManArgs),
    /// Print the version.
    Version,
}

const RUN_EXAMPLES: &str = "\
Examples:
  danube run                                     run ./danubefile.py
  danube run --param env=prod --param n=3        with parameters
  danube run --secret NPM_TOKEN                  with a secret from this environment's NPM_TOKEN
  danube run --secret KEY=@key.pem               with a secret from a file
  danube run --image node:22=tar:node.tar        say where an image comes from
  danube run --egress deny                       no network at all
  danube run --egress egress.txt                 only the names in a file
  danube run --json | jq .                       events as lines
  danube run --resume                            go on with a run whose danube was killed";

const INIT_EXAMPLES: &str = "\
Examples:
  danube init                                    write ./danubefile.py
  danube init --run                              and run it
  danube init --force                            in place of the one that is there";

/// Arguments of `danube run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct RunArgs {
    /// The folder with the danubefile.
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// The danubefile, relative to DIR.
    #[arg(long, default_value = "danubefile.py", value_name = "FILE")]
    pub file: PathBuf,
    /// A parameter's value.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    pub params: Vec<(String, String)>,
    /// How jobs run on this machine.
    #[command(flatten)]
    pub how: HowArgs,
    /// Run the commit as it is: no changed, no untracked file.
    #[arg(long)]
    pub clean: bool,
    /// Keep the workspace, and say where it is.
    #[arg(long)]
    pub keep: bool,
    /// Put the artifacts that the danubefile uploads into DIR, replacing older ones.
    #[arg(long, value_name = "DIR")]
    pub artifacts: Option<PathBuf>,
    /// Print events as JSON lines instead (docs/json.md).
    #[arg(long)]
    pub json: bool,
    /// When to use colours.
    #[arg(long, default_value = "auto", value_name = "WHEN")]
    pub color: Color,
    /// Go on with an interrupted run: the last one, or the one named.
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "last")]
    pub resume: Option<String>,
}

const DEV_EXAMPLES: &str = "\
While it runs:
  r  run again            l  another link to log in            q or Ctrl-C  stop

Examples:
  danube dev                                     the checkout here, or the bundled example
  danube dev --param env=test --secret TOKEN     with parameters and secrets
  danube trigger; danube logs -f                 from another terminal";

/// Arguments of `danube dev`.
#[derive(Debug, Args)]
#[command(after_help = DEV_EXAMPLES)]
pub struct DevArgs {
    /// The checkout; without one the folder here, or the bundled example where there is no danubefile.
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The danubefile, relative to DIR.
    #[arg(long, default_value = "danubefile.py", value_name = "FILE")]
    pub file: PathBuf,
    /// A parameter's value, for the jobs that are started here.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    pub params: Vec<(String, String)>,
    /// Where to listen on 127.0.0.1; without it 8080, or the next free one.
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Jobs at once; without it as many as there are processors.
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Do not run it at once.
    #[arg(long)]
    pub no_run: bool,
    /// Job surroundings that are started ahead, so that the next job begins sooner; 0 for none.
    #[arg(long, default_value = "1", value_name = "N", value_parser = clap::value_parser!(u8).range(0..=16))]
    pub warm: u8,
    /// How jobs run on this machine.
    #[command(flatten)]
    pub how: HowArgs,
}

/// How jobs run on this machine: the same for `run` and `dev`.
#[derive(Clone, Debug, Args)]
pub struct HowArgs {
    /// A secret: NAME or NAME=env:VAR from this environment, NAME=@FILE from a file. Never a value.
    #[arg(long = "secret", value_name = "NAME[=@FILE|=env:VAR]")]
    pub secrets: Vec<String>,
    /// Where an image comes from: host, oci:DIR[:TAG] or tar:FILE.
    #[arg(long = "image", value_name = "NAME=SOURCE", value_parser = pair)]
    pub images: Vec<(String, String)>,
    /// Which names steps may reach: record (all, listed at the end), deny (none), or a file with one name per line.
    #[arg(long, value_name = "record|deny|FILE")]
    pub egress: Option<String>,
    /// `host` gives steps this machine's own network, unrecorded.
    #[arg(long, default_value = "job", value_name = "job|host")]
    pub network: Network,
    /// How steps are isolated. `none` runs them as plain processes: only for a machine without user namespaces.
    #[arg(long, default_value = "namespaces", value_name = "HOW")]
    pub isolation: Isolation,
    /// Do not show toolchains of your home (rustup, pyenv, nvm, …) to the `host` image.
    #[arg(long)]
    pub no_home_tools: bool,
    /// Where runs, logs and images are kept.
    #[arg(long, env = "DANUBE_DATA_DIR", value_name = "DIR", hide_env_values = true)]
    pub data_dir: Option<PathBuf>,
}

/// Which network steps have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// The job's own: names are allowed and recorded one by one.
    Job,
    /// This machine's.
    Host,
}

/// How steps are isolated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Isolation {
    /// As much as this machine allows, and never less than user namespaces.
    Namespaces,
    /// Not at all.
    None,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Which danube.toml.
#[derive(Debug, Args)]
pub struct ConfigArg {
    /// The server's danube.toml (docs/danube.toml.md).
    #[arg(
        long,
        env = "DANUBE_CONFIG",
        default_value = danube_config::server::USUAL_PATH,
        value_name = "FILE",
        hide_env_values = true
    )]
    pub config: PathBuf,
}

/// Arguments of `danube init-config`.
#[derive(Debug, Args)]
pub struct InitConfigArgs {
    /// Where to write it. A file that is there is never changed.
    #[arg(default_value = danube_config::server::USUAL_PATH, value_name = "PATH")]
    pub path: PathBuf,
}

/// Arguments of `danube check-config`.
#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    /// A danube.toml, or the folder of a configuration repository, whose files are read as they stand.
    #[arg(default_value = danube_config::server::USUAL_PATH, value_name = "PATH")]
    pub path: PathBuf,
}

const INSTALL_EXAMPLES: &str = "\
Examples:
  sudo ./danube install                          install this program, or bring what is installed up to its version
  danube install --dry-run                       only say what it would do
  danube install --root ./image --apparmor       into the folder of an image for Ubuntu";

/// Arguments of `danube install`.
#[derive(Debug, Args)]
#[command(after_help = INSTALL_EXAMPLES)]
pub struct InstallArgs {
    /// Also write AppArmor's profile when this kernel does not ask for one, for the image of an Ubuntu. Where it asks, the
    /// profile is written and loaded without this.
    #[arg(long)]
    pub apparmor: bool,
    /// The root of the system to install into.
    #[arg(long, default_value = "/", value_name = "DIR")]
    pub root: PathBuf,
    /// Change nothing; say what would be changed.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `danube uninstall`.
#[derive(Debug, Args)]
pub struct UninstallArgs {
    /// Also remove /etc/danube, /var/lib/danube with every job in it, and the account.
    #[arg(long)]
    pub purge: bool,
    /// The root of the system to remove it from.
    #[arg(long, default_value = "/", value_name = "DIR")]
    pub root: PathBuf,
    /// Change nothing; say what would be changed.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `danube man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder, for example /usr/local/share/man/man1.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// Arguments of `danube migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Only say what there is to do; the exit code is 1 when there is something.
    #[arg(long)]
    pub check: bool,
    /// Which server.
    #[command(flatten)]
    pub config: ConfigArg,
}

/// Arguments of `danube init`.
#[derive(Debug, Args)]
#[command(after_help = INIT_EXAMPLES)]
pub struct InitArgs {
    /// The project's folder.
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// Replace the danubefile that is there.
    #[arg(long)]
    pub force: bool,
    /// Run it at once, without a question.
    #[arg(long)]
    pub run: bool,
}

/// Arguments of `danube doctor`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DoctorArgs {
    /// Look at something else.
    #[command(subcommand)]
    pub of: Option<cluster::DoctorOf>,
    /// Look at a cluster instead of this machine.
    #[arg(long)]
    pub cluster: bool,
    /// Which cluster.
    #[command(flatten)]
    pub place: cluster::WhereArgs,
    /// A server's danube.toml, whose cluster it is, whose account and whose images.
    #[arg(long, value_name = "FILE", requires = "cluster",
          conflicts_with_all = ["kubeconfig", "namespace", "instance", "shim_image", "coordinator_image"])]
    pub config: Option<PathBuf>,
    /// The shim's image, named by digest, to see whether the cluster can pull it.
    #[arg(long, value_name = "IMAGE", requires = "cluster")]
    pub shim_image: Option<String>,
    /// The coordinator's image, likewise.
    #[arg(long, value_name = "IMAGE", requires = "cluster")]
    pub coordinator_image: Option<String>,
    /// Print one JSON object instead.
    #[arg(long)]
    pub json: bool,
    /// Where runs, logs and images are kept.
    #[arg(long, env = "DANUBE_DATA_DIR", value_name = "DIR", hide_env_values = true)]
    pub data_dir: Option<PathBuf>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

pub mod client;
pub mod cluster;
#[cfg(test)]
mod reference;
