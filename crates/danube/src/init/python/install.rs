//! What installs a Python project: the manager of its lock file, or pip in a folder of its own.

use super::{Python, Tests};
use crate::init::part::{Part, Step};

/// A manager of dependencies.
struct Manager {
    program: &'static str,
    lock: &'static str,
    install: &'static str,
}

const MANAGERS: [Manager; 4] = [
    Manager { program: "uv", lock: "uv.lock", install: "sync --locked" },
    Manager { program: "poetry", lock: "poetry.lock", install: "install" },
    Manager { program: "pdm", lock: "pdm.lock", install: "sync" },
    Manager { program: "pipenv", lock: "Pipfile.lock", install: "sync --dev" },
];

/// Files that name what tests need.
const REQUIREMENTS: [&str; 8] = [
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-test.txt",
    "dev-requirements.txt",
    "test-requirements.txt",
    "requirements_dev.txt",
    "requirements/dev.txt",
    "requirements/test.txt",
];
/// Names that projects give to what their tests need.
const FOR_TESTS: [&str; 5] = ["test", "tests", "testing", "dev", "develop"];
/// What builds nothing but Python: such a project can be used as it lies.
const PURE: [&str; 5] = ["setuptools", "hatchling", "flit_core", "poetry.core", "uv_build"];

/// How the project is installed.
pub struct Install {
    /// What does so; empty where nothing is needed.
    pub steps: Vec<Step>,
    /// What runs Python afterwards.
    pub python: String,
}

impl Install {
    /// Looks at the lock files, then at what pip understands.
    pub fn find(python: &Python<'_>, tests: &Tests, part: &mut Part) -> Self {
        let install = match MANAGERS.iter().find(|manager| python.project.has(manager.lock)) {
            Some(manager) => managed(python, manager, part),
            None => pip(python, tests, part),
        };
        let needs_venv = install.steps.iter().any(|step| step.command.contains("-m venv"));
        if needs_venv && !python.project.can("python3", &["-c", "import ensurepip, venv"]) {
            part.missing = Some("python3-venv");
        }
        install
    }
}

/// A manager that this machine lacks is installed for the run.
fn managed(python: &Python<'_>, manager: &Manager, part: &mut Part) -> Install {
    part.why.push(manager.lock);
    let Manager { program, install, .. } = manager;
    if python.project.program(program) {
        let steps = vec![Step::new("install", format!("{program} {install}"))];
        return Install { steps, python: format!("{program} run python") };
    }
    part.notes.push(format!("{program} is not on this machine, so each run installs it in .tools"));
    let steps = vec![
        Step::new("venv", "python3 -m venv .tools"),
        Step::new("tools", format!(".tools/bin/pip install {program}")),
        Step::new("install", format!(".tools/bin/{program} {install}")),
    ];
    Install { steps, python: format!(".tools/bin/{program} run python") }
}

fn pip(python: &Python<'_>, tests: &Tests, part: &mut Part) -> Install {
    let files: Vec<&'static str> = REQUIREMENTS.into_iter().filter(|name| python.project.has(name)).collect();
    part.why.extend(files.iter().filter(|name| **name != "requirements.txt"));
    let extra = extra(python);
    let mut what: Vec<String> = files.iter().map(|file| format!("-r {file}")).collect();
    if can_be_installed(python) {
        what.push(extra.map_or("-e .".to_owned(), |extra| format!("-e '.[{extra}]'")));
    }
    let group = group(python);
    what.extend(group.map(|group| format!("--group {group}")));
    if *tests != Tests::Pytest && files.is_empty() && extra.is_none() && group.is_none() && runs_as_it_lies(python) {
        return Install { steps: Vec::new(), python: "python3".to_owned() };
    }
    if *tests == Tests::Pytest {
        what.push("pytest".to_owned());
    }
    let mut steps = vec![Step::new("venv", "python3 -m venv .venv")];
    // Only a pip of 2025 knows groups.
    steps.extend(group.map(|_| Step::new("pip", ".venv/bin/pip install --upgrade pip")));
    steps.push(Step::new("install", format!(".venv/bin/pip install {}", what.join(" "))));
    Install { steps, python: ".venv/bin/python".to_owned() }
}

/// Whether pip can install the folder: settings of a linter alone make no package.
fn can_be_installed(python: &Python<'_>) -> bool {
    let legacy = python.project.has("setup.py") || python.project.text("setup.cfg").contains("[metadata]");
    legacy || python.setting(&["project"]).is_some() || python.setting(&["build-system"]).is_some()
}

/// Whether its tests need nothing but what lies there.
fn runs_as_it_lies(python: &Python<'_>) -> bool {
    let filled = |value: &toml::Value| value.as_array().is_some_and(|list| !list.is_empty());
    let needs = python.setting(&["project", "dependencies"]).is_some_and(filled);
    let computed = python.setting(&["project", "dynamic"]).and_then(toml::Value::as_array);
    let computed = computed.is_some_and(|list| list.iter().any(|name| name.as_str() == Some("dependencies")));
    let backend = python.setting(&["build-system", "build-backend"]).and_then(toml::Value::as_str);
    let pure = backend.is_none_or(|backend| PURE.iter().any(|pure| backend.starts_with(pure)));
    !needs && !computed && pure && !python.project.has("setup.py") && !python.project.has("setup.cfg")
}

/// The extra that tests need.
fn extra(python: &Python<'_>) -> Option<&'static str> {
    let extras = python.setting(&["project", "optional-dependencies"])?.as_table()?;
    FOR_TESTS.into_iter().find(|name| extras.contains_key(*name))
}

/// The group of dependencies that tests need.
fn group(python: &Python<'_>) -> Option<&'static str> {
    let groups = python.setting(&["dependency-groups"])?.as_table()?;
    FOR_TESTS.into_iter().find(|name| groups.contains_key(*name))
}
