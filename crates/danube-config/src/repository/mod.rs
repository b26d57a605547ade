//! The configuration repository: `pipelines/*.yaml`, each with one or more objects of the kind Pipeline
//! (docs/pipelines.md). A commit is right as a whole or not at all.

mod yaml;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::diagnostic::{Diagnostic, Diagnostics, shown};
use crate::location;
use crate::nearest::nearest;
use crate::text::Text;

/// The folder that holds pipelines.
pub const PIPELINES: &str = "pipelines";
/// A longer file is refused unread.
pub const LONGEST_FILE: u64 = 1024 * 1024;
/// What a pipeline's danubefile is called unless it says otherwise.
const SCRIPT: &str = "danubefile.py";
/// The one version of objects that there is.
const API_VERSION: &str = "danube.dev/v1";
/// The kind of object that is read.
const KIND: &str = "Pipeline";
/// More than anybody needs, and less than a cluster is held up by.
const MOST_WARM: u32 = 10;
/// A longer name fits on no line.
const LONGEST_NAME: usize = 100;

/// A pipeline as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Unique in the repository.
    pub name: String,
    /// Its source, on this machine.
    pub repository: PathBuf,
    /// What a job builds when nothing else was asked for; the repository's own `HEAD` unless it is said.
    pub branch: Option<String>,
    /// The danubefile, relative to the repository's top.
    pub script: String,
    /// How many pods are kept ready for its next jobs, on a cluster.
    pub warm: u32,
}

/// A file of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Below the repository's top.
    pub path: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// What every object says first.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "apiVersion")]
    api_version: Spanned<String>,
    kind: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    repository: Spanned<String>,
    branch: Option<Spanned<String>>,
    script: Option<Spanned<String>>,
    warm: Option<Spanned<i64>>,
}

/// Reads every pipeline, in the order of their names.
///
/// # Errors
/// The mistakes of all files, each with its place and what would be right.
pub fn read(files: &[File]) -> Result<Vec<Pipeline>, Diagnostics> {
    let mut reader = Reader::default();
    files.iter().for_each(|file| reader.file(file));
    // Within a file in its order, file after file.
    if reader.found.is_empty() { Ok(reader.pipelines.into_values().collect()) } else { Err(Diagnostics(reader.found)) }
}

/// What was read and found so far.
#[derive(Default)]
struct Reader {
    pipelines: BTreeMap<String, Pipeline>,
    /// Where each was declared.
    places: BTreeMap<String, String>,
    found: Vec<Diagnostic>,
}

impl Reader {
    fn file(&mut self, file: &File) {
        if let Err(Diagnostics(found)) = self.objects(file) {
            self.found.extend(found);
        }
    }

    fn objects(&mut self, file: &File) -> Result<(), Diagnostics> {
        if !file.path.ends_with(".yaml") {
            let message = "it would not be read: the names of pipelines' files end in .yaml";
            return Err(Diagnostics::of_file(&file.path, message, "rename it, or move it out of pipelines/"));
        }
        let text = Text::decode(&file.path, &file.bytes)?;
        // A wrong kind is told before its keys are found to be none of a pipeline.
        let heads: Vec<Head> = yaml::documents(&text)?;
        let wrong: Vec<Diagnostic> = heads.iter().filter_map(|head| wrong_head(&text, head)).collect();
        if !wrong.is_empty() {
            return Err(Diagnostics(wrong));
        }
        let objects: Vec<Object> = yaml::documents(&text)?;
        if objects.is_empty() {
            return Err(Diagnostics::of_file(&file.path, "it has no object", "declare a pipeline, or remove the file"));
        }
        objects.into_iter().for_each(|object| self.object(&text, object));
        Ok(())
    }

    fn object(&mut self, text: &Text, Object { metadata: Metadata { name }, spec, .. }: Object) {
        let mut wrong = |value: &Spanned<String>, message: String, help: &str| {
            self.found.push(yaml::at(text, &value.referenced, message, help));
        };
        if let Some(must) = wrong_name(&name.value) {
            wrong(&name, format!("`name` must be {must}; it is \"{}\"", shown(&name.value)), "for example web-tests");
        }
        let repository = location::repository(&spec.repository.value).unwrap_or_else(|must| {
            let message = format!("`repository` must be {must}; it is \"{}\"", shown(&spec.repository.value));
            wrong(&spec.repository, message, "for example /srv/git/web.git");
            PathBuf::new()
        });
        if let Some(branch) = spec.branch.as_ref().filter(|branch| !location::is_branch(&branch.value)) {
            wrong(
                branch,
                format!("`branch` must be the name of a branch; it is \"{}\"", shown(&branch.value)),
                "for example main",
            );
        }
        if let Some(script) = spec.script.as_ref().filter(|script| !is_inside(&script.value)) {
            let message = format!("`script` must be a file of the repository; it is \"{}\"", shown(&script.value));
            wrong(script, message, "a path from the repository's top, for example ci/danubefile.py");
        }
        let warm =
            spec.warm.as_ref().map_or(Some(0), |warm| u32::try_from(warm.value).ok().filter(|n| *n <= MOST_WARM));
        if let (None, Some(asked)) = (warm, &spec.warm) {
            let message = format!("`warm` must be a number from 0 to {MOST_WARM}; it is {}", asked.value);
            self.found.push(yaml::at(text, &asked.referenced, message, "so many pods are kept ready, for example 1"));
        }
        let place = format!("{}:{}", text.path, name.referenced.line());
        if let Some(first) = self.places.get(&name.value) {
            let message = format!("there is a pipeline `{}` already, at {first}", shown(&name.value));
            self.found.push(yaml::at(text, &name.referenced, message, "give one of them another name"));
        }
        self.places.entry(name.value.clone()).or_insert(place);
        let branch = spec.branch.map(|branch| branch.value);
        let script = spec.script.map_or_else(|| SCRIPT.to_owned(), |script| script.value);
        let warm = warm.unwrap_or_default();
        self.pipelines.insert(name.value.clone(), Pipeline { name: name.value, repository, branch, script, warm });
    }
}

fn wrong_head(text: &Text, head: &Head) -> Option<Diagnostic> {
    let said = |value: &Spanned<String>, key: &str, must: &str, help: String| {
        let message = format!("`{key}` must be {must} here; it is \"{}\"", shown(&value.value));
        Some(yaml::at(text, &value.referenced, message, &help))
    };
    if head.api_version.value != API_VERSION {
        return said(&head.api_version, "apiVersion", API_VERSION, format!("write apiVersion: {API_VERSION}"));
    }
    if head.kind.value != KIND {
        let help = match nearest(&head.kind.value, [KIND]) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "pipelines/ holds pipelines only".to_owned(),
        };
        return said(&head.kind, "kind", KIND, help);
    }
    None
}

/// What a name must be, if it is not.
fn wrong_name(name: &str) -> Option<String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let right =
        name.len() <= LONGEST_NAME && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(known);
    (!right).then(|| format!("1 to {LONGEST_NAME} letters, digits, `-`, `_` and `.`, the first a letter or a digit"))
}

fn is_inside(script: &str) -> bool {
    let plain = |part| matches!(part, Component::Normal(_));
    !script.is_empty() && !script.contains(char::is_control) && Path::new(script).components().all(plain)
}
