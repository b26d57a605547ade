//! `danube check-config`: what a server would refuse is told before a server reads it.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use support::{Project, Ran};

fn check(path: &Path) -> Ran {
    let mut command = std::process::Command::new(support::binary());
    Ran::of(command.arg("check-config").arg(path).output().expect("danube starts"))
}

fn pipeline(name: &str, key: &str) -> String {
    format!("apiVersion: danube.dev/v1\nkind: Pipeline\nmetadata:\n  name: {name}\nspec:\n  {key}: /srv/git/web.git\n")
}

#[test]
fn a_right_danube_toml_passes_and_every_mistake_of_a_wrong_one_is_told() {
    let project = Project::empty();
    let path = project.outside("danube.toml");
    let mut init = std::process::Command::new(support::binary());
    Ran::of(init.arg("init-config").arg(&path).output().expect("danube starts")).expect(0);
    check(&path).expect(0).says("danube.toml: every key is known");
    let keys: String = (0..25).map(|at| format!("colour{at} = 1\n")).collect();
    fs::write(&path, format!("listen = '0.0.0.0:8080'\n{keys}[limits]\njobs = 0\n")).expect("written");
    let said = check(&path).expect(2).says("danube.toml:1:10: `listen` must be a loopback address");
    let said = said.says("danube.toml:28:8: `jobs` must be");
    (0..25).fold(said, |said, at| said.says(&format!("danube.toml:{}:1: there is no key `colour{at}`", at + 2)));
    check(&project.outside("nowhere.toml")).expect(2).says("nowhere.toml: No such file");
}

#[test]
fn the_files_of_a_configuration_repository_are_read_as_they_stand() {
    let project = Project::empty();
    let dir = project.outside("config");
    check(project.outside("").as_path()).expect(2).says("pipelines/*.yaml");
    fs::create_dir_all(dir.join("pipelines/notes")).expect("folders");
    check(&dir).expect(0).says("no pipeline is declared");
    fs::write(dir.join("pipelines/a.yaml"), pipeline("web", "repository")).expect("written");
    fs::write(dir.join("pipelines/notes/read.me"), "folders within are nobody's").expect("written");
    check(&dir).expect(0).says("1 pipeline, web");
    fs::write(dir.join("pipelines/b.yaml"), pipeline("app", "repository")).expect("written");
    check(&dir).expect(0).says("2 pipelines, app, web");
}

#[test]
fn the_mistakes_of_all_files_are_told_at_once() {
    let project = Project::empty();
    let folder = project.outside("config/pipelines");
    fs::create_dir_all(&folder).expect("folders");
    fs::write(folder.join("a.yaml"), pipeline("web", "repositry")).expect("written");
    fs::write(folder.join("b.yaml"), pipeline("a b", "repository")).expect("written");
    fs::write(folder.join("c.yml"), pipeline("c", "repository")).expect("written");
    fs::write(folder.join("d.yaml"), " ".repeat(1_048_577)).expect("written");
    symlink("/etc/shadow", folder.join("e.yaml")).expect("linked");
    check(&project.outside("config"))
        .expect(2)
        .says("pipelines/a.yaml:6:3: ")
        .says("did you mean `repository`?")
        .says("pipelines/b.yaml:4:9: `name` must be")
        .says("pipelines/c.yml: it would not be read")
        .says("pipelines/d.yaml: it has 1048577 bytes")
        .says("pipelines/e.yaml: it is a link");
}
