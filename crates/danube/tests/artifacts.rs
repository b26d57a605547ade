//! Artifacts: what the danubefile names is kept whole, and nothing else can be.

mod support;

use std::fs;
use std::path::Path;

use support::{Project, Ran};

/// The SHA-256 of `wheel\n`, by sha256sum.
const WHEEL: &str = "1f148121b804b2d30f7b87856b0840eba32af90607328a5756802771f8dbff57";

fn kept(ran: &Ran) -> Vec<(String, u64, String)> {
    let events = ran.events().into_iter().filter(|event| event["type"] == "artifact");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    events.map(|e| (text(&e["name"]), e["size"].as_u64().expect("a size"), text(&e["sha256"]))).collect()
}

fn names(ran: &Ran) -> Vec<String> {
    kept(ran).into_iter().map(|(name, ..)| name).collect()
}

fn folder(ran: &Ran) -> std::path::PathBuf {
    Path::new(ran.job()["artifacts"].as_str().expect("a folder")).to_owned()
}

#[test]
fn files_folders_and_patterns_are_kept_under_their_names() {
    let project = Project::pipeline(
        "step.run('mkdir -p dist/docs/.hidden; echo wheel > dist/a.whl; echo page > dist/docs/a.html; echo x > dist/docs/.hidden/x; echo y > y')
kept = artifacts.upload('dist/*.whl', 'dist/docs')
print(kept[0].name, kept[0].size, len(kept[0].sha256), len(kept))
artifacts.upload('y', name='renamed/why')",
    );
    let ran = project.run(&["--json"]).expect(0).says("dist/a.whl 6 64 3");
    assert_eq!(names(&ran), ["dist/a.whl", "dist/docs/.hidden/x", "dist/docs/a.html", "renamed/why"]);
    assert_eq!(fs::read(folder(&ran).join("dist/a.whl")).expect("kept"), b"wheel\n");
    assert_eq!(fs::read(folder(&ran).join("renamed/why")).expect("kept"), b"y\n");
    assert_eq!(kept(&ran)[0].2, WHEEL);
}

#[test]
fn a_chosen_folder_gets_copies_and_the_view_lists_them() {
    let project = Project::pipeline("step.run('head -c 12650 /dev/zero > big')\nartifacts.upload('big')");
    let chosen = project.outside("chosen");
    fs::create_dir(&chosen).expect("made");
    fs::write(chosen.join("big"), "older").expect("written");
    let chosen_text = chosen.to_string_lossy().into_owned();
    project.run(&["--artifacts", &chosen_text]).expect(0).says("Artifacts\n  big  12.3 KiB").says(&chosen_text);
    assert_eq!(fs::read(chosen.join("big")).expect("copied").len(), 12_650);
}

#[test]
fn what_is_not_there_is_an_error_unless_it_may_be_missing() {
    let project = Project::pipeline(
        "assert artifacts.upload('*.none', if_missing='ignore') == []
try:
    artifacts.upload('*.none')
except ArtifactNotFound as error:
    print('none:', error)
step.run('true')
artifacts.upload('nowhere/file')",
    );
    let ran = project.run(&[]).expect(1).says("none: no file of the workspace matches '*.none'");
    ran.says("ArtifactNotFound: no file of the workspace matches 'nowhere/file'").says("danubefile.py");
}

#[test]
fn a_name_is_taken_once() {
    let project = Project::pipeline(
        "step.run('mkdir b; echo 1 > a; echo 2 > b/c')
artifacts.upload('a')
for path, name in (('b/c', 'a'), ('b/c', 'a/b'), ('a', '../a'), ('a', 'a\\tb')):
    try:
        artifacts.upload(path, name=name)
    except UsageError as error:
        print('refused:', error)",
    );
    let ran = project.run(&["--json"]).expect(0).says("refused: the artifact `a` exists already");
    let ran =
        ran.says("refused: the artifacts `a/b` and `a` cannot both exist").says("is relative, without empty parts");
    assert_eq!(names(&ran), ["a"]);
    assert_eq!(fs::read(folder(&ran).join("a")).expect("kept"), b"1\n");
}

#[test]
fn nothing_outside_the_workspace_is_kept() {
    let project = Project::pipeline(
        "from danube import _mailbox
step.run('ln -s /etc/passwd link; mkdir real; ln -s real folder; ln -s /etc etc; echo x > real/x; mkfifo pipe; ln -s ../../../etc/passwd up')
for path in ('link', 'etc/passwd', 'folder/x', 'up', '../etc/passwd', '/etc/passwd', 'real/../../etc/passwd', 'pipe', 'real', '', '.'):
    try:
        _mailbox.call('artifacts.upload', {'path': path, 'name': 'stolen'}, os.urandom(16).hex())
        print('KEPT', path)
    except DanubeError as error:
        print('refused', path)
assert artifacts.upload('l*', 'etc', 'up', if_missing='ignore') == []",
    );
    project.write(
        "danubefile.py",
        fs::read_to_string(project.dir().join("danubefile.py")).expect("read").replacen(
            "import danube\n",
            "import danube, os\n",
            1,
        ),
    );
    let ran = project.run(&["--json"]).expect(0).never_says("KEPT").never_says("root:x:0");
    assert_eq!(names(&ran), Vec::<String>::new());
}

#[test]
fn a_secret_in_a_name_is_masked() {
    let project =
        Project::pipeline("step.run('echo x > x')\nartifacts.upload('x', name='app-' + secrets.get('TOKEN'))");
    let mut command = project.command(&["--secret", "TOKEN", "--json"]);
    let ran = Ran::of(command.env("TOKEN", "correct-horse-battery").output().expect("danube starts")).expect(0);
    assert_eq!(names(&ran), ["app-***"]);
}

#[test]
fn a_file_that_grows_while_it_is_read_is_kept_as_it_was_at_some_moment() {
    let project = Project::pipeline(
        "call = step.call('while :; do echo 0123456789 >> log; done', name='writer', timeout=2)
def upload():
    step.run('while ! test -s log; do :; done', name='wait')
    return [artifacts.upload('log', name=f'log-{n}')[0].size for n in range(5)]
try:
    step.parallel(call, upload, fail_fast=False)
except* StepTimeout:
    pass",
    );
    let ran = project.run(&["--json"]).expect(0);
    for (name, size, _) in kept(&ran) {
        let content = fs::read(folder(&ran).join(&name)).expect("kept");
        assert_eq!(content.len() as u64, size);
        assert!(
            b"0123456789\n".repeat(content.len() / 11 + 1).starts_with(&content),
            "{name} is one beginning of the log"
        );
    }
}

#[test]
fn what_was_kept_comes_back_byte_for_byte() {
    let project = Project::pipeline(
        "step.run('head -c 3000001 /dev/urandom > big; : > empty; sha256sum big > sum')
artifacts.upload('big', 'empty')
step.run('rm big empty; mkdir -p sub; echo old > sub/replaced')
print(artifacts.download('big').size, artifacts.download('empty', 'new/folder/empty').size)
artifacts.download('big', 'sub/replaced')
step.run('sha256sum -c sum && cmp big sub/replaced && test ! -s new/folder/empty && echo more >> big && echo all there')
try:
    artifacts.download('small')
except ArtifactNotFound as error:
    print('none:', error)",
    );
    let ran = project.run(&["--json"]).expect(0).says("3000001 0").says("all there");
    ran.says("none: the job keeps no artifact `small`: upload it first");
}

#[test]
fn nothing_is_written_outside_the_workspace() {
    let project = Project::pipeline(
        "import os
from danube import _mailbox
step.run('echo mine > a; mkdir real folder; ln -s /tmp out; ln -s real within; ln -s ../../../tmp/up up')
artifacts.upload('a')
for path in ('out/x', '../x', '/tmp/x', 'real/../../x', '', '.', 'folder', 'up/x', 'a/b'):
    try:
        _mailbox.call('artifacts.download', {'name': 'a', 'path': path}, os.urandom(16).hex())
        print('WRITTEN', path)
    except DanubeError as error:
        print('refused', path, type(error).__name__)
try:
    artifacts.download('a', 'folder')
except UsageError as error:
    print('words:', error)
step.run('test ! -e /tmp/x && test -d folder && cat a')",
    );
    let ran = project.run(&[]).expect(0).never_says("WRITTEN").never_says("InfraError").says("mine");
    assert_eq!(ran.stdout.matches("refused ").count(), 9, "{}", ran.stdout);
    ran.says("words: `folder`: cannot write /workspace/folder");
}

#[test]
fn a_hundred_thousand_files_are_refused_at_once() {
    let project = Project::pipeline(
        "step.run('mkdir many; cd many; seq 100000 | xargs touch', name='many')
try:
    artifacts.upload('many')
except UsageError as error:
    print('refused:', error)",
    );
    let ran = project.run(&["--json"]).expect(0);
    let ran = ran.says("refused: 100000 files match, and a job keeps at most 10000: upload an archive, or less");
    assert_eq!(names(&ran), Vec::<String>::new());
}

/// A hole takes no room on the disk, and is as long as it says.
#[test]
fn more_than_four_gigabytes_are_refused_and_leave_nothing() {
    let project = Project::pipeline(
        "step.run('truncate -s 4294967297 big; echo small > small', name='files')
try:
    artifacts.upload('big')
except UsageError as error:
    print('refused:', error)
artifacts.upload('small')",
    );
    let ran = project.run(&["--json"]).expect(0).says("refused: `big` is larger than 4096 MiB");
    assert_eq!(names(&ran), ["small"]);
}

#[test]
#[ignore = "writes 4 GiB and takes a minute: cargo test --test artifacts -- --ignored"]
fn four_gigabytes_are_kept_whole() {
    let project = Project::pipeline(
        "step.run('truncate -s 4294967296 big; sha256sum big', name='file', timeout='10m')
print('kept as', artifacts.upload('big')[0].sha256)",
    );
    let ran = project.run(&["--json"]).expect(0);
    let (name, size, sha256) = kept(&ran).remove(0);
    assert_eq!((name.as_str(), size), ("big", 1 << 32));
    ran.says(&format!("{sha256}  big")).says(&format!("kept as {sha256}"));
}
