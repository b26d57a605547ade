//! Is this a step that can be tried at all? Everything the master could have got wrong is refused before a record
//! is made.

use danube_proto::limits::{CAPTURE_BYTES, INLINE_SCRIPT_BYTES};
use danube_proto::v1::start_request::Command;
use danube_proto::v1::{StartRequest, script};
use tonic::Status;

use super::record::StepId;
use crate::user::User;

/// Arguments of one step at most; the kernel's own limits come on top.
const ARGS: usize = 100_000;

/// The id of a step, which every call names.
pub fn step_id(bytes: &[u8]) -> Result<StepId, Status> {
    bytes.try_into().map_err(|_| Status::invalid_argument("step_id must be 16 bytes"))
}

/// Checks all fields; answers the step's id.
pub fn check(request: &StartRequest) -> Result<StepId, Status> {
    let id = step_id(&request.step_id)?;
    require(request.spec_hash.len() == 32, "spec_hash must be 32 bytes")?;
    check_command(request)?;
    require(request.env.iter().all(|(name, value)| is_name(name) && is_text(value)), ENVIRONMENT)?;
    require(is_text(&request.cwd), "cwd contains a NUL")?;
    require(request.capture_limit <= CAPTURE_BYTES, "capture_limit is at most 1 MiB")?;
    require(request.secret_files.iter().all(|file| is_name(&file.env)), ENVIRONMENT)?;
    require(request.user.is_empty() || User::parse(&request.user).is_some(), "user must be uid:gid")?;
    Ok(id)
}

const ENVIRONMENT: &str = "names in env are not empty and hold no '=' and no NUL; values hold no NUL";

fn check_command(request: &StartRequest) -> Result<(), Status> {
    match &request.command {
        None => Err(Status::invalid_argument("neither argv nor script")),
        Some(Command::Argv(argv)) => {
            require(!argv.args.is_empty() && argv.args.len() <= ARGS, "argv must have 1 to 100000 arguments")?;
            require(argv.args.iter().all(|arg| is_text(arg)), "an argument contains a NUL")
        }
        Some(Command::Image(image)) => {
            require(image.args.len() <= ARGS, "an image's program has at most 100000 arguments")?;
            require(image.args.iter().all(|arg| is_text(arg)), "an argument contains a NUL")
        }
        Some(Command::Script(script)) => {
            require(matches!(script.shell.as_str(), "sh" | "bash"), "shell must be sh or bash")?;
            match &script.source {
                None => Err(Status::invalid_argument("a script without source")),
                Some(script::Source::Inline(text)) => {
                    require(text.len() <= INLINE_SCRIPT_BYTES, "a script over 256 KiB goes by PutFile")
                }
                Some(script::Source::TransferId(_)) => Ok(()),
            }
        }
    }
}

fn is_text(text: &str) -> bool {
    !text.contains('\0')
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && is_text(name) && !name.contains('=')
}

fn require(holds: bool, otherwise: &'static str) -> Result<(), Status> {
    if holds { Ok(()) } else { Err(Status::invalid_argument(otherwise)) }
}
