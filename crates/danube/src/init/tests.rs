//! The danubefile of each kind of project. Programs are named, never run: those of this machine do not matter here.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use insta::assert_snapshot;

use super::*;

/// A project with these files, on a machine with these programs.
fn plan(files: &[(&str, &str)], programs: &[&str]) -> Plan {
    let root = tempfile::tempdir().unwrap();
    let (dir, bin) = (root.path().join("harbour"), root.path().join("bin"));
    fs::create_dir_all(&dir).unwrap();
    fs::create_dir_all(&bin).unwrap();
    for (name, text) in files {
        fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
        fs::write(dir.join(name), text).unwrap();
    }
    for program in programs {
        fs::write(bin.join(program), "#!/bin/sh\n").unwrap();
        fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    Plan::of(&Project::look(&dir, vec![bin]).unwrap())
}

/// What is told, and the steps of the file with their comments.
fn story(files: &[(&str, &str)], programs: &[&str]) -> String {
    let plan = plan(files, programs);
    let text = plan.danubefile();
    check(&text).unwrap_or_else(|error| panic!("{}\n{text}", error.message()));
    let told = plan.words(Path::new("."));
    let steps = text.split_once("def ci() -> None:\n").unwrap().1.split("    # Further things").next().unwrap();
    format!("{}\n---\n{}", told.split("\n\nWrote").next().unwrap().trim_end(), steps.trim_end())
}

const CARGO: (&str, &str) = ("Cargo.toml", "[package]\nname = \"glob\"\n");

#[test]
fn the_whole_file() {
    let python = [("pyproject.toml", "[project]\n"), ("src/a.py", ""), ("tests/test_a.py", "import unittest")];
    let files = [&[CARGO, ("Cargo.lock", ""), ("Makefile", "test:\n")], &python[..]].concat();
    assert_snapshot!(plan(&files, &["cargo", "python3", "make"]).danubefile());
}

#[test]
fn what_is_told() {
    assert_snapshot!(plan(&[CARGO], &["cargo"]).words(Path::new("code/glob")));
}

#[test]
fn rust() {
    assert_snapshot!(
        "rust_workspace",
        story(&[("Cargo.toml", "[workspace]\nmembers = [\"a\"]"), ("Cargo.lock", "")], &["cargo"])
    );
    let chosen = "[package]\nname = \"a\"\n[workspace]\ndefault-members = [\".\"]";
    assert_snapshot!("rust_default_members", story(&[("Cargo.toml", chosen), ("rust-toolchain.toml", "")], &["cargo"]));
    assert_snapshot!("rust_without_cargo", story(&[CARGO], &[]));
    assert_snapshot!("rust_broken_manifest", story(&[("Cargo.toml", "[package")], &["cargo"]));
}

#[test]
fn python() {
    let bare = ("pyproject.toml", "[project]\nname = \"tide\"\n[build-system]\nbuild-backend = \"hatchling.build\"\n");
    let unittest = ("tests/test_a.py", "import unittest\n");
    assert_snapshot!("python_unittest", story(&[bare, unittest, ("src/tide.py", "")], &["python3"]));
    let package = ("tests/__init__.py", "");
    assert_snapshot!("python_unittest_package", story(&[bare, unittest, package], &["python3"]));
    let tested = "[project]\nname = \"tide\"\ndependencies = [\"x\"]\n[project.optional-dependencies]\ntest = [\"pytest\"]\n\
                  [tool.pytest.ini_options]\n[tool.ruff]\n";
    assert_snapshot!("python_pytest_extra", story(&[("pyproject.toml", tested)], &["python3"]));
    let grouped = "[dependency-groups]\ndev = [\"pytest\"]\n";
    let functions = ("tests/test_a.py", "def test_a():\n    assert True\n");
    assert_snapshot!("python_pytest_group", story(&[("pyproject.toml", grouped), functions], &["python3"]));
    let files =
        [("requirements.txt", "flask\n"), ("requirements-dev.txt", "pytest\n"), ("test_app.py", "import pytest\n")];
    assert_snapshot!("python_requirements", story(&files, &["python3"]));
    assert_snapshot!("python_legacy", story(&[("setup.py", ""), ("test/test_a.py", "import unittest")], &["python3"]));
    let django = ("manage.py", "import django\n");
    assert_snapshot!("python_django", story(&[("requirements.txt", "django\n"), django], &["python3"]));
    assert_snapshot!("python_without_tests", story(&[bare], &["python3"]));
}

#[test]
fn managers_of_python() {
    let project = [("pyproject.toml", "[project]\nname = \"tide\"\n[tool.pytest]\n"), ("uv.lock", "")];
    assert_snapshot!("python_uv", story(&project, &["python3", "uv"]));
    assert_snapshot!("python_uv_missing", story(&project, &["python3"]));
    let poetry = [("pyproject.toml", "[tool.poetry]\n"), ("poetry.lock", ""), ("tests/test_a.py", "import unittest")];
    assert_snapshot!("python_poetry", story(&poetry, &["python3", "poetry"]));
}

#[test]
fn node() {
    let package = r#"{"name": "@port/crane", "scripts": {"test": "vitest", "build": "vite build", "lint": "eslint ."}, "devDependencies": {"vite": "1"}}"#;
    assert_snapshot!("node_npm", story(&[("package.json", package), ("package-lock.json", "{}")], &["node", "npm"]));
    assert_snapshot!("node_no_lock", story(&[("package.json", package)], &["node", "npm"]));
    assert_snapshot!(
        "node_pnpm_fetched",
        story(&[("package.json", package), ("pnpm-lock.yaml", "")], &["node", "npm", "npx"])
    );
    let yarn = [("package.json", package), ("yarn.lock", ""), (".yarnrc.yml", "")];
    assert_snapshot!("node_yarn", story(&yarn, &["node", "npm", "yarn"]));
    let init = r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1"}}"#;
    assert_snapshot!("node_builtin_tests", story(&[("package.json", init), ("a.test.mjs", "")], &["node", "npm"]));
    assert_snapshot!("node_nothing_to_do", story(&[("package.json", init)], &["node", "npm"]));
    assert_snapshot!("node_broken", story(&[("package.json", "{")], &["node", "npm"]));
}

#[test]
fn go_and_make() {
    assert_snapshot!("go", story(&[("go.mod", "module example.com/a/chi/v5\n")], &["go"]));
    assert_snapshot!("make", story(&[("Makefile", "all: x\ncheck: all\n\t./x\n")], &["make"]));
    assert_snapshot!("make_without_tests", story(&[("Makefile", "x: x.c\n")], &["make"]));
}

#[test]
fn several_at_once() {
    let package = ("package.json", r#"{"scripts": {"test": "node test.js"}}"#);
    let make = ("Makefile", "test:\n\tcargo test\n");
    assert_snapshot!("several", story(&[CARGO, package, make], &["cargo", "node", "npm", "make"]));
    assert_snapshot!("several_one_missing", story(&[CARGO, package, make], &["node", "npm", "make"]));
}

#[test]
fn nothing_at_all() {
    assert_snapshot!("nothing", story(&[("README", "")], &[]));
}

#[test]
fn a_hostile_name_stays_text() {
    let name = r#"[package]
name = "x\")\nimport os; os.system(\"id\")\n\"\"\"\\ \u001b[2J"
"#;
    let plan = plan(&[("Cargo.toml", name)], &["cargo"]);
    let text = plan.danubefile();
    check(&text).unwrap();
    let told: Vec<&str> = text.lines().filter(|line| line.contains("os.system")).collect();
    assert_eq!(told, [HOSTILE_TITLE, r#"    name="x\")import os; os.system(\"id\")\"\"\"\\ [2J","#]);
}

/// In a docstring nothing may end it or escape.
const HOSTILE_TITLE: &str = r#""""The pipeline of x')import os; os.system('id')'''' [2J. Try it: danube run"#;

#[test]
fn what_git_ignores_is_not_there() {
    let root = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        assert!(std::process::Command::new("git").current_dir(root.path()).args(arguments).status().unwrap().success());
    };
    git(&["init", "-q"]);
    fs::write(root.path().join(".gitignore"), "Cargo.lock\n").unwrap();
    fs::write(root.path().join("Cargo.toml"), "").unwrap();
    fs::write(root.path().join("Cargo.lock"), "").unwrap();
    let project = Project::look(root.path(), Vec::new()).unwrap();
    assert!(project.has("Cargo.toml") && !project.has("Cargo.lock"));
}
