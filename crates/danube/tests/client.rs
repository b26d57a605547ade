//! The commands that talk to a server: with a real `danube dev`, with streams that are cut, with a server that says
//! anything.

#[path = "client/canned.rs"]
mod canned;
#[path = "client/proxy.rs"]
mod proxy;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use proxy::Proxy;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::dev::Dev;
use support::{Project, Ran, binary, seed};

/// A client of the project's own `danube dev`.
fn danube(project: &Project, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).env("DANUBE_DATA_DIR", project.data()).env("NO_COLOR", "1");
    for name in ["DANUBE_URL", "DANUBE_TOKEN", "DANUBE_LOG"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(project: &Project, arguments: &[&str]) -> Ran {
    Ran::of(danube(project, arguments).output().expect("danube starts"))
}

/// The same through something in between.
fn through(project: &Project, proxy: &Proxy, arguments: &[&str]) -> Ran {
    let dev: Value =
        serde_json::from_slice(&fs::read(project.data().join("dev.json")).expect("dev.json")).expect("JSON");
    let mut command = danube(project, arguments);
    command.env("DANUBE_URL", proxy.url()).env("DANUBE_TOKEN", dev["token"].as_str().expect("a token"));
    Ran::of(command.output().expect("danube starts"))
}

/// A client of a server that says anything.
fn against(url: &str, arguments: &[&str]) -> Ran {
    let project = Project::empty();
    let mut command = danube(&project, arguments);
    Ran::of(command.env("DANUBE_URL", url).env("DANUBE_TOKEN", "t").output().expect("danube starts"))
}

/// Text, bytes that are none, a line without an end, steps beside each other, files.
const MUCH: &str = r#"print('the danubefile speaks')
step.run('seq 1 3000; printf "größer\\n\\377\\376 no text\\n"; printf unfinished', name='much')
step.parallel(step.call('seq 5 400', name='left'), step.call('seq 7 400', name='right'))
step.run('mkdir -p dist/sub; seq 1 200000 > dist/long; echo small > dist/sub/small; : > dist/empty', name='files')
artifacts.upload('dist')
step.run(f"echo almost there; exit {ctx.params['code']}", name='last')
"#;

fn much() -> Project {
    let body: String = MUCH.lines().map(|line| format!("    {line}\n")).collect();
    Project::new(&format!(
        "from danube import artifacts, ctx, pipeline, step\n\n@pipeline(name='test', params={{'code': 0}})\ndef build():\n{body}"
    ))
}

#[test]
fn a_job_from_its_start_to_its_files() {
    let project = much();
    let dev = Dev::start(&project, &["--no-run"]);
    run(&project, &["jobs"]).expect(0).says("no such jobs");
    run(&project, &["trigger", "--wait"]).expect(0).says("test #1: waiting for its end").says("✔ success in");
    let followed = run(&project, &["trigger", "test", "--param", "code=7", "--follow"]).expect(1);
    let followed = followed.says("test #2").says("▶ 1 much").says("✘ 5 last  exit 7").says("  │ the danubefile speaks");
    followed.says("The last lines of step").says("danube artifacts test/2 -o DIR").says("✘ failure in");
    run(&project, &["pipelines"]).expect(0).says("test").says("✘ failure");
    let jobs = run(&project, &["jobs", "--status", "success"]).expect(0).says("✔ success    1  test");
    assert_eq!(jobs.stdout.lines().count(), 2, "{}", jobs.stdout);
    let id = dev.jobs()[0]["id"].as_str().expect("an id").to_owned();
    for name in ["1", "test/1", &id] {
        run(&project, &["job", name]).expect(0).says("✔ success of test #1").says(&id).says("files");
    }
    run(&project, &["job"]).expect(0).says("✘ failure of test #2").says("exit 7").says("code=7");
    run(&project, &["job", "3"]).expect(2).says("there is no job 3 of `test`");
    run(&project, &["job", "other/1"]).expect(2);
    run(&project, &["cancel", "1"]).expect(2).says("ended");
    run(&project, &["trigger", "--param", "speed=1"]).expect(2).says("no parameter `speed`");
    run(&project, &["trigger", "moon"]).expect(2).says("moon");
    dev.stop().expect(0);
}

#[test]
fn what_tests_said_is_told_failures_first() {
    let xml = r#"<testsuite><testcase classname='Caret' name='minor'/><testcase classname='Caret' name='major' time='0.25'>
<failure message='expected 1, got 2'>at line 7&#10;\x1b[31mred</failure><system-out>words on stdout</system-out></testcase>
<testcase name='later'><skipped/></testcase></testsuite>"#;
    let project = Project::new(
        "from danube import pipeline, reports, step, summary\n\n@pipeline(name='test')\ndef build():\n    step.run('true')\n    \
         reports.junit('report.xml')\n    summary.markdown('# Größe\\n\x1b]0;title\x07plain')\n",
    );
    project.write("report.xml", xml.replace("\\x1b", "&#9;"));
    let dev = Dev::start(&project, &[]);
    dev.end("latest");
    let all = run(&project, &["tests"]).expect(0).says("3 tests, 1 failed, 1 skipped");
    let order: Vec<&str> = all.stdout.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(order[order.len() - 3..], ["1-1", "1-2", "1-0"], "{}", all.stdout);
    let failed = run(&project, &["tests", "1", "--failed"]).expect(0).says("✘").says("Caret › major");
    failed.says("expected 1, got 2").never_says("later");
    let one = run(&project, &["tests", "1", "1-1"]).expect(0).says("✘ Caret › major: failed");
    one.says("at line 7").says("words on stdout");
    run(&project, &["tests", "1", "9-9"]).expect(2).says("has no test 9-9");
    run(&project, &["job"])
        .expect(0)
        .says("3 tests, 1 failed, 1 skipped")
        .says("Summary\n  # Größe\n")
        .never_says("\x1b]");
    let json = run(&project, &["tests", "--json", "--failed"]).expect(0);
    let json: Value = serde_json::from_str(&json.stdout).expect("one document");
    assert_eq!(json, dev.get("/jobs/latest/tests?failures=true"));
    run(&project, &["tests", "--limit", "0"]).expect(2);
    dev.stop().expect(0);
}

#[test]
fn programs_get_the_objects_of_the_api() {
    let project = much();
    let dev = Dev::start(&project, &[]);
    dev.end("latest");
    let document = |arguments: &[&str]| -> Value {
        serde_json::from_str(&run(&project, arguments).expect(0).stdout).expect("one document")
    };
    assert_eq!(document(&["pipelines", "--json"]), dev.get("/pipelines"));
    assert_eq!(document(&["jobs", "--json"]), dev.get("/jobs?limit=20"));
    assert_eq!(document(&["job", "--json"]), dev.get("/jobs/latest"));
    assert_eq!(document(&["artifacts", "latest", "--json"]), dev.get("/jobs/latest/artifacts"));
    let lines = run(&project, &["logs", "--json", "--step", "1"]).expect(0).events();
    assert_eq!((lines.len(), &lines[2999]["text"], &lines[2999]["step"]), (3003, &json!("3000"), &json!(1)));
    let events = run(&project, &["logs", "-f", "--json"]).expect(0).events();
    assert_eq!((&events[0]["event"], &events[events.len() - 1]["event"]), (&json!("job"), &json!("end")));
    dev.stop().expect(0);
}

#[test]
fn a_log_is_the_same_however_often_its_connection_is_cut() {
    let (project, seed) = (much(), seed());
    let dev = Dev::start(&project, &[]);
    dev.end("latest");
    for arguments in [&["logs", "-f"][..], &["logs", "-f", "--json"], &["logs", "-f", "--step", "1", "--raw"]] {
        let whole = run(&project, arguments).expect(0);
        for round in 0..3 {
            let proxy = Proxy::start(dev.port(), "/events", 25, 40_000, seed + round);
            let cut = through(&project, &proxy, arguments).expect(0);
            assert!(cut.stdout == whole.stdout, "{arguments:?}\n--- cut\n{}\n--- whole\n{}", cut.stdout, whole.stdout);
            assert!(proxy.left() < 25, "nothing was cut");
        }
    }
    let id = dev.jobs()[0]["id"].as_str().expect("an id").to_owned();
    let mut raw = Vec::new();
    let mut direct = danube(&project, &["logs", &id, "--step", "1", "--raw"]).spawn().expect("danube starts");
    direct.stdout.take().expect("piped").read_to_end(&mut raw).expect("read");
    assert!(direct.wait().expect("its end").success());
    let text: String = (1..=3000).map(|n| format!("{n}\n")).collect();
    assert!(raw == [text.as_bytes(), "größer\n".as_bytes(), b"\xff\xfe no text\nunfinished"].concat());
    dev.stop().expect(0);
}

/// Who looks on while it runs sees each line once, whatever the connection does.
#[test]
fn a_running_job_is_followed_over_cuts() {
    let project =
        Project::pipeline("step.run('for i in $(seq 1 300); do echo line $i; sleep 0.005; done', name='slow')\n");
    let dev = Dev::start(&project, &["--no-run"]);
    let proxy = Proxy::start(dev.port(), "/events", 20, 3000, seed());
    let ran = through(&project, &proxy, &["trigger", "--follow"]).expect(0);
    let lines: Vec<&str> = ran.stdout.lines().filter_map(|line| line.strip_prefix(" 1│ ")).collect();
    let wanted: Vec<String> = (1..=300).map(|n| format!("line {n}")).collect();
    assert_eq!(lines, wanted);
    assert!(proxy.left() < 20, "nothing was cut");
    dev.stop().expect(0);
}

#[test]
fn ctrl_c_leaves_the_job_running() {
    let project = Project::pipeline("step.run('echo begun; sleep 1000', name='endless')\n");
    let dev = Dev::start(&project, &[]);
    dev.until("latest", |job| job["status"] == "running");
    let mut looking = danube(&project, &["logs", "-f"]).spawn().expect("danube starts");
    let mut lines = BufReader::new(looking.stdout.take().expect("piped")).lines();
    assert!(lines.any(|line| line.expect("read").contains("begun")));
    let pid = rustix::process::Pid::from_child(&looking);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    Ran::of(looking.wait_with_output().expect("its end"))
        .expect(130)
        .says("the job goes on")
        .says("danube cancel test/1");
    assert_eq!(dev.get("/jobs/latest")["status"], "running");

    let waiting = danube(&project, &["trigger", "--wait"]);
    let second = std::thread::spawn(move || Ran::of({ waiting }.output().expect("danube starts")));
    dev.until("latest", |job| job["number"] == 2);
    run(&project, &["cancel", "latest"]).expect(0).says("test #2 is being stopped");
    second.join().expect("no panic").expect(130).says("■ cancelled");
    run(&project, &["cancel", "1"]).expect(0);
    dev.end(dev.jobs()[0]["id"].as_str().expect("an id"));
    dev.stop().expect(0);
}

/// Whoever reads what is printed may leave.
#[test]
fn a_reader_that_leaves_is_no_failure() {
    let project = much();
    let dev = Dev::start(&project, &[]);
    dev.end("latest");
    for arguments in [&["logs"][..], &["logs", "-f"], &["logs", "--json"], &["logs", "--step", "1", "--raw"]] {
        let mut child = danube(&project, arguments).spawn().expect("danube starts");
        drop(child.stdout.take());
        Ran::of(child.wait_with_output().expect("its end")).expect(0).never_says("error");
    }
    dev.stop().expect(0);
}

fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn files_are_downloaded_whole_or_not_at_all() {
    let project = much();
    let dev = Dev::start(&project, &[]);
    dev.end("latest");
    let long: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    let out = project.outside("out");
    let place = out.to_str().expect("text");
    run(&project, &["artifacts", "latest"]).expect(0).says("dist/long").says(&hash(long.as_bytes())[..12]);
    run(&project, &["artifacts", "latest", "-o", place]).expect(0).says("dist/sub/small");
    assert_eq!(fs::read_to_string(out.join("dist/sub/small")).expect("read"), "small\n");
    assert_eq!(fs::read(out.join("dist/empty")).expect("read"), b"");
    run(&project, &["artifacts", "latest", "dist/sub", "-o", place]).expect(0);
    assert_eq!(fs::read_to_string(out.join("small")).expect("read"), "small\n");
    run(&project, &["artifacts", "latest", "dist/nothing", "-o", place]).expect(2).says("nothing named dist/nothing");

    let proxy = Proxy::start(dev.port(), "/artifacts/dist", 12, 200_000, seed());
    let file = project.outside("cut");
    let name = file.to_str().expect("text");
    through(&project, &proxy, &["artifacts", "latest", "dist/long", "-o", name]).expect(0);
    assert!(fs::read_to_string(&file).expect("read") == long, "cut and put together");
    assert!(proxy.heard().iter().any(|request| request.to_lowercase().contains("range: bytes=")), "it went on");

    // What an earlier call left is gone on with; what somebody else wrote there is noticed.
    let part = project.outside(&format!(".again.{}.part", &hash(long.as_bytes())[..16]));
    let (again, proxy) = (project.outside("again"), Proxy::start(dev.port(), "/", 0, 1, 0));
    let name = again.to_str().expect("text");
    fs::write(&part, &long[..123_456]).expect("written");
    through(&project, &proxy, &["artifacts", "latest", "dist/long", "-o", name]).expect(0);
    assert!(fs::read_to_string(&again).expect("read") == long && !part.exists());
    assert!(proxy.heard().iter().any(|request| request.to_lowercase().contains("range: bytes=123456-")));
    fs::remove_file(&again).expect("removed");
    fs::write(&part, "something else").expect("written");
    run(&project, &["artifacts", "latest", "dist/long", "-o", name]).expect(3).says("another SHA-256");
    assert!(!again.exists() && !part.exists());
    run(&project, &["artifacts", "latest", "dist/long", "-o", name]).expect(0);
    dev.stop().expect(0);
}

#[test]
fn a_server_that_is_not_there_is_told_from_one_that_refuses() {
    let project = Project::empty();
    run(&project, &["jobs"]).expect(2).says("no Danube is running here").says("start one with `danube dev`");
    let served = Project::pipeline("step.run('true', name='ok')\n");
    let dev = Dev::start(&served, &["--no-run"]);
    let file = served.data().join("dev.json");
    run(&served, &["jobs"]).expect(0);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("changed");
    run(&served, &["jobs"]).expect(2).says("others can read the token");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("changed");
    let url = format!("http://127.0.0.1:{}", dev.port());
    let mut wrong = danube(&served, &["jobs", "--url", &url]);
    Ran::of(wrong.env("DANUBE_TOKEN", "wrong").output().expect("danube starts")).expect(2).says("DANUBE_TOKEN");
    run(&served, &["jobs", "--url", &url]).expect(2).says("there is no token for that server");
    run(&served, &["jobs", "--url", &url, "--token", "secret"]).expect(2).says("--token @FILE").never_says("secret");
    dev.kill();
    run(&served, &["jobs"]).expect(2).says("no Danube is running here");
    against(&url, &["jobs"]).expect(3).says("cannot be reached").says("danube dev");
}

#[test]
fn every_answer_becomes_words() {
    let html = canned::says("502 Bad Gateway", "text/html", "<h1>502</h1>");
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        .to_owned();
    for (answer, code, words) in [
        (canned::refusal("401 Unauthorized", "Who are you?"), 2, "Who are you?\nhint: put a token"),
        (canned::refusal("403 Forbidden", "Not you."), 2, "ask an administrator"),
        (canned::refusal("404 Not Found", "No such thing."), 2, "No such thing."),
        (canned::refusal("409 Conflict", "It has ended."), 2, "It has ended."),
        (canned::refusal("422 Unprocessable Entity", "a:1: wrong"), 2, "a:1: wrong"),
        (canned::refusal("500 Internal Server Error", "Danube failed."), 3, "the request req-7"),
        (canned::refusal("503 Service Unavailable", "Stopping."), 3, "try again in a moment"),
        (canned::refusal("404 Not Found", "bell\u{7}\u{1b}[2J"), 2, "bell\u{fffd}\u{fffd}[2J"),
        (html, 3, "not as Danube does: 502"),
        (moved, 3, "not as Danube does: 302"),
        (canned::says("200 OK", "application/json", "{}"), 3, "not as Danube does"),
        (canned::says("200 OK", "application/json", "{\"jobs\": 7"), 3, "not as Danube does"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned(), 3, "cannot be reached"),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), 3, "cannot be reached"),
        (String::new(), 3, "cannot be reached"),
    ] {
        let url = canned::start(move |_| answer.clone());
        against(&url, &["jobs"]).expect(code).says(words).says("error: ");
    }
}

fn job(number: u64, fields: Value) -> Value {
    let mut job = json!({
        "id": format!("job-{number}"), "pipeline": "unit tests", "number": number, "status": "success", "reason": null, "ref": "main",
        "sha": "0123456789abcdef", "dirty": false, "trigger": "manual", "actor": null, "params": {}, "created_ms": 0, "started_ms": 1000,
        "finished_ms": 63_000, "rerun_of": null, "cancel_requested": false, "attempt": 1, "waiting": null, "new_in_a_later_version": 1,
    });
    let all = job.as_object_mut().expect("an object");
    all.extend(fields.as_object().expect("fields").clone());
    job
}

#[test]
fn a_table_of_jobs() {
    let reason = |kind: &str, message: &str| json!({"kind": kind, "message": message, "advice": ""});
    let jobs = json!({"next": null, "jobs": [
        job(14, json!({"status": "pending", "started_ms": null, "finished_ms": null, "waiting": {"position": 2, "reason": "the limit of 1 job is reached"}})),
        job(13, json!({"status": "failure", "dirty": true, "reason": reason("script", "the danubefile failed")})),
        job(12, json!({"status": "cancelled", "pipeline": "evil\u{1b}[2J\n", "ref": null, "reason": reason("cancelled", "cancelled")})),
        job(9, json!({"sha": null, "ref": "trunk"})),
    ]});
    let url = canned::start(move |_| canned::json(&jobs));
    let table = against(&url, &["jobs"]).expect(0).stdout;
    insta::with_settings!({ filters => vec![(r"\d{5} d ago", "20000 d ago")] }, { insta::assert_snapshot!(table, @r"
    status       job  pipeline    source                         took      created  why
    · pending     14  unit tests  main 0123456789                      20000 d ago  2nd in the queue: the limit of 1 job is reached
    ✘ failure     13  unit tests  main 0123456789, changed  1 min 2 s  20000 d ago  the danubefile failed
    ■ cancelled   12  evil�[2J�   0123456789                1 min 2 s  20000 d ago  cancelled
    ✔ success      9  unit tests  trunk                     1 min 2 s  20000 d ago
    ") });
}

#[test]
fn as_many_pages_are_read_as_are_needed() {
    let url = canned::start(|path| {
        let from: u64 = path.split("before=job-").nth(1).map_or(1000, |id| id.parse().expect("a number"));
        let limit: u64 =
            path.split("limit=").nth(1).and_then(|rest| rest.split('&').next()?.parse().ok()).expect("a limit");
        let last = from - limit.min(200);
        let jobs: Vec<Value> = (last..from).rev().map(|number| job(number, json!({"pipeline": "p"}))).collect();
        canned::json(&json!({"jobs": jobs, "next": format!("job-{last}")}))
    });
    let listed: Value =
        serde_json::from_str(&against(&url, &["jobs", "--json", "--limit", "450"]).expect(0).stdout).expect("JSON");
    let numbers: Vec<u64> =
        listed["jobs"].as_array().expect("jobs").iter().filter_map(|job| job["number"].as_u64()).collect();
    assert_eq!(numbers, (550..1000).rev().collect::<Vec<_>>());
    assert_eq!(listed["next"], "job-550");
}

#[test]
fn a_hostile_server_writes_nowhere_but_into_the_folder() {
    let content = "evil";
    let names = ["../evil", "/tmp/danube-evil", "a/../../evil"];
    for name in names {
        let list =
            json!({"artifacts": [{"name": name, "size": 4, "sha256": hash(content.as_bytes()), "created_ms": 0}]});
        let url = canned::start(move |path| match path {
            path if path.ends_with("/artifacts") => canned::json(&list),
            path if path.contains("/artifacts/") => canned::says("200 OK", "application/octet-stream", content),
            _ => canned::json(&job(1, json!({}))),
        });
        let project = Project::empty();
        let out = project.outside("deep/out");
        let mut command = danube(&project, &["artifacts", "latest", "-o", out.to_str().expect("text")]);
        let ran = Ran::of(command.env("DANUBE_URL", &url).env("DANUBE_TOKEN", "t").output().expect("danube starts"));
        ran.expect(2).says("leads out of any folder");
        assert!(!project.outside("deep/evil").exists() && !project.outside("evil").exists());
        assert!(!fs::exists("/tmp/danube-evil").expect("asked"));
    }
}

/// The stream names a job that never ends, and breaks off again and again.
#[test]
fn a_stream_that_brings_nothing_is_given_up() {
    let url = canned::start(|path| match path {
        path if path.ends_with("/events") => canned::refusal("404 Not Found", "There is no such job any more."),
        _ => canned::json(&job(1, json!({"status": "running"}))),
    });
    against(&url, &["logs", "-f"]).expect(2).says("There is no such job any more.");
}

#[test]
fn shells_understand_their_completions() {
    let scripts: BTreeMap<&str, String> = ["bash", "zsh", "fish"]
        .into_iter()
        .map(|shell| (shell, run(&Project::empty(), &["completions", shell]).expect(0).stdout))
        .collect();
    assert!(scripts.values().all(|script| script.contains("artifacts") && script.contains("trigger")));
    let project = Project::empty();
    project.write("completions", &scripts["bash"]);
    let read = Command::new("bash").arg("-n").arg(project.dir().join("completions")).status().expect("bash is there");
    assert!(read.success());
}
