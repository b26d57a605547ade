//! The SDK's JSON lines. One connection to the mailbox socket per call: one line out, lines back, the last one
//! final. File contents never travel here, only paths. `docs/protocol.md` §6 is the reference.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The first line an SDK sends.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CallLine {
    /// Version of these messages; 1.
    pub v: u32,
    /// 32 hexadecimal digits; for `step.run` the step's id.
    pub id: String,
    /// What is asked.
    #[serde(flatten)]
    pub call: Call,
}

/// What the SDK may ask for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "method", content = "params")]
pub enum Call {
    /// Runs a step and waits for its end.
    #[serde(rename = "step.run")]
    StepRun(Box<StepRun>),
    /// Stops a running step (`fail_fast`); answered at once.
    #[serde(rename = "step.cancel")]
    StepCancel(StepCancel),
    /// Starts a service and waits until it is ready.
    #[serde(rename = "service.start")]
    ServiceStart(Box<ServiceStart>),
    /// Ends a service and waits until it has ended.
    #[serde(rename = "service.stop")]
    ServiceStop(ServiceStop),
    /// Asks for a secret's value.
    #[serde(rename = "secrets.get")]
    SecretGet(SecretGet),
    /// Keeps a file of the workspace beyond the job.
    #[serde(rename = "artifacts.upload")]
    ArtifactUpload(ArtifactUpload),
    /// Puts a kept file into the workspace.
    #[serde(rename = "artifacts.download")]
    ArtifactDownload(ArtifactDownload),
    /// Reads reports of tests from files of the workspace.
    #[serde(rename = "reports.junit")]
    ReportsJunit(ReportsJunit),
    /// Writes something for people.
    #[serde(rename = "summary.markdown")]
    SummaryMarkdown(SummaryMarkdown),
}

/// Parameters of `step.run`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StepRun {
    /// What is shown; at most 200 characters.
    pub name: String,
    /// Exactly one of `script`, `script_file`, `argv`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// Path in the outbox (`DANUBE_OUTBOX`) of a script over 256 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_file: Option<String>,
    /// A program and its arguments, executed directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argv: Option<Vec<String>>,
    /// `sh` or `bash`; for scripts.
    #[serde(default)]
    pub shell: Shell,
    /// `-e`; for scripts.
    #[serde(default = "yes")]
    pub errexit: bool,
    /// Added to the image's environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Environment variable → name of the secret whose value it receives.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// Environment variable → name of the secret in a file whose path it receives.
    #[serde(default)]
    pub secret_files: BTreeMap<String, String>,
    /// Absolute, or relative to `/workspace`.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Which image; none means the pipeline's default.
    #[serde(default)]
    pub image: Option<String>,
    /// Milliseconds; none means no limit but the job's.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Bytes of memory.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Return the output to the danubefile.
    #[serde(default)]
    pub capture: bool,
    /// stdout and stderr on their own pipes.
    #[serde(default)]
    pub separate: bool,
    /// A pseudo-terminal.
    #[serde(default)]
    pub tty: bool,
    /// Whether a failure raises in the danubefile; for the summary's words.
    #[serde(default = "yes")]
    pub check: bool,
    /// Enclosing `step.group` names, outermost first.
    #[serde(default)]
    pub group: Vec<String>,
    /// Which try of how many, counted from 1; each try is a call with an id of its own.
    #[serde(default = "one")]
    pub attempt: u32,
    /// The number of tries that may be made.
    #[serde(default = "one")]
    pub attempts: u32,
    /// Where in the danubefile, `danubefile.py:12`.
    #[serde(default)]
    pub location: Option<String>,
}

/// Which shell runs a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shell {
    /// `/bin/sh`.
    #[default]
    Sh,
    /// `bash`, from PATH.
    Bash,
}

/// Parameters of `step.cancel`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StepCancel {
    /// The step to stop.
    pub step_id: String,
}

/// Parameters of `service.start`; the call's id is the id of the service's process among the steps.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceStart {
    /// What is shown, at most 63 characters of a-z, 0-9, `-`, `_` and `.`; one running service has it.
    pub name: String,
    /// Its image; `host` is this machine.
    pub image: String,
    /// In place of the image's `Cmd`: arguments of its `Entrypoint`, or the program where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Over the image's environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// When it counts as ready; without one as soon as it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
    /// Milliseconds until it must be ready, from its start.
    pub timeout_ms: u64,
    /// Bytes of memory of its container.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Enclosing `step.group` names, outermost first.
    #[serde(default)]
    pub group: Vec<String>,
    /// Where in the danubefile, `danubefile.py:12`.
    #[serde(default)]
    pub location: Option<String>,
}

/// When a service is ready: `{"tcp":5432}`, `{"cmd":["pg_isready"]}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ready {
    /// Something accepts connections on 127.0.0.1 at this port.
    Tcp(u16),
    /// This program, run in the service's container, ends with 0.
    Cmd(Vec<String>),
}

/// Parameters of `service.stop`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceStop {
    /// The id of the call that started it.
    pub step_id: String,
}

/// Parameters of `secrets.get`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SecretGet {
    /// The secret's name.
    pub name: String,
}

/// Parameters of `artifacts.upload`: one file. Its bytes are read by the master, from a worker's shim.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactUpload {
    /// Below `/workspace`, relative to it.
    pub path: String,
    /// Under which it is kept; once in an attempt.
    pub name: String,
}

/// Parameters of `artifacts.download`: one file that this attempt keeps. The master sends its bytes to a worker's shim.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactDownload {
    /// Under which it is kept.
    pub name: String,
    /// Where it goes: below `/workspace`, relative to it.
    pub path: String,
}

/// Parameters of `reports.junit`: files that together are one report. The master reads them, from a worker's shim.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReportsJunit {
    /// Each below `/workspace`, relative to it.
    pub paths: Vec<String>,
    /// What the report is called; at most 200 characters.
    pub name: String,
}

/// Parameters of `summary.markdown`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SummaryMarkdown {
    /// Exactly one of `text`, `text_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Path in the outbox (`DANUBE_OUTBOX`) of a text that is too long for a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_file: Option<String>,
    /// Whether what was written before stays.
    #[serde(default = "yes")]
    pub append: bool,
}

/// A line back. The last one has `ok` or `error`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyLine {
    /// The call succeeded.
    Ok(Answer),
    /// The call failed.
    Error(CallError),
}

/// A successful answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Of `step.run`.
    Step(StepAnswer),
    /// Of `service.start`: it is ready.
    Service {
        /// Its number among the job's steps, as in the log.
        number: u32,
        /// Where every container of the job reaches it.
        host: String,
    },
    /// Of `secrets.get`.
    Secret {
        /// The value.
        value: String,
    },
    /// Of `artifacts.upload` and `artifacts.download`.
    Artifact {
        /// Under which it is kept; secrets in it are masked.
        name: String,
        /// Bytes.
        size: u64,
        /// Of its content, in hexadecimal; the master's own.
        sha256: String,
    },
    /// Of `reports.junit`: how many tests ended how.
    Report {
        /// All of them.
        tests: u64,
        /// Those that passed at once.
        passed: u64,
        /// Those that failed.
        failed: u64,
        /// Those that could not be carried out.
        errors: u64,
        /// Those that were left out.
        skipped: u64,
        /// Those that passed when tried again.
        flaky: u64,
        /// What they took together.
        duration_ms: u64,
    },
    /// Of calls without a result.
    Done {},
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct StepAnswer {
    /// The step's number in the job, as in the log.
    pub number: u32,
    /// Of its main process; 128 + signal when a signal ended it.
    pub exit_code: i32,
    /// `exited`, `timed_out`, `stopped`, `not_started`, `lost`.
    pub cause: StepCause,
    /// Milliseconds.
    pub duration_ms: u64,
    /// Captured bytes, base64 (RFC 4648 §4, padded).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// Likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// More was written than may be captured.
    #[serde(default)]
    pub capture_truncated: bool,
    /// In words, where the exit code does not say it: out of memory, killed by signal 11, no such directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Why a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepCause {
    /// By itself.
    Exited,
    /// Its own timeout.
    TimedOut,
    /// Stopped: `fail_fast`, a cancelled job, the job's timeout.
    Stopped,
    /// The program or the directory is missing.
    NotStarted,
    /// Its container vanished, or its record cannot be trusted.
    Lost,
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CallError {
    /// Stable; the SDK maps it to an exception.
    pub code: ErrorCode,
    /// What happened, where, and what to do.
    pub message: String,
}

/// Stable codes of failed calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// A parameter is wrong.
    Invalid,
    /// The image is not known or cannot be had.
    ImageUnavailable,
    /// The same step id with other parameters.
    StepConflict,
    /// A service was not ready in time.
    ServiceNotReady,
    /// A service ended before it was ready.
    ServiceDied,
    /// No such secret, or not for this job.
    SecretNotFound,
    /// No such file in the workspace.
    ArtifactNotFound,
    /// No such file in the workspace.
    ReportNotFound,
    /// A file is no report of tests, or a broken one.
    ReportInvalid,
    /// The job is being cancelled.
    Cancelled,
    /// The job's time is up.
    Timeout,
    /// Danube failed, not the step.
    Infra,
    /// This Danube does not know the method yet.
    Unsupported,
}

const fn yes() -> bool {
    true
}

const fn one() -> u32 {
    1
}

/// What the runner reads from the file named by `DANUBE_CONTEXT`: the source of `danube.ctx`. Holds no secret.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Context {
    /// The job.
    pub job_id: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The branch, if any.
    pub branch: Option<String>,
    /// The tag, if any.
    pub tag: Option<String>,
    /// Full hexadecimal commit id, if the source is a Git checkout.
    pub commit_sha: Option<String>,
    /// The tree differs from the commit.
    pub dirty: bool,
    /// `manual`, `push`, …
    pub trigger_type: String,
    /// Who or what triggered.
    pub actor: String,
    /// Parameters by name, after defaults.
    pub params: serde_json::Map<String, serde_json::Value>,
    /// The pull request, if any.
    pub pull_request: Option<serde_json::Value>,
    /// Paths changed against the base; none when unknown.
    pub changed_files: Option<Vec<String>>,
    /// Counts from 1.
    pub attempt: u32,
    /// `/workspace`.
    pub workspace: String,
    /// The danubefile, relative to the source.
    pub entry_point: String,
    /// The function that `@pipeline` decorates, as read statically.
    pub function: String,
    /// Seconds that `finally` and `except` have after a cancel or timeout.
    pub cleanup_timeout_s: u32,
}

/// Environment of the SDK's runner.
pub mod runner_env {
    /// Path of the mailbox's Unix socket.
    pub const SOCKET: &str = "DANUBE_SOCKET";
    /// Path of the context file.
    pub const CONTEXT: &str = "DANUBE_CONTEXT";
    /// Folder for scripts too large for a line.
    pub const OUTBOX: &str = "DANUBE_OUTBOX";
}

/// Signals by which the engine tells the runner that the job must end.
pub mod runner_signal {
    /// SIGTERM: raises `JobCancelled` in the main thread.
    pub const CANCELLED: i32 = 15;
    /// SIGUSR1: raises `JobTimeout` in the main thread.
    pub const TIMEOUT: i32 = 10;
    /// SIGUSR2: raises `ServiceDied` in the main thread.
    pub const SERVICE: i32 = 12;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_read_as_the_sdk_writes_it() {
        let line = r#"{"v":1,"id":"00112233445566778899aabbccddeeff","method":"step.run","params":{"name":"test","script":"make"}}"#;
        let read: CallLine = serde_json::from_str(line).expect("valid");
        let Call::StepRun(run) = read.call else { panic!("{read:?}") };
        assert!(run.errexit && run.check && run.attempt == 1 && run.shell == Shell::Sh);
    }

    #[test]
    fn an_answer_is_one_object_with_ok_or_error() {
        let error = ReplyLine::Error(CallError { code: ErrorCode::SecretNotFound, message: "x".into() });
        assert_eq!(
            serde_json::to_string(&error).expect("json"),
            r#"{"error":{"code":"secret_not_found","message":"x"}}"#
        );
        let done = ReplyLine::Ok(Answer::Done {});
        assert_eq!(serde_json::to_string(&done).expect("json"), r#"{"ok":{}}"#);
    }

    #[test]
    fn a_service_says_when_it_is_ready() {
        let read = |ready: &str| {
            let text = format!(r#"{{"name":"db","image":"postgres:17","timeout_ms":60000,"ready":{ready}}}"#);
            serde_json::from_str::<ServiceStart>(&text).map(|start| start.ready)
        };
        assert_eq!(read(r#"{"tcp":5432}"#).expect("valid"), Some(Ready::Tcp(5432)));
        assert_eq!(read(r#"{"cmd":["pg_isready"]}"#).expect("valid"), Some(Ready::Cmd(vec!["pg_isready".into()])));
        assert_eq!(read("null").expect("valid"), None);
        for wrong in [r#"{"tcp":65536}"#, r#"{"tcp":-1}"#, r#"{"udp":53}"#, r#""tcp""#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_unknown_parameter_is_refused() {
        let line = r#"{"v":1,"id":"00","method":"secrets.get","params":{"name":"A","value":"B"}}"#;
        assert!(serde_json::from_str::<CallLine>(line).is_err());
    }
}
