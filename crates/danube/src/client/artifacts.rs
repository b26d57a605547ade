//! `danube artifacts`: what a job uploaded, listed or downloaded.

use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::api::{Artifact, Job};
use super::download::download;
use super::find::Instance;
use super::http::{Http, part};
use super::table::{Cell, table};
use super::text::{ago, now_ms, paint};
use super::{print, print_json, reference};
use crate::cli::client::ArtifactsArgs;
use crate::error::CliError;
use crate::view::{bytes, harmless};

/// Figures of a hash in the table.
const HASH: usize = 12;

/// Runs the command.
pub fn main(arguments: &ArtifactsArgs) -> Result<ExitCode, CliError> {
    let http = Http::new(Instance::find(&arguments.server)?);
    let job = reference::job(&http, &arguments.job)?;
    let document: Value = http.get(&format!("jobs/{}/artifacts", part(&job.id)))?;
    let list: Vec<Artifact> =
        serde_json::from_value(document["artifacts"].clone()).map_err(|error| http.strange(error))?;
    if arguments.name.is_some() || arguments.output.is_some() {
        let targets = targets(&job, &list, arguments)?;
        return fetch(&http, &job, &targets, arguments.server.json);
    }
    if arguments.server.json {
        return print_json(&document);
    }
    if list.is_empty() {
        return print(b"the job uploaded nothing\n");
    }
    let now = now_ms();
    let rows = list.iter().map(|artifact| row(artifact, now)).collect();
    print(table(&["size", "uploaded", "sha256", "name"], rows, paint()).as_bytes())
}

fn row(artifact: &Artifact, now: i64) -> Vec<Cell> {
    let hash: String = artifact.sha256.chars().take(HASH).collect();
    vec![
        Cell::figure(bytes(artifact.size)),
        Cell::figure(ago(artifact.created_ms, now)),
        Cell::text(hash),
        Cell::text(&artifact.name),
    ]
}

/// Which artifacts go where.
fn targets<'a>(
    job: &Job,
    list: &'a [Artifact],
    arguments: &ArtifactsArgs,
) -> Result<Vec<(&'a Artifact, PathBuf)>, CliError> {
    let output = arguments.output.as_deref();
    let Some(name) = arguments.name.as_deref().map(|name| name.trim_end_matches('/')) else {
        return list.iter().map(|artifact| Ok((artifact, beneath(output, &artifact.name)?))).collect();
    };
    if let Some(artifact) = list.iter().find(|artifact| artifact.name == name) {
        return Ok(vec![(artifact, single(output, name)?)]);
    }
    let folder = format!("{name}/");
    let within = list.iter().filter_map(|artifact| Some((artifact, artifact.name.strip_prefix(&folder)?)));
    let targets: Vec<_> =
        within.map(|(artifact, rest)| Ok((artifact, beneath(output, rest)?))).collect::<Result<_, CliError>>()?;
    if targets.is_empty() {
        let error = CliError::config(format!("the job uploaded nothing named {}", harmless(name)));
        return Err(error.hint(format!("danube artifacts {} lists what there is", job.handle())));
    }
    Ok(targets)
}

/// `-o` is a file, or the folder for it.
fn single(output: Option<&Path>, name: &str) -> Result<PathBuf, CliError> {
    let base = name.rsplit('/').next().unwrap_or(name);
    match output {
        Some(output) if !output.is_dir() && !output.as_os_str().as_encoded_bytes().ends_with(b"/") => {
            Ok(output.to_owned())
        }
        folder => beneath(folder, base),
    }
}

/// A server's names lead nowhere but into the folder.
fn beneath(folder: Option<&Path>, name: &str) -> Result<PathBuf, CliError> {
    let relative = Path::new(name);
    let harmless_parts = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || name.contains('\0') || !harmless_parts {
        let error = CliError::config(format!("an artifact is named {}, which leads out of any folder", harmless(name)));
        return Err(error.hint("download it alone, and name its file: danube artifacts JOB NAME -o FILE"));
    }
    Ok(folder.unwrap_or(Path::new(".")).join(relative))
}

fn fetch(http: &Http, job: &Job, targets: &[(&Artifact, PathBuf)], as_json: bool) -> Result<ExitCode, CliError> {
    for (artifact, file) in targets {
        let path = format!("jobs/{}/artifacts/{}", part(&job.id), super::http::parts(&artifact.name));
        download(http, &path, artifact, file)?;
        // Nobody may be listening.
        let _ = told(artifact, file, as_json);
    }
    Ok(ExitCode::SUCCESS)
}

fn told(artifact: &Artifact, file: &Path, as_json: bool) -> io::Result<()> {
    let file = file.strip_prefix(".").unwrap_or(file).to_string_lossy();
    if as_json {
        let line = json!({"name": artifact.name, "size": artifact.size, "sha256": artifact.sha256, "file": file});
        return writeln!(io::stdout(), "{line}");
    }
    writeln!(io::stdout(), "{}  {}", harmless(&file), bytes(artifact.size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_server_leads_out_of_the_folder() {
        assert_eq!(beneath(Some(Path::new("out")), "dist/a.whl").unwrap(), Path::new("out/dist/a.whl"));
        for name in ["../x", "/etc/passwd", "a/../../x", "", ".", "./x", "a\0b"] {
            assert!(beneath(None, name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn one_artifact_goes_to_a_file_or_into_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let there = single(Some(dir.path()), "dist/a.whl").unwrap();
        assert_eq!(there, dir.path().join("a.whl"));
        assert_eq!(single(Some(Path::new("new/")), "dist/a.whl").unwrap(), Path::new("new/a.whl"));
        assert_eq!(single(Some(Path::new("b.whl")), "dist/a.whl").unwrap(), Path::new("b.whl"));
        assert_eq!(single(None, "dist/a.whl").unwrap(), Path::new("./a.whl"));
    }
}
