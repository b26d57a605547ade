//! Images without a registry: several in one job, computed ones, ones without a shell, damaged ones.

mod support;

use std::fs;

use serde_json::json;
use support::Project;
use support::image::{Image, blob_path};

/// A project with the usual image packed as `box.tar` beside the danubefile.
fn boxed(body: &str) -> Project {
    let project = Project::pipeline(body);
    Image::usual().tar(&project.dir().join("box.tar"));
    project
}

#[test]
fn several_images_of_one_job_share_the_workspace() {
    let project = boxed(
        "step.run('echo from host > note; chmod a+rw note', name='host')
step.run('cat note; echo from box >> note; echo made > made', image='tar:box.tar', name='box')
step.run('cat note made; rm made', name='host again')
step.run('test ! -e made; test ! -e /usr/bin/python3', image='tar:box.tar', name='box again')",
    );
    let ran = project.run(&["--json"]).expect(0);
    assert_eq!(ran.lines(2, None), ["from host"]);
    assert_eq!(ran.lines(3, None), ["from host", "from box", "made"]);
}

#[test]
fn an_image_may_be_given_a_name_on_the_command_line() {
    let project = boxed("step.run('test ! -e /usr/bin/python3', image='127.0.0.1:1/node:22')");
    project.run(&["--json"]).expect(2).because("image_pull").says("`127.0.0.1:1/node:22`").says("--image NAME=");
    let tar = project.dir().join("box.tar");
    project.run(&["--image", &format!("127.0.0.1:1/node:22=tar:{}", tar.display())]).expect(0);
    project.run(&["--image", "127.0.0.1:1/node:22=host"]).expect(1);
}

#[test]
fn writes_into_an_image_are_gone_with_the_run() {
    let project = boxed(
        "step.run('test ! -e /mark; touch /mark; test -e /mark; echo changed > /etc/group', image='tar:box.tar')",
    );
    project.run(&["--json"]).expect(0);
    project.run(&["--json"]).expect(0);
}

#[test]
fn an_image_without_a_shell_runs_plain_words_and_lists() {
    let project = Project::pipeline(
        "step.run('cat /workspace/danubefile.py', image='tar:bare.tar', name='words')
step.run(['cat', '/workspace/danubefile.py'], image='tar:bare.tar', name='list')
step.run('cat a | cat', image='tar:bare.tar', name='syntax')",
    );
    Image::with(&["cat"]).tar(&project.dir().join("bare.tar"));
    let ran = project.run(&["--json"]).expect(1);
    assert!(ran.lines(1, None).len() > 5 && ran.lines(1, None) == ran.lines(2, None), "{}", ran.stdout);
    let said = ran.lines(0, None).join("\n");
    assert!(said.contains("no shell") && said.contains("[\"cat\", \"a\""), "{said}");
    assert_eq!(said.matches("no shell").count(), 1, "said once: {said}");
}

#[test]
fn an_image_may_be_computed_when_the_danubefile_runs() {
    let project = boxed(
        "name = 'tar:' + open('where').read()\nstep.run('echo computed', image=name)\nstep.run('echo again', image=name)",
    );
    project.write("where", project.dir().join("box.tar").to_str().expect("text"));
    let ran = project.run(&["--json"]).expect(0);
    assert_eq!((ran.lines(1, None), ran.lines(2, None)), (vec!["computed".to_owned()], vec!["again".to_owned()]));
}

#[test]
fn a_computed_image_s_relative_path_starts_at_the_danubefile() {
    let project = boxed("step.run('true', image='tar:' + 'box.tar')");
    project.run(&["--json"]).expect(0);
}

#[test]
fn the_ninth_computed_image_is_refused_with_the_way_out() {
    let project = boxed(
        "where = open('where').read()\nfor n in range(9):\n    step.run('true', image=f'tar:{where}/box{n}.tar', name=f'box {n}')",
    );
    project.write("where", project.dir().to_str().expect("text"));
    let tar = project.dir().join("box.tar");
    for n in 0..9 {
        fs::hard_link(&tar, project.dir().join(format!("box{n}.tar"))).expect("linked");
    }
    let ran = project.run(&["--json"]).expect(1);
    assert_eq!(ran.names().len(), 8);
    let said = ran.lines(0, None).join("\n");
    assert!(said.contains("box8.tar` is the ninth image") && said.contains("images=[…]"), "{said}");
}

#[test]
fn what_an_image_says_about_its_steps_is_so() {
    let project = Project::pipeline(
        "step.run('test \"$GREETING\" = \"hello there\"; test \"$(id -u)\" = \"$WHO\"; test \"$PWD\" = /workspace', image='oci:layout')
step.run('test \"$GREETING\" = mine', env={'GREETING': 'mine'}, image='oci:layout')
step.run('touch /workspace/mine', image='oci:layout')",
    );
    // Where ids are one, the image's user is the caller outside, and still itself inside.
    let config =
        json!({ "Env": ["PATH=/bin", "GREETING=hello there", "WHO=1234"], "User": "app", "WorkingDir": "/tmp" });
    Image::usual().oci(&project.dir().join("layout"), &config);
    project.run(&["--json"]).expect(0);
}

#[test]
fn what_is_wrong_with_an_image_is_told_before_any_step() {
    let project = Project::pipeline("step.run('true', image='oci:layout')");
    let layout = project.dir().join("layout");
    let named = format!("`oci:{}`", layout.display());
    let refused = |words: &str| {
        let ran = project.run(&["--json"]).expect(2).because("image_pull");
        let message = ran.job()["reason"]["message"].as_str().expect("a message").to_owned();
        assert!(message.contains(words) && message.contains(&named), "{words}: {message}");
        assert_eq!(ran.names().len(), 0);
    };
    refused("layout");
    let layer = Image::with(&["true"]).oci(&layout, &json!({}));
    let path = blob_path(&layout, &layer);
    let mut content = fs::read(&path).expect("the layer");
    let last = content.len() - 600;
    content[last] ^= 1;
    fs::write(&path, &content).expect("written");
    refused("damaged");
    fs::remove_file(&path).expect("removed");
    refused("missing");
}

#[test]
fn a_file_that_is_no_image_is_told_so() {
    let project = Project::pipeline("step.run('true', image='tar:text')");
    project.run(&["--json"]).expect(2).because("image_pull").says("text");
    project.write("text", "this is no archive\n");
    project.run(&["--json"]).expect(2).because("image_pull").says("text");
}

#[test]
fn a_computed_image_that_cannot_be_had_is_an_exception_of_the_danubefile() {
    let project = boxed(
        "import shutil
try:
    step.run('true', image='tar:' + 'nowhere.tar')
except ImageUnavailable as error:
    print('caught', error)
def fails():
    try:
        step.run('true', image='tar:' + 'text')
    except ImageUnavailable as error:
        return str(error)
said = step.parallel(fails, fails)
assert all('`tar:text`' in words for words in said), said
for n in range(9):
    try:
        step.run('true', image=f'tar:nowhere{n}.tar')
    except ImageUnavailable as error:
        assert 'ninth' not in str(error), error
step.run('echo works', image='tar:' + 'box.tar')",
    );
    project.write("text", "no archive");
    let ran = project.run(&["--json"]).expect(0);
    assert!(ran.lines(0, None).concat().contains("nowhere.tar"), "{}", ran.stdout);
    assert_eq!(ran.lines(1, None), ["works"]);
}
