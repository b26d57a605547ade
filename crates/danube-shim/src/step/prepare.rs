//! From a request to a plan: files are written, the environment is put together, the program is looked for.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use danube_proto::v1::start_request::Command;
use danube_proto::v1::{Image, Script, SecretFile, StartRequest, script};

use super::context::Context;
use super::files::{Kind, StepFolder};
use crate::config::Environment;
use crate::process::plan::{self, Plan};
use crate::process::spawn::NotStarted;
use crate::process::tree::MARKER;
use crate::user::User;

/// A step that can be forked.
#[derive(Debug)]
pub struct Prepared {
    /// What the child does.
    pub plan: Plan,
    /// `NAME=value` that all its processes are started with.
    pub marker: Vec<u8>,
    folders: Vec<StepFolder>,
}

impl Prepared {
    /// Removes the step's files.
    pub fn clean(self) {
        drop(self.folders);
    }
}

/// Puts a step together. The request has been checked.
pub fn prepare(context: &Context, request: &StartRequest) -> Result<Prepared, NotStarted> {
    let user = User::parse(&request.user).unwrap_or_else(|| context.user.clone());
    let mut making = Making { context, user, environment: environment(context, request), folders: Vec::new() };
    making.secret_files(&request.secret_files).map_err(|e| NotStarted::because("write its secret files", &e))?;
    let (programs, args) = making.command(request.command.as_ref())?;
    making.plan(programs, args, request).map_err(|e| NotStarted::because("put it together", &e))
}

fn environment(context: &Context, request: &StartRequest) -> Environment {
    let mut environment = context.environment.clone();
    environment.extend(request.env.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes())));
    environment.insert(MARKER.as_bytes().to_vec(), hex::encode(&request.step_id).into_bytes());
    environment
}

struct Making<'a> {
    context: &'a Context,
    user: User,
    environment: Environment,
    folders: Vec<StepFolder>,
}

/// Files to try, and arguments.
type Exec = (Vec<CString>, Vec<CString>);

impl Making<'_> {
    fn secret_files(&mut self, files: &[SecretFile]) -> io::Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let folder = StepFolder::create(Kind::Secret, &self.context.private, &self.user)?;
        for (number, file) in files.iter().enumerate() {
            let path = folder.write(&format!("secret-{number}"), &mut file.content.as_ref())?;
            self.environment.insert(file.env.clone().into_bytes(), path.as_os_str().as_bytes().to_vec());
        }
        self.folders.push(folder);
        Ok(())
    }

    fn command(&mut self, command: Option<&Command>) -> Result<Exec, NotStarted> {
        let failed = |error: io::Error| NotStarted::because("write its script", &error);
        match command {
            Some(Command::Argv(argv)) => self.argv(&argv.args).map_err(failed),
            Some(Command::Image(image)) => self.argv(&self.own_program(image)?).map_err(failed),
            Some(Command::Script(script)) => {
                let path = self.script(script).map_err(failed)?;
                self.shell(script, &path).map_err(failed)
            }
            None => Err(failed(io::ErrorKind::InvalidInput.into())),
        }
    }

    /// What the image runs, as Docker has it: arguments take the place of `Cmd`.
    fn own_program(&self, image: &Image) -> Result<Vec<String>, NotStarted> {
        let program = self.context.program.clone().unwrap_or_default();
        let args = if image.args.is_empty() { program.cmd } else { image.args.clone() };
        let whole: Vec<String> = program.entrypoint.into_iter().chain(args).collect();
        if whole.is_empty() {
            let message = "the image names no program of its own (Entrypoint, Cmd): say by command= what it shall run";
            return Err(NotStarted { exit_code: 127, message: message.to_owned() });
        }
        Ok(whole)
    }

    fn argv(&self, args: &[String]) -> io::Result<Exec> {
        let program = args.first().map_or(&b""[..], |name| name.as_bytes());
        let args = args.iter().map(|arg| Ok(CString::new(arg.as_bytes())?)).collect::<io::Result<_>>()?;
        Ok((plan::candidates(program, &self.environment)?, args))
    }

    fn script(&mut self, script: &Script) -> io::Result<CString> {
        let mut content: Box<dyn Read> = match &script.source {
            Some(script::Source::Inline(text)) => Box::new(io::Cursor::new(text.clone())),
            Some(script::Source::TransferId(id)) => Box::new(self.context.transfers.script(id)?),
            None => Box::new(io::empty()),
        };
        let folder = StepFolder::create(Kind::Script, &self.context.private, &self.user)?;
        let path = folder.write("step", &mut content)?;
        self.folders.push(folder);
        plan::path(&path)
    }

    /// `sh` is `/bin/sh`, whatever a PATH says; where there is none, and for `bash`, the step's PATH decides.
    fn shell(&self, script: &Script, path: &CString) -> io::Result<Exec> {
        let found = plan::candidates(script.shell.as_bytes(), &self.environment)?;
        let fixed = (script.shell == "sh").then(|| c"/bin/sh".to_owned());
        let mut args = vec![CString::new(script.shell.as_bytes())?];
        if script.errexit {
            args.push(c"-e".to_owned());
        }
        args.push(path.clone());
        Ok((fixed.into_iter().chain(found).collect(), args))
    }

    fn plan(self, programs: Vec<CString>, args: Vec<CString>, request: &StartRequest) -> io::Result<Prepared> {
        let marker = format!("{MARKER}={}", hex::encode(&request.step_id)).into_bytes();
        let plan = Plan {
            programs,
            args,
            environment: plan::pairs(&self.environment)?,
            cwd: plan::path(Path::new(&self.context.cwd(&request.cwd)))?,
            user: self.user,
            nofile: self.context.inherited.nofile,
            pid_one: self.context.inherited.pid_one,
        };
        Ok(Prepared { plan, marker, folders: self.folders })
    }
}
