//! `danube check-config`: a danube.toml, or a configuration repository's files as they stand, read as a server would
//! read them. It asks nobody and changes nothing.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use danube_config::repository::{self, File, LONGEST_FILE, PIPELINES, Pipeline};
use danube_config::{Diagnostic, Diagnostics, server};

use crate::cli::CheckConfigArgs;
use crate::error::CliError;
use crate::settings;

/// Runs the command.
pub fn main(arguments: &CheckConfigArgs) -> Result<ExitCode, CliError> {
    let path = &arguments.path;
    let words = if path.is_dir() { declared(&pipelines(path)?) } else { server_file(path)? };
    // Nobody may be listening; the exit code still tells.
    let _ = writeln!(std::io::stdout(), "{}: {words}", path.display());
    Ok(ExitCode::SUCCESS)
}

fn server_file(path: &Path) -> Result<String, CliError> {
    let bytes = settings::bytes(path)?;
    server::read(&path.display().to_string(), &bytes).map_err(|found| refused(&found))?;
    Ok("every key is known, and every value can be right".to_owned())
}

/// The pipelines of the files in a folder. A server reads those of a commit; whether they are committed is not looked at.
fn pipelines(dir: &Path) -> Result<Vec<Pipeline>, CliError> {
    let mut files = Vec::new();
    let mut found = Vec::new();
    for path in entries(dir)? {
        match file(&path) {
            Ok(file) => files.extend(file),
            Err(Diagnostics(more)) => found.extend(more),
        }
    }
    match repository::read(&files) {
        Ok(pipelines) if found.is_empty() => Ok(pipelines),
        Ok(_) => Err(refused(&Diagnostics(found))),
        Err(Diagnostics(more)) => {
            found.extend(more);
            Err(refused(&Diagnostics(found)))
        }
    }
}

/// What is in the folder of pipelines, in the order of a commit's files.
fn entries(dir: &Path) -> Result<Vec<std::path::PathBuf>, CliError> {
    let folder = dir.join(PIPELINES);
    let failed = |error: std::io::Error| {
        let error = CliError::config(format!("{}: {error}", folder.display()));
        error.hint(format!("a configuration repository has its pipelines in {PIPELINES}/*.yaml (docs/pipelines.md)"))
    };
    let listed = fs::read_dir(&folder).map_err(failed)?;
    let mut paths = listed.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

/// A file as a server reads it: no link, none without measure. None for a folder, which a server does not look into.
fn file(path: &Path) -> Result<Option<File>, Diagnostics> {
    let wrong = |message: String, help: &str| {
        let (path, help) = (path.display().to_string(), Some(help.to_owned()));
        Diagnostics(vec![Diagnostic { path, line: 0, column: 0, message, help, excerpt: None }])
    };
    let unread = |error: std::io::Error| wrong(format!("cannot be read: {error}"), "it is read as you");
    let facts = path.symlink_metadata().map_err(unread)?;
    if facts.is_dir() {
        return Ok(None);
    }
    if !facts.is_file() {
        return Err(wrong("it is a link or no file at all".to_owned(), "write the file itself"));
    }
    if facts.len() > LONGEST_FILE {
        let message = format!("it has {} bytes; at most {LONGEST_FILE} are read", facts.len());
        return Err(wrong(message, "declare the pipelines in several files"));
    }
    Ok(Some(File { path: path.display().to_string(), bytes: fs::read(path).map_err(unread)? }))
}

/// Every mistake, however many there are.
fn refused(found: &Diagnostics) -> CliError {
    let all: Vec<String> = found.0.iter().map(ToString::to_string).collect();
    CliError::config(all.join("\n"))
}

fn declared(pipelines: &[Pipeline]) -> String {
    let names: Vec<&str> = pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
    match names.as_slice() {
        [] => "no pipeline is declared".to_owned(),
        [name] => format!("1 pipeline, {name}"),
        names => format!("{} pipelines, {}", names.len(), names.join(", ")),
    }
}
