//! `danube init` and then `danube run`, in a small project of each kind: what it writes must pass here, and must notice
//! when the project's tests fail.

mod support;

use std::process::Command;

use support::{Project, Ran, binary, git, pty};

fn init(project: &Project, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("init").arg(project.dir()).args(arguments);
    command.env("DANUBE_DATA_DIR", project.data()).env("NO_COLOR", "1").stdin(std::process::Stdio::null());
    command
}

fn ran(mut command: Command) -> Ran {
    Ran::of(command.output().expect("danube starts"))
}

/// Whether this machine has a program for steps. A test that needs it says that it was not tried.
fn has(program: &str, arguments: &[&str]) -> bool {
    let there = Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("not tried: this machine has no {program}");
    }
    there
}

/// Writes the danubefile; runs it as it is, and again with a file that makes the tests fail.
fn passes_and_notices(project: &Project, found: &str, broken: (&str, &str)) {
    git::commit(project, "a project");
    ran(init(project, &[])).expect(0).says(found).says("danube run");
    project.run(&[]).expect(0).says("✔ success");
    project.write(broken.0, broken.1);
    project.run(&[]).expect(1).says("✘ failure");
}

#[test]
fn a_python_project_with_its_own_tests() {
    let project = Project::empty();
    project.write("pyproject.toml", "[project]\nname = \"tide\"\nversion = \"1\"\n");
    project.write("src/tide.py", "def high():\n    return 12\n");
    let test = "import unittest\nimport tide\n\nclass Tide(unittest.TestCase):\n    def test_high(self):\n        self.assertEqual(tide.high(), 12)\n";
    project.write("tests/test_tide.py", test);
    passes_and_notices(&project, "Python  pyproject.toml: steps test", ("src/tide.py", "def high():\n    return 11\n"));
}

#[test]
fn a_rust_project_without_a_network() {
    if !has("cargo", &["--version"]) {
        return;
    }
    let project = Project::empty();
    project.write("Cargo.toml", "[package]\nname = \"buoy\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    project.write("Cargo.lock", "version = 3\n\n[[package]]\nname = \"buoy\"\nversion = \"0.1.0\"\n");
    let code = |sum: &str| format!("#[test]\nfn adds() {{\n    assert_eq!(1 + 1, {sum});\n}}\n");
    project.write("src/lib.rs", code("2"));
    passes_and_notices(&project, "Rust    Cargo.toml, Cargo.lock: steps build, test", ("src/lib.rs", &code("3")));
}

#[test]
fn a_makefile() {
    if !has("make", &["--version"]) {
        return;
    }
    let project = Project::empty();
    project.write("Makefile", "all:\n\techo built > built\ntest: all\n\ttest -s built\n\ttest -e keel\n");
    project.write("keel", "");
    passes_and_notices(&project, "Make    Makefile: steps build, test", ("Makefile", "test:\n\tfalse\n"));
}

#[test]
fn a_node_project() {
    if !has("node", &["--version"]) || !has("npm", &["--version"]) {
        return;
    }
    let project = Project::empty();
    project.write("package.json", r#"{"name": "crane", "scripts": {"test": "node test.js", "build": "node -e 1"}}"#);
    project.write("test.js", "require('assert').strictEqual(1 + 1, 2);\n");
    let broken = ("test.js", "require('assert').strictEqual(1 + 1, 3);\n");
    passes_and_notices(&project, "Node    package.json: steps build, test", broken);
}

#[test]
fn a_go_project() {
    if !has("go", &["version"]) {
        return;
    }
    let project = Project::empty();
    project.write("go.mod", "module example.com/quay\n\ngo 1.20\n");
    project.write("quay.go", "package quay\n\nfunc Length() int { return 7 }\n");
    let test = "package quay\n\nimport \"testing\"\n\nfunc TestLength(t *testing.T) {\n\tif Length() != 7 {\n\t\tt.Fatal(Length())\n\t}\n}\n";
    project.write("quay_test.go", test);
    // Already the build: a second test would compile Go's own library once more.
    let broken = ("quay.go", "package quay\n\nfunc Length() int { return \n");
    passes_and_notices(&project, "Go      go.mod: steps build, test", broken);
}

#[test]
fn a_folder_with_nothing_known_gets_a_beginning() {
    let project = Project::empty();
    project.write("README", "");
    ran(init(&project, &[])).expect(0).says("Nothing was found");
    project.run(&[]).expect(0).says("this is where your build begins");
}

#[test]
fn a_danubefile_that_is_there_is_the_users_own() {
    let project = Project::empty();
    project.write("Makefile", "test:\n\ttrue\n");
    project.write("danubefile.py", "mine");
    let file = project.dir().join("danubefile.py");
    ran(init(&project, &[])).expect(2).says("is there already, and stays as it is").says("danube init --force");
    assert_eq!(std::fs::read_to_string(&file).expect("read"), "mine");

    // A link is not written through.
    let elsewhere = project.outside("elsewhere");
    std::fs::rename(&file, &elsewhere).expect("moved");
    std::os::unix::fs::symlink(&elsewhere, &file).expect("linked");
    ran(init(&project, &[])).expect(2);
    ran(init(&project, &["--force"])).expect(0).says("Wrote");
    assert_eq!(std::fs::read_to_string(&elsewhere).expect("read"), "mine");
    assert!(std::fs::read_to_string(&file).expect("read").contains("make test"));
    assert_eq!(std::fs::read_dir(project.dir()).expect("listed").count(), 2, "nothing else is left there");
}

#[test]
fn a_wrong_folder_is_told() {
    let project = Project::empty();
    project.write("file", "");
    for name in ["nowhere", "file"] {
        let mut command = Command::new(binary());
        command.arg("init").arg(project.dir().join(name));
        ran(command).expect(2).says("name the folder of your project");
    }
}

#[test]
fn whoever_sits_at_a_terminal_is_asked_whether_to_run_it() {
    let project = Project::empty();
    project.write("Makefile", "test:\n\techo it ran\n");
    let (code, said) = pty::run_typing(&mut init(&project, &[]), 100, "n\n");
    assert!(code == 0 && said.contains("Run it now? [y/N]") && !said.contains("it ran"), "{code}: {said}");
    let (code, said) = pty::run_typing(&mut init(&project, &["--force"]), 100, "y\n");
    assert!(code == 0 && said.contains("it ran"), "{code}: {said}");
}

#[test]
fn it_is_run_without_a_question_if_that_was_asked_for() {
    let project = Project::empty();
    project.write("Makefile", "test:\n\tfalse\n");
    ran(init(&project, &["--run"])).expect(1).says("✘ failure").never_says("Run it now?");
}

#[test]
fn nobody_waits_for_a_pipe_or_a_device_in_the_project() {
    let project = Project::empty();
    let pipe = project.dir().join("pyproject.toml");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    std::os::unix::fs::symlink("/dev/zero", project.dir().join("package.json")).expect("linked");
    project.write("go.mod", vec![b'x'; 3 << 20]);
    ran(init(&project, &[])).expect(0).says("Python").says("Node").says("Go");
}
