//! The commands that talk to a server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::Shell;
use danube_core::job::JobStatus;

use super::pair;

/// What can be asked of a server.
#[derive(Debug, Subcommand)]
pub enum Client {
    /// List the pipelines of a server.
    Pipelines(PipelinesArgs),
    /// List jobs, the newest first.
    Jobs(JobsArgs),
    /// Say all about one job.
    Job(JobArgs),
    /// Print what a job's steps wrote.
    Logs(LogsArgs),
    /// Start a job.
    Trigger(TriggerArgs),
    /// Stop a job.
    Cancel(CancelArgs),
    /// Start a job with the inputs of an earlier one.
    Rerun(RerunArgs),
    /// Say what a job's tests said, failures first.
    Tests(TestsArgs),
    /// List what a job uploaded, or download it.
    Artifacts(ArtifactsArgs),
    /// Print a link that lets one browser in, once, within 10 minutes.
    Login(LoginArgs),
    /// Print what makes a shell complete commands.
    Completions(CompletionsArgs),
}

/// Which server, and how its answers are shown.
#[derive(Args, Debug)]
pub struct Server {
    /// The server. Without it the `danube dev` or `danube serve` that runs on this machine is found.
    #[arg(long, env = "DANUBE_URL", value_name = "URL", hide_env_values = true)]
    pub url: Option<String>,
    /// The file with the token for it. Without it DANUBE_TOKEN has the token itself.
    #[arg(long, value_name = "@FILE")]
    pub token: Option<String>,
    /// Where a running one is looked for; without it in the usual place, then in that of danube.toml.
    #[arg(long, env = "DANUBE_DATA_DIR", value_name = "DIR", hide_env_values = true)]
    pub data_dir: Option<PathBuf>,
    /// Print JSON as the server gives it (docs/cli.md).
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `danube pipelines`.
#[derive(Args, Debug)]
pub struct PipelinesArgs {
    /// Which server.
    #[command(flatten)]
    pub server: Server,
}

const JOBS_EXAMPLES: &str = "\
Examples:
  danube jobs                                    the last 20
  danube jobs --pipeline tests --status failure  those of one pipeline that failed
  danube jobs --json | jq '.jobs[0].id'          for programs";

/// Arguments of `danube jobs`.
#[derive(Args, Debug)]
#[command(after_help = JOBS_EXAMPLES)]
pub struct JobsArgs {
    /// Only those of this pipeline.
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// Only those in this state: pending, scheduling, running, success, failure, timeout, cancelled.
    #[arg(long, value_name = "STATUS")]
    pub status: Option<JobStatus>,
    /// How many at most.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Which server.
    #[command(flatten)]
    pub server: Server,
}

const JOB_EXAMPLES: &str = "\
Examples:
  danube job                                     the newest job
  danube job 12                                  number 12, where there is one pipeline
  danube job tests/12                            number 12 of the pipeline tests";

/// Arguments of `danube job`.
#[derive(Args, Debug)]
#[command(after_help = JOB_EXAMPLES)]
pub struct JobArgs {
    /// Its id, NUMBER, PIPELINE/NUMBER, or latest.
    #[arg(default_value = "latest", value_name = "JOB")]
    pub job: String,
    /// Which server.
    #[command(flatten)]
    pub server: Server,
}

const LOGS_EXAMPLES: &str = "\
Examples:
  danube logs                                    what the newest job has written so far
  danube logs -f                                 and what it writes until it ends
  danube logs tests/12 --step 3                  one step
  danube logs 12 --step 3 --raw > step.log       its bytes as they are";

/// Arguments of `danube logs`.
#[derive(Args, Debug)]
#[command(after_help = LOGS_EXAMPLES)]
pub struct LogsArgs {
    /// Its id, NUMBER, PIPELINE/NUMBER, or latest.
    #[arg(default_value = "latest", value_name = "JOB")]
    pub job: String,
    /// Go on until the job ends. Ctrl-C leaves the job running.
    #[arg(long, short)]
    pub follow: bool,
    /// Only this step; 0 is the danubefile itself.
    #[arg(long, value_name = "N")]
    pub step: Option<u32>,
    /// The step's bytes as they are, control characters too.
    #[arg(long, requires = "step", conflicts_with = "json")]
    pub raw: bool,
    /// Those of this attempt; of the newest one unless given.
    #[arg(long, value_name = "N", conflicts_with = "follow")]
    pub attempt: Option<u32>,
    /// Which server.
    #[command(flatten)]
    pub server: Server,
}

/// Whether to stay until a new job has ended.
#[derive(Args, Clone, Copy, Debug)]
pub struct Stay {
    /// Wait for the job's end, and exit as `danube run` does.
    #[arg(long)]
    pub wait: bool,
    /// The same, and show its output.
    #[arg(long, conflicts_with = "wait")]
    pub follow: bool,
}

const TRIGGER_EXAMPLES: &str = "\
Examples:
  danube trigger                                 the pipeline, where there is one
  danube trigger tests --param level=full        with a parameter
  danube trigger tests --follow                  show its output; the exit code is the job's";

/// Arguments of `danube trigger`.
#[derive(Args, Debug)]
#[command(after_help = TRIGGER_EXAMPLES)]
pub struct TriggerArgs {
    /// The pipeline's name; may be left out where there is one.
    #[arg(value_name = "PIPELINE")]
    pub pipeline: Option<String>,
    /// A parameter's value.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    pub params: Vec<(String, String)>,
    /// The branch, tag or commit; the pipeline's own unless given.
    #[arg(long = "ref", value_name = "REF")]
    pub reference: Option<String>,
    /// Whether to stay.
    #[command(flatten)]
    pub stay: Stay,
    /// Which server.
    #[command(flatten)]
    pub server: Server,
}

/// Arguments of `danube login`.
#[derive(Args, Debug)]
pub struct LoginArgs {
    /// Which server.
    #[command(flatten)]
    pub server: Server,
}

/// Arguments of `danube cancel`.
#[derive(Args, Debug)]
pub struct CancelArgs {
    /// Its id, NUMBER, PIPELINE/NUMBER, or latest.
    #[arg(value_name = "JOB")]
    pub job: String,
    /// Which server.
    #[command(flatten)]
    pub server: Server,
}

/// Arguments of `danube rerun`.
#[derive(Args, Debug)]
pub struct RerunArgs {
    /// Its id, NUMBER, PIPELINE/NUMBER, or latest.
    #[arg(value_name = "JOB")]
    pub job: String,
    /// Whether to stay.
    #[command(flatten)]
    pub stay: Stay,
    /// Which server.
    #[command(flatten)]
    pub server: Server,
}

const TESTS_EXAMPLES: &str = "\
Examples:
  danube tests                                   those of the newest job
  danube tests tests/12 --failed                 only what failed
  danube tests tests/12 1-3                      all about one, with what it wrote";

/// Arguments of `danube tests`.
#[derive(Args, Debug)]
#[command(after_help = TESTS_EXAMPLES)]
pub struct TestsArgs {
    /// Its id, NUMBER, PIPELINE/NUMBER, or latest.
    #[arg(default_value = "latest", value_name = "JOB")]
    pub job: String,
    /// The id of one test, to read all about it.
    #[arg(value_name = "TEST", conflicts_with_all = ["failed", "limit"])]
    pub test: Option<String>,
    /// Only those that failed or could not be carried out.
    #[arg(long)]
    pub failed: bool,
    /// How many at most.
    #[arg(long, default_value = "200", value_name = "N", value_parser = at_least_one)]
    pub limit: usize,
    /// Those of this attempt; of the newest one unless given.
    #[arg(long, value_name = "N")]
    pub attempt: Option<u32>,
    /// Which server.
    #[command(flatten)]
    pub server: Server,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "a number from 1 on".to_owned())
}

const ARTIFACTS_EXAMPLES: &str = "\
Examples:
  danube artifacts latest                        list them
  danube artifacts tests/12 dist/app.tar         download one, as ./app.tar
  danube artifacts tests/12 dist -o out          all below dist, into the folder out
  danube artifacts tests/12 -o out               all";

/// Arguments of `danube artifacts`.
#[derive(Args, Debug)]
#[command(after_help = ARTIFACTS_EXAMPLES)]
pub struct ArtifactsArgs {
    /// Its id, NUMBER, PIPELINE/NUMBER, or latest.
    #[arg(value_name = "JOB")]
    pub job: String,
    /// The artifact, or the folder of several.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Where to put it: a file for one artifact, a folder for several.
    #[arg(long, short, value_name = "FILE|DIR")]
    pub output: Option<PathBuf>,
    /// Which server.
    #[command(flatten)]
    pub server: Server,
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  danube completions bash > ~/.local/share/bash-completion/completions/danube
  danube completions zsh > ~/.zfunc/_danube
  danube completions fish > ~/.config/fish/completions/danube.fish";

/// Arguments of `danube completions`.
#[derive(Args, Debug)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}
