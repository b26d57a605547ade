//! `danube init`: looks at a project and writes a danubefile that it passes.

mod danubefile;
mod go;
mod make;
mod node;
mod part;
mod project;
mod python;
mod rust;

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use danube_sandbox::HomeTools;

use crate::cli::{Cli, Command, InitArgs};
use crate::error::CliError;
use crate::view::harmless;
use part::Part;
use project::Project;

/// The file that is written.
const FILE: &str = "danubefile.py";
/// A pipeline's name has at most so many characters.
const LONGEST_NAME: usize = 100;

/// Runs the command.
pub fn main(arguments: &InitArgs) -> Result<ExitCode, CliError> {
    let dir = folder(&arguments.dir)?;
    let file = dir.join(FILE);
    if !arguments.force && file.symlink_metadata().is_ok() {
        return Err(there_already(&file, &arguments.dir));
    }
    let project = Project::look(&dir, HomeTools::find().path)?;
    let plan = Plan::of(&project);
    let text = plan.danubefile();
    check(&text)?;
    save(&file, &text, arguments.force)?;
    // Nobody may be listening.
    let _ = io::stdout().write_all(plan.words(&arguments.dir).as_bytes());
    if arguments.run || asked() { run(&dir) } else { Ok(ExitCode::SUCCESS) }
}

fn folder(dir: &Path) -> Result<PathBuf, CliError> {
    let wrong = |error| CliError::config(format!("{}: {error}", dir.display())).hint("name the folder of your project");
    let found = dir.canonicalize().map_err(wrong)?;
    if found.is_dir() { Ok(found) } else { Err(wrong(io::ErrorKind::NotADirectory.into())) }
}

fn there_already(file: &Path, dir: &Path) -> CliError {
    let error = CliError::config(format!("{} is there already, and stays as it is", file.display()));
    error.hint(format!("run it: {}; or write a new one in its place: danube init --force", command(dir)))
}

/// How the danubefile of a folder is run.
fn command(dir: &Path) -> String {
    if dir == Path::new(".") { "danube run".to_owned() } else { format!("danube run {}", dir.display()) }
}

/// What was found, and what is made of it.
struct Plan {
    name: String,
    parts: Vec<Part>,
}

impl Plan {
    fn of(project: &Project) -> Self {
        let looks = [rust::look, python::look, node::look, go::look, make::look];
        let parts: Vec<Part> = looks.iter().filter_map(|look| look(project)).collect();
        let name = parts.iter().find_map(|part| part.name.clone()).unwrap_or_else(|| project.folder());
        let name: String = name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        Self { name: if name.trim().is_empty() { "ci".to_owned() } else { name }, parts }
    }

    /// A Makefile of a project whose tests are known already mostly does the same once more.
    fn is_active(&self, part: &Part) -> bool {
        let others = self.parts.iter().filter(|other| other.kind != part.kind);
        part.runs() && (part.kind != "Make" || !others.into_iter().any(|other| other.runs() && other.has_tests))
    }

    fn danubefile(&self) -> String {
        let parts: Vec<(&Part, bool)> = self.parts.iter().map(|part| (part, self.is_active(part))).collect();
        danubefile::write(&self.name, &parts)
    }

    /// What the user is told.
    fn words(&self, dir: &Path) -> String {
        let mut lines: Vec<String> = self.parts.iter().flat_map(|part| self.part_words(part)).collect();
        if lines.is_empty() {
            lines.push(
                "Nothing was found that could be built: no Cargo.toml, pyproject.toml, setup.py, requirements.txt, \
                        package.json, go.mod or Makefile. The file has one step to begin with."
                    .to_owned(),
            );
        }
        let file = dir.join(FILE);
        let file = file.strip_prefix(".").unwrap_or(&file);
        lines.push(format!(
            "\nWrote {}. Look at it, then run it on this machine:\n\n  {}",
            file.display(),
            command(dir)
        ));
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        text.split('\n').map(harmless).collect::<Vec<_>>().join("\n")
    }

    fn part_words(&self, part: &Part) -> Vec<String> {
        let steps: Vec<&str> = part.steps.iter().map(|step| step.name).collect();
        let what = match (self.is_active(part), part.missing) {
            (true, _) => format!("steps {}", steps.join(", ")),
            (false, Some(program)) => format!("only comments, since {program} is not on this machine"),
            (false, None) if part.steps.is_empty() => "nothing to do".to_owned(),
            (false, None) => "only comments, since the steps above may do the same".to_owned(),
        };
        let mut lines = vec![format!("{:<7} {}: {what}", part.kind, part.why.join(", "))];
        lines.extend(part.notes.iter().map(|note| format!("        {note}")));
        lines
    }
}

/// Danube must be able to read what it wrote.
fn check(text: &str) -> Result<(), CliError> {
    let read = danube_config::danubefile::read(FILE, text.as_bytes());
    read.map(drop).map_err(|errors| {
        CliError::infra(format!("the danubefile for this project would be wrong:\n{errors}"))
            .hint("this is a bug of `danube init`")
    })
}

fn save(file: &Path, text: &str, force: bool) -> Result<(), CliError> {
    let failed = |error: io::Error| {
        CliError::config(format!("cannot write {}: {error}", file.display()))
            .hint("check the folder's permissions and the free space")
    };
    if !force {
        let mut new = OpenOptions::new().write(true).create_new(true).open(file).map_err(failed)?;
        return new.write_all(text.as_bytes()).map_err(failed);
    }
    let beside = file.with_extension(format!("{}.new", std::process::id()));
    fs::write(&beside, text).and_then(|()| fs::rename(&beside, file)).map_err(failed)
}

/// Only whoever sits at a terminal is asked.
fn asked() -> bool {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return false;
    }
    let _ = write!(io::stdout(), "\nRun it now? [y/N] ").and_then(|()| io::stdout().flush());
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).is_ok_and(|_| matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// As if the user had typed it.
fn run(dir: &Path) -> Result<ExitCode, CliError> {
    let typed = ["danube".as_ref(), "run".as_ref(), dir.as_os_str()];
    match Cli::try_parse_from(typed).map_err(CliError::infra)?.command {
        Command::Run(arguments) => crate::run::main(*arguments),
        _ => Ok(ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests;
