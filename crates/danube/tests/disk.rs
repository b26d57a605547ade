//! A data directory without room, without rights, without a place: clear words, the right exit code, no false success.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use support::dev::Dev;
use support::events::Watched;
use support::{Project, Ran, binary};

/// Only root can mount a small file system without becoming somebody else by it.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("not tried: only root can mount a file system of fixed size");
    }
    root
}

/// `danube run --json` whose data directory is a file system of `size` that only it sees, holding a file of `ballast`.
fn on_a_small_disk(project: &Project, size: &str, ballast: &str) -> Child {
    fs::create_dir_all(project.data()).expect("a folder");
    let script = "mount -t tmpfs -o size=\"$1\" none \"$2\" && head -c \"$3\" /dev/zero > \"$2/ballast\" && shift 3 && exec \"$@\"";
    let command = project.command(&["--json"]);
    let words: Vec<_> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(ToOwned::to_owned).collect();
    let mut unshared = Command::new("unshare");
    unshared.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", size]);
    unshared.arg(project.data()).arg(ballast).args(words);
    unshared.env("DANUBE_DATA_DIR", project.data()).env("NO_COLOR", "1").env_remove("DANUBE_LOG");

    unshared.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    unshared.spawn().expect("it starts")
}

#[test]
fn a_full_disk_stops_a_job_until_there_is_room() {
    if !is_root() {
        return;
    }
    use std::io::{BufRead, BufReader};
    let project = Project::pipeline(
        "step.run('yes $(printf %04000d 7) | head -c 60000000', name='much')\nstep.run('echo after', name='after')",
    );
    let mut child = on_a_small_disk(&project, "200m", "160m");
    // What is told on stderr is followed; stdout is read aside, so that nothing waits for it.
    let stderr = BufReader::new(child.stderr.take().expect("its complaints"));
    let pid = child.id();
    let mut lines = stderr.lines().map(|line| line.expect("its complaints"));
    let reader = std::thread::spawn(move || child.wait_with_output().expect("its end"));
    assert!(lines.any(|line| line.contains("disk is full")), "nobody said that the disk is full");
    fs::remove_file(format!("/proc/{pid}/root{}/ballast", project.data().display())).expect("room is made");
    assert!(lines.any(|line| line.contains("room again")), "nobody said that there is room");
    drop(lines.collect::<Vec<_>>());
    let ran = Ran::of(reader.join().expect("read")).expect(0);
    assert_eq!(ran.step(1)["bytes"], 60_000_000);
    assert_eq!(ran.names(), ["much", "after"]);
}

/// What does not fit is not kept, nothing of it stays, and the next upload finds the room.
#[test]
fn an_upload_that_finds_no_room_is_refused_in_words() {
    if !is_root() {
        return;
    }
    let project = Project::pipeline(
        "step.run('head -c 60000000 /dev/zero > big; echo small > small', name='files')
for name in ('big', 'small'):
    try:
        print('kept:', artifacts.upload(name)[0].size)
    except InfraError as error:
        print('refused:', error)
step.run('cat small', name='after')",
    );
    let ran = Watched::of(on_a_small_disk(&project, "200m", "110m")).end().expect(0);
    let ran = ran.says("refused: `big` cannot be kept").says("No space left").says("make room");
    let ran = ran.says("kept: 6");
    let kept = ran.events().into_iter().filter(|event| event["type"] == "artifact").count();
    assert_eq!((kept, ran.names()), (1, vec!["files".to_owned(), "after".to_owned()]));
}

/// `danube dev` whose database, logs and jobs are on a file system of 64 MB that only it sees.
fn master_on_a_small_disk(project: &Project) -> (Dev, std::path::PathBuf) {
    let master = project.data().join("master");
    fs::create_dir_all(&master).expect("a folder");
    let script = "mount -t tmpfs -o size=64m none \"$1\" && shift && exec \"$@\"";
    let dev = Dev::command(project, &["--no-run"]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(&master);
    command.arg(dev.get_program()).args(dev.get_args()).env("DANUBE_DATA_DIR", project.data()).env_remove("DANUBE_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let dev = Dev::of(project, command);
    let told = fs::read(project.data().join("dev.json")).expect("it told where it is");
    let told: serde_json::Value = serde_json::from_slice(&told).expect("JSON");
    (dev, format!("/proc/{}/root{}", told["pid"], master.display()).into())
}

/// What is on its way goes on when there is room, what was refused was never taken, and nobody has to start it again.
#[test]
fn a_master_on_a_full_disk_refuses_in_words_until_there_is_room() {
    if !is_root() {
        return;
    }
    let project = Project::new(
        "from danube import *\n@pipeline(name='test', params={'pad': {'default': ''}})\ndef build():\n    \
         step.run('echo begun; while test ! -e go; do sleep 0.1; done; seq 1 1000', name='waits')\n",
    );
    let (dev, disk) = master_on_a_small_disk(&project);
    let id = |job: &serde_json::Value| job["id"].as_str().expect("an id").to_owned();
    let running = id(&dev.post("/pipelines/test/jobs", "", 201));
    dev.until(&running, |job| job["steps"].as_array().is_some_and(|steps| steps.len() == 2));
    let mut ballast = fs::File::create(disk.join("ballast")).expect("made");
    while std::io::Write::write(&mut ballast, &[0; 4096]).is_ok_and(|written| written > 0) {}
    let body = format!("{{\"params\":{{\"pad\":\"{}\"}}}}", "x".repeat(50_000));
    let mut taken = vec![running];
    let refused = loop {
        let (status, answer) = dev.ask("POST", "/pipelines/test/jobs", &body).expect("an answer");
        if status != 201 {
            break (status, answer);
        }
        taken.push(id(&answer));
        assert!(taken.len() < 200, "the disk is not full");
    };
    assert!(
        refused.0 == 503 && refused.1["error"]["message"].as_str().is_some_and(|words| words.contains("Make room")),
        "{refused:?}"
    );
    assert_eq!(dev.get("/jobs?limit=200")["jobs"].as_array().map(Vec::len), Some(taken.len()), "it is still looked at");
    drop(ballast);
    fs::remove_file(disk.join("ballast")).expect("room is made");
    taken.push(id(&dev.post("/pipelines/test/jobs", "", 201)));
    for group in fs::read_dir(disk.join("groups")).expect("groups").flatten() {
        fs::write(group.path().join("workspace/go"), "").expect("told");
    }
    let first = dev.end(&taken[0]);
    assert_eq!((&first["status"], &first["steps"][1]["bytes"]), (&"success".into(), &3899.into()), "{first}");
    for job in &taken[1..] {
        // It may have ended already.
        dev.ask("POST", &format!("/jobs/{job}/cancel"), "").expect("an answer");
        dev.end(job);
    }
    dev.stop().expect(0);
}

#[test]
fn a_disk_that_is_full_from_the_start_is_said_so() {
    if !is_root() {
        return;
    }
    let project = Project::pipeline("step.run('true', name='a')");
    let ran = Watched::of(on_a_small_disk(&project, "1m", "1m")).end();
    ran.expect(3).says("No space left").says("--data-dir");
}

#[test]
fn a_data_directory_that_cannot_be_written_is_said_so() {
    if rustix::process::geteuid().is_root() {
        eprintln!("not tried: root may write anywhere");
        return;
    }
    let project = Project::pipeline("step.run('true', name='a')");
    fs::create_dir(project.data()).expect("a folder");
    fs::set_permissions(project.data(), fs::Permissions::from_mode(0o555)).expect("closed");
    project.run(&[]).expect(3).says("ermission denied").says("--data-dir");
    // As another user's would be: not even its names can be read.
    fs::set_permissions(project.data(), fs::Permissions::from_mode(0o000)).expect("closed");
    project.run(&[]).expect(3).says("ermission denied").says("--data-dir");
    fs::set_permissions(project.data(), fs::Permissions::from_mode(0o700)).expect("opened");
}

#[test]
fn a_data_directory_that_is_a_file_is_said_so() {
    let project = Project::pipeline("step.run('true', name='a')");
    fs::write(project.data(), "").expect("a file");
    project.run(&[]).expect(3).says("ot a directory").says("--data-dir");
}

#[test]
fn without_a_home_a_place_must_be_named() {
    let project = Project::pipeline("step.run('true', name='a')");
    let mut command = Command::new(binary());
    command.arg("run").arg(project.dir());
    for variable in ["HOME", "XDG_STATE_HOME", "DANUBE_DATA_DIR"] {
        command.env_remove(variable);
    }
    Ran::of(command.output().expect("danube starts")).expect(2).says("--data-dir");
    let mut command = project.command(&[]);
    Ran::of(command.env_remove("HOME").output().expect("danube starts")).expect(0);
}
