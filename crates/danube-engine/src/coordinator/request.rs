//! What the SDK asks for becomes what the worker's shim is told.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path};

use bytes::Bytes;
use danube_core::id::StepId;
use danube_core::step::{ENV_DEFAULTS, split_plain};
use danube_proto::limits::{CAPTURE_BYTES, INLINE_SCRIPT_BYTES};
use danube_proto::mailbox::{CallError, Shell, StepRun};
use danube_proto::v1::start_request::Command;
use danube_proto::v1::{Argv, Script, SecretFile, StartRequest, script};

use super::{invalid, secret};
use crate::job::shared::Shared;
use crate::shim::with_hash;

/// Git refuses to look at a checkout that belongs to another user; in a job every image has its own.
const GIT_ENV: [(&str, &str); 3] =
    [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "safe.directory"), ("GIT_CONFIG_VALUE_0", "*")];

/// What a step's pseudo-terminal is, unless the step says otherwise: without it many programs take it for a dumb one.
const TERMINAL: (&str, &str) = ("TERM", "xterm-256color");

/// A step's name is at most so many characters.
const NAME_CHARACTERS: usize = 200;

/// What a step runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// Executed directly.
    Argv(Vec<String>),
    /// By a shell, from a file.
    Script(String),
    /// By a shell, from a file of the coordinator's outbox.
    ScriptFile(String),
}

/// Checks a call's parameters that need no container.
pub fn check(run: &StepRun) -> Result<Program, CallError> {
    if run.name.is_empty() || run.name.chars().count() > NAME_CHARACTERS {
        return Err(invalid(format!("name: 1 to {NAME_CHARACTERS} characters")));
    }
    let names = run.env.keys().chain(run.secrets.keys()).chain(run.secret_files.keys());
    for name in names {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(invalid(format!("env: `{}` cannot be a variable's name", name.escape_default())));
        }
    }
    if run.cwd.as_deref().is_some_and(leaves) {
        return Err(invalid("cwd: a relative path stays within the workspace".to_owned()));
    }
    let nul = |text: &String| text.contains('\0');
    if run.env.values().any(nul) || run.cwd.as_ref().is_some_and(nul) {
        return Err(invalid("env, cwd: a NUL byte cannot be passed to a program".to_owned()));
    }
    program(run)
}

/// Whether a relative path leads out of the folder it starts in, by its letters. Absolute ones may lead anywhere.
fn leaves(path: &str) -> bool {
    let mut depth = 0_usize;
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir if depth == 0 => return true,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            Component::RootDir => return false,
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
    false
}

fn program(run: &StepRun) -> Result<Program, CallError> {
    match (&run.argv, &run.script, &run.script_file) {
        (Some(argv), None, None) if argv.first().is_some_and(|first| !first.is_empty()) => {
            if argv.iter().any(|argument| argument.contains('\0')) {
                return Err(invalid("argv: a NUL byte cannot be passed to a program".to_owned()));
            }
            Ok(Program::Argv(argv.clone()))
        }
        (None, Some(script), None) if script.len() <= INLINE_SCRIPT_BYTES => Ok(Program::Script(script.clone())),
        (None, None, Some(path)) => Ok(Program::ScriptFile(path.clone())),
        _ => Err(invalid(format!(
            "exactly one of argv (not empty), script (at most {INLINE_SCRIPT_BYTES} bytes) and script_file"
        ))),
    }
}

/// In an image without a shell, a string without shell syntax is split into words (product.md M5).
pub fn without_shell(program: Program, shell: Shell, shells: &[String]) -> Result<Program, CallError> {
    let wanted = shell_name(shell);
    let Program::Script(text) = &program else { return Ok(program) };
    if shells.iter().any(|found| found == wanted) {
        return Ok(program);
    }
    if shell == Shell::Bash {
        return Err(invalid("the image has no bash: leave shell= out, or use an image that has it".to_owned()));
    }
    split_plain(text).map(Program::Argv).map_err(|syntax| invalid(syntax.to_string()))
}

/// The command as the shim takes it. A script file was moved to the worker as `transfer_id` before.
pub fn command(run: &StepRun, program: Program, transfer_id: &str) -> Command {
    let script = |source| {
        let shell = shell_name(run.shell).to_owned();
        Command::Script(Script { shell, errexit: run.errexit, source: Some(source) })
    };
    match program {
        Program::Argv(args) => Command::Argv(Argv { args }),
        Program::Script(text) => script(script::Source::Inline(Bytes::from(text))),
        Program::ScriptFile(_) => script(script::Source::TransferId(transfer_id.to_owned())),
    }
}

const fn shell_name(shell: Shell) -> &'static str {
    match shell {
        Shell::Sh => "sh",
        Shell::Bash => "bash",
    }
}

/// The request that starts the step, with the values of its secrets.
pub fn start<R>(shared: &Shared<R>, id: StepId, run: &StepRun, command: Command) -> Result<StartRequest, CallError> {
    let secret_files = run.secret_files.iter().map(|(env, name)| {
        let content = Bytes::copy_from_slice(secret(shared, name)?.as_bytes());
        Ok(SecretFile { env: env.clone(), content })
    });
    Ok(with_hash(StartRequest {
        step_id: Bytes::copy_from_slice(id.as_bytes()),
        command: Some(command),
        env: environment(shared, run)?,
        cwd: run.cwd.clone().unwrap_or_default(),
        timeout_ms: run.timeout_ms.unwrap_or(0),
        separate: run.separate || (run.capture && !run.tty),
        tty: run.tty,
        capture_limit: if run.capture { CAPTURE_BYTES } else { 0 },
        memory_limit: run.memory_bytes.unwrap_or(0),
        secret_files: secret_files.collect::<Result<_, CallError>>()?,
        ..StartRequest::default()
    }))
}

/// Danube's own variables, then the step's, then its secrets.
fn environment<R>(shared: &Shared<R>, run: &StepRun) -> Result<HashMap<String, String>, CallError> {
    let terminal = run.tty.then_some(&TERMINAL);
    let own = ENV_DEFAULTS
        .iter()
        .chain(&GIT_ENV)
        .chain(terminal)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut env: BTreeMap<String, String> = own.collect();
    env.extend(run.env.clone());
    for (variable, name) in &run.secrets {
        env.insert(variable.clone(), secret(shared, name)?.to_owned());
    }
    Ok(env.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(params: &str) -> StepRun {
        serde_json::from_str(params).expect("parameters")
    }

    #[test]
    fn a_call_has_exactly_one_command() {
        let argv = check(&call(r#"{"name":"a","argv":["true"]}"#)).expect("argv");
        assert_eq!(argv, Program::Argv(vec!["true".into()]));
        for wrong in [
            r#"{"name":"a"}"#,
            r#"{"name":"a","argv":[]}"#,
            r#"{"name":"a","argv":["a"],"script":"a"}"#,
            r#"{"name":"","script":"a"}"#,
            r#"{"name":"a","argv":["a\u0000"]}"#,
            r#"{"name":"a","script":"a","env":{"A=B":""}}"#,
        ] {
            check(&call(wrong)).expect_err(wrong);
        }
    }

    #[test]
    fn a_relative_working_directory_stays_within_the_workspace() {
        let cwd = |cwd: &str| check(&call(&serde_json::json!({"name": "a", "script": "a", "cwd": cwd}).to_string()));
        for inside in ["", ".", "a", "a/..", "./a/../b", "a/b/../..", "..a", "a/...", "/", "/tmp/../etc", "/.."] {
            cwd(inside).unwrap_or_else(|error| panic!("{inside}: {}", error.message));
        }
        for outside in ["..", "../..", "../workspace", "a/../..", "./..", "a/../../a", "a//..//..", "../"] {
            let error = cwd(outside).expect_err(outside);
            assert!(error.message.starts_with("cwd: "), "{outside}: {}", error.message);
        }
    }

    #[test]
    fn an_image_without_a_shell_runs_plain_words_only() {
        let script = |text: &str| Program::Script(text.to_owned());
        let words = without_shell(script("kaniko --context=/workspace"), Shell::Sh, &[]).expect("words");
        assert_eq!(words, Program::Argv(vec!["kaniko".into(), "--context=/workspace".into()]));
        let error = without_shell(script("a && b"), Shell::Sh, &[]).expect_err("syntax");
        assert!(error.message.contains("no shell"), "{}", error.message);
        let same = without_shell(script("a && b"), Shell::Sh, &["sh".into()]).expect("shell");
        assert_eq!(same, script("a && b"));
    }
}
