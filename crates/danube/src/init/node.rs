//! package.json: the package manager by its lock file, and the scripts that the project has.

use serde_json::Value;

use super::part::{Part, Step};
use super::project::Project;

/// A package manager.
struct Manager {
    /// Its program.
    program: &'static str,
    /// The files that tell that it is used.
    locks: &'static [&'static str],
    /// How it installs just what the lock file says.
    install: &'static str,
}

const MANAGERS: [Manager; 4] = [
    Manager { program: "pnpm", locks: &["pnpm-lock.yaml"], install: "install --frozen-lockfile" },
    Manager { program: "yarn", locks: &["yarn.lock"], install: "install --frozen-lockfile" },
    Manager { program: "bun", locks: &["bun.lock", "bun.lockb"], install: "install --frozen-lockfile" },
    Manager {
        program: "npm",
        locks: &["package-lock.json", "npm-shrinkwrap.json"],
        install: "ci --no-audit --no-fund",
    },
];

/// What npm itself writes into a new package.json.
const NO_TEST: &str = "no test specified";
/// Scripts that not every project passes.
const MORE: [&str; 4] = ["lint", "typecheck", "type-check", "format:check"];

/// What a Node project needs.
pub fn look(project: &Project) -> Option<Part> {
    if !project.has("package.json") {
        return None;
    }
    let mut part = Part { kind: "Node", why: vec!["package.json"], image: "node:22", ..Part::default() };
    let Ok(package) = serde_json::from_str::<Value>(&project.text("package.json")) else {
        part.notes.push("package.json is no JSON that can be read".to_owned());
        return Some(part);
    };
    part.name = package["name"].as_str().map(|name| name.rsplit('/').next().unwrap_or(name).to_owned());
    let program = install(project, &package, &mut part);
    scripts(project, &package, &program, &mut part);
    let needed = if program.starts_with("npm") { "npm" } else { "node" };
    part.missing = ["node", needed].into_iter().find(|name| !project.program(name));
    Some(part)
}

/// Adds what installs the dependencies; gives the command that the manager goes by.
fn install(project: &Project, package: &Value, part: &mut Part) -> String {
    let named = package["packageManager"].as_str().unwrap_or_default().split('@').next().unwrap_or_default();
    let locked = MANAGERS.iter().find_map(|manager| Some((manager, project.first_of(manager.locks)?)));
    let by_name = MANAGERS.iter().find(|manager| manager.program == named);
    let Some((manager, lock)) = locked else {
        let program = command(project, by_name.map_or("npm", |manager| manager.program), part);
        if has_dependencies(package) {
            part.steps.push(Step::new("install", format!("{program} install")));
            part.notes.push("there is no lock file, so each run may get other versions: commit one".to_owned());
        }
        return program;
    };
    part.why.push(lock);
    let program = command(project, manager.program, part);
    let modern = manager.program == "yarn" && project.has(".yarnrc.yml");
    let install = if modern { "install --immutable" } else { manager.install };
    part.steps.push(Step::new("install", format!("{program} {install}")));
    program
}

/// A manager that this machine lacks is fetched by npx for the run.
fn command(project: &Project, program: &'static str, part: &mut Part) -> String {
    if program == "npm" || project.program(program) || !project.program("npx") {
        return program.to_owned();
    }
    part.notes.push(format!("{program} is not on this machine, so each run fetches it with npx"));
    format!("npx --yes {program}")
}

fn has_dependencies(package: &Value) -> bool {
    let kinds = ["dependencies", "devDependencies", "optionalDependencies", "workspaces"];
    let filled = |value: &Value| value.as_object().is_some_and(|map| !map.is_empty()) || value.is_array();
    kinds.iter().any(|kind| filled(&package[*kind]))
}

fn scripts(project: &Project, package: &Value, program: &str, part: &mut Part) {
    let script = |name: &str| package["scripts"][name].as_str();
    if script("build").is_some() {
        part.steps.push(Step::new("build", format!("{program} run build")));
    }
    if script("test").is_some_and(|test| !test.contains(NO_TEST)) {
        part.steps.push(Step::new("test", format!("{program} run test")));
        part.has_tests = true;
    } else if project.files().any(is_test) {
        part.steps.push(Step::new("test", "node --test"));
        part.has_tests = true;
    } else {
        part.notes.push("package.json has no script `test`".to_owned());
    }
    let more = MORE.into_iter().filter(|name| script(name).is_some());
    part.more.extend(more.map(|name| Step::new(name, format!("{program} run {name}"))));
}

/// What `node --test` runs by itself.
fn is_test(path: &std::path::Path) -> bool {
    let name = path.to_string_lossy();
    [".test.js", ".test.mjs", ".test.cjs"].iter().any(|end| name.ends_with(end))
}
