//! Secrets: they reach the step that asks, and nothing else shows them.

mod support;

use std::fs;
use std::process::Command;

use support::{Project, Ran};

const VALUE: &str = "hunter2-correct-horse-battery";

/// Runs with the secret TOKEN from the environment.
fn run(project: &Project, arguments: &[&str]) -> Ran {
    let mut command: Command = project.command(&[&["--secret", "TOKEN"], arguments].concat());
    Ran::of(command.env("TOKEN", VALUE).output().expect("danube starts"))
}

#[test]
fn a_secret_reaches_its_step_and_no_other() {
    let project = Project::pipeline(&format!(
        "step.run('test \"$TOKEN\" = {VALUE}', secrets=['TOKEN'], name='by name')
step.run('test \"$OTHER\" = {VALUE}', secrets={{'OTHER': 'TOKEN'}}, name='renamed')
step.run('test \"$(cat \"$KEY\")\" = {VALUE} && test \"$(stat -c %a \"$KEY\")\" = 400', secrets={{'KEY': secrets.file('TOKEN')}}, name='file')
step.run('test -z \"${{TOKEN-}}${{OTHER-}}${{KEY-}}\"', name='without')
assert secrets.get('TOKEN') == '{VALUE}'"
    ));
    run(&project, &["--json"]).expect(0);
}

#[test]
fn a_secret_s_file_is_gone_with_its_step() {
    let project = Project::pipeline(
        "step.run('echo \"$KEY\" > where', secrets={'KEY': secrets.file('TOKEN')})\nstep.run('test ! -e \"$(cat where)\"')",
    );
    run(&project, &["--json"]).expect(0);
}

#[test]
fn no_view_and_no_file_shows_a_secret() {
    let project = Project::pipeline(
        "token = secrets.get('TOKEN')
step.run('echo \"$TOKEN\"; printf %s \"$TOKEN\" | base64; printf %s \"x$TOKEN\" | base64', secrets=['TOKEN'], name=f'deploy {token}')
step.run('printf hunter2-correct; sleep 0.2; echo -horse-battery; for c in h u n t e r 2 - c o r r e c t - horse-battery; do printf %s $c; sleep 0.03; done')
for before in range(65536 - 30, 65536):
    step.run(f'head -c {before} /dev/zero | tr \"\\\\0\" x; echo \"$TOKEN\"', secrets=['TOKEN']) if before % 7 == 0 else None
with step.group(f'group {token}'):
    step.run('true', name='inside')
print('the token is', token)
try:
    step.run(['no-such-program-' + token])
except StepFailed:
    pass
raise ValueError(f'cannot use {token}')",
    );
    for arguments in [&[][..], &["--json"]] {
        let ran = run(&project, arguments).expect(1).says("***");
        ran.never_says(VALUE).never_says("aHVudGVyMi1jb3JyZWN0LWhvcnNlLWJhdHRlcnk");
    }
    let holds = |path: &std::path::Path| fs::read(path).is_ok_and(|bytes| contains(&bytes, VALUE.as_bytes()));
    let mut pending = vec![project.data()];
    let mut seen = 0;
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            if entry.file_type().expect("a type").is_dir() {
                pending.push(entry.path());
            } else {
                assert!(!holds(&entry.path()), "{}", entry.path().display());
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "the search must have seen the logs and databases");
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn no_process_but_the_step_itself_can_be_asked_for_a_secret() {
    let project = Project::pipeline(
        "step.run('echo ready; exec sleep 1000', secrets={'KEY': secrets.file('FILED')}, name='file')",
    );
    let key = project.outside("key");
    // Not the value of the other tests, whose processes are seen too.
    let value = format!("filed-{VALUE}");
    fs::write(&key, &value).expect("written");
    let mut watched = project.watch(&["--secret", &format!("FILED=@{}", key.display())]);
    watched.until_line("ready");
    let mut looked = 0;
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        if entry.file_name().to_str().is_none_or(|name| !name.bytes().all(|byte| byte.is_ascii_digit())) {
            continue;
        }
        for file in ["cmdline", "environ"] {
            let Ok(bytes) = fs::read(entry.path().join(file)) else { continue };
            looked += 1;
            assert!(!contains(&bytes, value.as_bytes()), "{}/{file}", entry.path().display());
        }
    }
    assert!(looked > 10, "processes were looked at");
    watched.signal(rustix::process::Signal::INT);
    watched.end().expect(130);
}

#[test]
fn a_secret_of_the_environment_stays_in_danube_and_the_step() {
    let project = Project::pipeline("step.run('echo ready; exec sleep 1000', secrets=['TOKEN'])");
    let mut command = project.command(&["--json", "--secret", "TOKEN"]);
    let value = format!("environment-{VALUE}");
    let mut watched = support::events::Watched::of(command.env("TOKEN", &value).spawn().expect("danube starts"));
    watched.until_line("ready");
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Ok(environ) = fs::read(entry.path().join("environ")) else { continue };
        let own = entry.file_name().to_str() == Some(&watched.child.id().to_string());
        let step = contains(&environ, b"DANUBE=true");
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        assert!(!contains(command.as_bytes(), value.as_bytes()), "{command}");
        assert!(own || step || !contains(&environ, value.as_bytes()), "{} {command}", entry.path().display());
    }
    watched.signal(rustix::process::Signal::INT);
    watched.end().expect(130);
}

#[test]
fn a_secret_that_is_not_there_is_told_with_how_to_pass_it() {
    let project = Project::pipeline(
        "try:\n    secrets.get('NOPE')\nexcept SecretNotFound as error:\n    print(error)\n    raise",
    );
    project.run(&[]).expect(1).says("no secret `NOPE`").says("--secret NOPE");
}

#[test]
fn a_secret_of_several_lines_is_masked_line_by_line() {
    let project = Project::pipeline("step.run('grep -v ^nothing \"$KEY\"', secrets={'KEY': secrets.file('KEY')})");
    let key = project.outside("key");
    fs::write(&key, "-----BEGIN KEY-----\nfirst-secret-line\nsecond-secret-line\n-----END KEY-----\n")
        .expect("written");
    let ran = project.run(&["--secret", &format!("KEY=@{}", key.display())]).expect(0);
    ran.says("***").never_says("first-secret-line").never_says("second-secret-line");
}
