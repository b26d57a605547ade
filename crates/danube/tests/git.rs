//! `danube run` in a Git checkout: steps find a checkout they can use, and nothing is written back.

mod support;

use std::process::Command;

use support::git::git;
use support::{Project, Ran};

/// A checkout with two commits, a tag on the first and this pipeline.
fn checkout(body: &str) -> Project {
    let project = Project::pipeline(body);
    git(&project, &["init", "--quiet", "--initial-branch=trunk"]);
    project.write(".gitignore", "ignored\n");
    project.write("tracked", "one\n");
    git(&project, &["add", "."]);
    git(&project, &["commit", "--quiet", "--message=first"]);
    git(&project, &["tag", "--annotate", "--message=v1", "v1"]);
    project.write("tracked", "two\n");
    git(&project, &["commit", "--quiet", "--all", "--message=second"]);
    project
}

fn run(project: &Project, arguments: &[&str]) -> Ran {
    project.run(&[&["--json"], arguments].concat())
}

#[test]
fn a_clean_checkout_is_clean_in_the_job_too() {
    let project = checkout(
        "step.run('git log --format=%s', name='log')
step.run('git status --porcelain', name='status')
step.run('git describe', name='describe')
step.run('git rev-parse --abbrev-ref HEAD', name='branch')
assert (ctx.branch, ctx.dirty) == ('trunk', False), ctx
step.run(['echo', ctx.commit_sha])",
    );
    let ran = run(&project, &[]).expect(0);
    assert_eq!(ran.lines(1, None), ["second", "first"]);
    assert_eq!(ran.lines(2, None), Vec::<String>::new());
    let head = git(&project, &["rev-parse", "HEAD"]);
    assert_eq!(ran.lines(3, None), [format!("v1-1-g{}", git(&project, &["rev-parse", "--short", "HEAD"]))]);
    assert_eq!(ran.lines(4, None), ["trunk"]);
    assert_eq!(ran.lines(5, None), [head]);
}

#[test]
fn changes_come_along_and_are_seen_as_changes() {
    let project = checkout("assert ctx.dirty\nstep.run('git status --porcelain')\nstep.run('cat tracked new')");
    project.write("tracked", "three\n");
    project.write("new", "new\n");
    project.write("ignored", "ignored\n");
    let ran = run(&project, &[]).expect(0);
    assert_eq!(ran.lines(1, None), [" M tracked", "?? new"]);
    assert_eq!(ran.lines(2, None), ["three", "new"]);
    let clean = checkout("assert not ctx.dirty\nstep.run('git status --porcelain; cat tracked; test ! -e new')");
    clean.write("tracked", "three\n");
    clean.write("new", "new\n");
    assert_eq!(run(&clean, &["--clean"]).expect(0).lines(1, None), ["two"]);
}

#[test]
fn what_steps_do_to_the_checkout_stays_in_the_job() {
    let project = checkout(
        "step.run('rm -rf tracked; git config user.name Eve; git config user.email eve@example.com; git commit -qam gone; git tag evil')
step.run('git log -1 --format=%s; git fsck')",
    );
    let before = (git(&project, &["show-ref", "--head"]), git(&project, &["count-objects", "-v"]));
    let ran = run(&project, &[]).expect(0);
    assert_eq!(ran.lines(2, None).first().map(String::as_str), Some("gone"));
    let after = (git(&project, &["show-ref", "--head"]), git(&project, &["count-objects", "-v"]));
    assert_eq!(before, after);
    assert_eq!(git(&project, &["status", "--porcelain"]), "");
}

#[test]
fn a_detached_head_has_a_commit_and_no_branch() {
    let project = checkout("assert ctx.branch is None and ctx.commit_sha\nstep.run('git status --porcelain')");
    git(&project, &["checkout", "--quiet", "--detach"]);
    run(&project, &[]).expect(0);
}

#[test]
fn a_repository_without_a_commit_runs() {
    let project = Project::pipeline("assert ctx.commit_sha is None\nstep.run('git status --porcelain')");
    git(&project, &["init", "--quiet"]);
    let ran = run(&project, &[]).expect(0);
    assert_eq!(ran.lines(1, None), ["?? danubefile.py"]);
}

#[test]
fn credentials_and_hooks_of_the_checkout_do_not_enter_the_job() {
    let project = checkout("step.run('git config --list --local; ls .git/hooks || true; git remote get-url origin')");
    git(&project, &["remote", "add", "origin", "https://user:hunter2hunter2@git.example/x.git"]);
    git(&project, &["config", "http.extraHeader", "Authorization: Basic aHVudGVyMg=="]);
    let ran = run(&project, &[]).expect(0).never_says("hunter2hunter2").never_says("aHVudGVyMg");
    assert!(ran.lines(1, None).contains(&"https://git.example/x.git".to_owned()), "{}", ran.stdout);
}

#[test]
fn a_store_that_only_its_owner_may_read_serves_the_job_too() {
    let project = checkout("step.run('git log --format=%s && git fsck --strict && git status --porcelain')");
    let closed = Command::new("chmod").args(["-R", "go="]).arg(project.dir().join(".git")).status().expect("chmod");
    assert!(closed.success());
    for isolation in ["namespaces", "none"] {
        let ran = run(&project, &["--isolation", isolation]).expect(0);
        assert_eq!(ran.lines(1, Some("stdout")), ["second", "first"]);
    }
}
