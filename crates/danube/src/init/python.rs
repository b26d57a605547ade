//! pyproject.toml, setup.py, requirements: what installs the project, and what runs its tests.

mod install;
mod tests_of;

use super::part::{Part, Step};
use super::project::Project;
use install::Install;
use tests_of::Tests;

const SIGNS: [&str; 5] = ["pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "Pipfile"];

/// What is known of a Python project.
pub struct Python<'a> {
    /// Its files.
    pub project: &'a Project,
    /// Its pyproject.toml; empty without one.
    pub settings: toml::Table,
}

impl Python<'_> {
    /// A value of pyproject.toml by its path.
    pub fn setting(&self, path: &[&str]) -> Option<&toml::Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.settings.get(*first)?, |value, key| value.get(key))
    }
}

/// What a Python project needs.
pub fn look(project: &Project) -> Option<Part> {
    project.first_of(&SIGNS)?;
    let why = SIGNS.into_iter().filter(|name| project.has(name)).collect();
    let mut part = Part { kind: "Python", why, image: "python:3.13", ..Part::default() };
    let settings = project.text("pyproject.toml").parse().unwrap_or_else(|_| {
        part.notes.push("pyproject.toml is no TOML that can be read".to_owned());
        toml::Table::new()
    });
    let python = Python { project, settings };
    part.name = python.setting(&["project", "name"]).and_then(|name| Some(name.as_str()?.to_owned()));
    let tests = Tests::find(&python);
    let install = Install::find(&python, &tests, &mut part);
    part.steps.extend(install.steps);
    part.has_tests = tests != Tests::None;
    part.steps.push(test_step(&python, &tests, &install.python));
    if !part.has_tests {
        part.notes.push("no tests were found, so its files are only compiled".to_owned());
    }
    if python.setting(&["tool", "ruff"]).is_some() {
        part.more.push(Step::new("lint", format!("{} -m ruff check .", install.python)));
    }
    part.missing = part.missing.or((!project.program("python3")).then_some("python3"));
    Some(part)
}

fn test_step(python: &Python<'_>, tests: &Tests, interpreter: &str) -> Step {
    let command = match tests {
        Tests::Pytest => format!("{interpreter} -m pytest"),
        Tests::Django => format!("{interpreter} manage.py test"),
        Tests::Unittest { folder } => format!("{interpreter} -m unittest discover -v{}", from(python, folder)),
        Tests::None => return Step::new("compile", format!("{interpreter} -m compileall -q .")),
    };
    let mut step = Step::new("test", command);
    // What is not installed is found where it lies.
    let bare = interpreter == "python3" && python.project.files().any(|path| path.starts_with("src"));
    step.env = bare.then_some(("PYTHONPATH", "src"));
    step
}

/// Where unittest begins to look, and what names its modules count from.
fn from(python: &Python<'_>, folder: &str) -> String {
    match folder {
        "." => String::new(),
        folder if python.project.has(&format!("{folder}/__init__.py")) => format!(" -s {folder} -t ."),
        folder => format!(" -s {folder}"),
    }
}
