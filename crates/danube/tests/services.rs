//! `service.start` through the front door: images with a program of their own, readiness, deaths, ports, and what becomes of
//! services when the job or its engine ends.

mod support;

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::dev::Dev;
use support::image::Image;
use support::{Project, Ran};

/// Listens on `$PORT` of loopback once `$WAIT` seconds are over, and greets everybody. Perl's own functions need no file
/// but its program.
const SERVER: &str = r#"$| = 1;
print "user $<, says $ENV{GREETING}\n";
$SIG{TERM} = sub { print "closing\n"; exit 0 };
select undef, undef, undef, $ENV{WAIT} if $ENV{WAIT};
socket(S, 2, 1, 6) or die "socket: $!\n";
setsockopt(S, 1, 2, pack("i", 1));
bind(S, pack("SnC4x8", 2, $ENV{PORT}, 127, 0, 0, 1)) or die "bind: $!\n";
listen(S, 16) or die "listen: $!\n";
open(UP, ">", "/tmp/up"); close UP;
while (1) {
    accept(C, S) or next;
    syswrite(C, "$ENV{GREETING}\n");
    close C;
}
"#;

/// What a step says to it.
const ASK: &str = "ask() { exec 3<>/dev/tcp/127.0.0.1/$1 || return 1; cat <&3; }; ";

/// A project beside whose danubefile the server's image is, as `oci:server`.
fn served(body: &str) -> Project {
    let project = Project::pipeline(body);
    let image = Image::with(&["sh", "perl", "cat", "sleep", "test", "seq"]);
    image.write("srv/server.pl", SERVER);
    let config = json!({
        "Env": ["PATH=/bin", "PORT=5000", "GREETING=hello"], "User": "app", "WorkingDir": "/srv",
        "Entrypoint": ["perl"], "Cmd": ["server.pl"],
    });
    image.oci(&project.dir().join("server"), &config);
    project
}

fn bash(script: &str) -> String {
    format!("step.run({:?}, shell='bash', name='ask')", format!("{ASK}{script}"))
}

/// The job's own record of a service or step by its name.
fn row(ran: &Ran, name: &str) -> Value {
    let job = ran.job();
    let steps = job["steps"].as_array().expect("steps");
    steps.iter().find(|step| step["name"] == name).unwrap_or_else(|| panic!("no {name} in {job}")).clone()
}

fn number(ran: &Ran, name: &str) -> u64 {
    row(ran, name)["step"].as_u64().expect("a number")
}

fn reason(ran: &Ran) -> String {
    ran.job()["reason"]["message"].as_str().expect("a reason").to_owned()
}

#[test]
fn a_service_runs_as_its_image_says_and_steps_reach_it() {
    let project = served(&format!(
        "db = service.start('oci:server', name='db', env={{'GREETING': 'good day', 'WAIT': '0.3', 'PORT': '389'}}, ready=service.tcp(389))
assert (db.name, db.number, db.host) == ('db', 1, '127.0.0.1'), db
{}",
        bash("ask 389")
    ));
    let ran = project.run(&["--json"]).expect(0);
    assert_eq!(ran.lines(2, None), ["good day"]);
    let log = ran.lines(1, None);
    assert_eq!(log.last().map(String::as_str), Some("closing"), "{log:?}");
    assert!(log[0].starts_with("user ") && log[0].ends_with(", says good day"), "{log:?}");
    let started = ran.events().into_iter().find(|event| event["type"] == "step").expect("a step");
    assert_eq!(
        (&started["kind"], &started["image"], &started["name"]),
        (&json!("service"), &json!("oci:server"), &json!("db"))
    );
    let db = row(&ran, "db");
    assert_eq!(
        (&db["kind"], &db["cause"], &row(&ran, "ask")["kind"]),
        (&json!("service"), &json!("stopped"), &json!("step"))
    );
}

#[test]
fn an_image_s_working_directory_and_command_count() {
    let project = served(
        "service.start('oci:server', name='web', ready=service.cmd(['test', '-e', '/tmp/up']),
    command=['-e', '$| = 1; open(F, q(<), q(server.pl)) or die; print qq(at home\\n); open(F, q(>), q(/tmp/up)); sleep 1000'])
step.run('true')",
    );
    let ran = project.run(&["--json"]).expect(0);
    assert_eq!(ran.lines(1, None), ["at home"]);
}

#[test]
fn a_service_is_ready_when_its_program_says_so() {
    let project = served(&format!(
        "db = service.start('oci:server', env={{'WAIT': '0.5'}}, ready=service.cmd(['sh', '-c', 'test -e /tmp/up']))
assert db.name == 'server', db
{}",
        bash("ask 5000")
    ));
    let ran = project.run(&["--json"]).expect(0);
    assert_eq!(
        (ran.lines(2, None), ran.names()),
        (vec!["hello".to_owned()], vec!["server".to_owned(), "ask".to_owned()])
    );
}

#[test]
fn a_service_that_dies_before_it_is_ready_fails_the_job_with_its_last_lines() {
    let project = served(
        "try:
    service.start('oci:server', name='db', command=['-e', 'print \"line $_\\\\n\" for 1..60; exit 3'], ready=service.tcp(5000))
except ServiceDied as error:
    print('told:', str(error).splitlines()[0])
step.run('echo went on', name='after')",
    );
    let ran = project.run(&["--json"]).expect(1).because("service");
    let told = reason(&ran);
    assert!(told.starts_with("the service `db` ended with exit code 3; its last lines:\n  line 11\n"), "{told}");
    assert!(told.ends_with("\n  line 60") && told.lines().count() == 51, "{told}");
    assert_eq!(ran.lines(0, None)[0], "told: the service `db` ended with exit code 3; its last lines:");
    assert_eq!(row(&ran, "after")["exit_code"], 0, "who handles it may go on, and fails all the same");
    let shown = project.run(&[]).expect(1);
    let words = "✘ failure in ";
    let last = shown.stdout.lines().find(|line| line.starts_with(words)).expect("a verdict").to_owned();
    assert!(last.ends_with(": the service `db` ended with exit code 3 (service)"), "{last}");
    shown.says("▶ 1 service db  [oci:server]").says("line 60");
}

#[test]
fn a_service_that_dies_while_a_step_runs_ends_the_job() {
    let project = served(
        "service.start('oci:server', name='db', ready=service.tcp(5000), command=['-e', '$SIG{ALRM} = sub { print \"giving up\\\\n\"; kill 9, $$ }; alarm 1; do \"./server.pl\"'])
try:
    step.run('exec sleep 1000', name='long')
finally:
    step.run('echo undone', name='undo')",
    );
    let ran = project.run(&["--json"]).expect(1).because("service");
    let told = reason(&ran);
    assert!(told.starts_with("the service `db` was ended by signal 9 (SIGKILL); its last lines:\n"), "{told}");
    assert!(told.ends_with("\n  giving up"), "{told}");
    assert_eq!((row(&ran, "long")["cause"].as_str(), ran.lines(3, None)), (Some("stopped"), vec!["undone".to_owned()]));
    assert!(ran.lines(0, None).join("\n").contains("a service of the job has died"), "{}", ran.stdout);
}

#[test]
fn a_service_that_ends_with_0_has_died_too() {
    let project = served(
        "service.start('oci:server', name='once', command=['-e', 'print \"done\\\\n\"; sleep 1'])
step.run('exec sleep 1000', name='long')",
    );
    let ran = project.run(&["--json"]).expect(1).because("service");
    assert!(
        reason(&ran).starts_with("the service `once` ended with exit code 0; its last lines:\n  done"),
        "{}",
        reason(&ran)
    );
}

#[test]
fn a_service_that_is_not_ready_in_time_is_told_with_its_last_lines_and_stopped() {
    let project = served(
        "for number, ready in enumerate([service.tcp(5999), service.cmd(['sh', '-c', 'echo no response; exit 2'])]):
    try:
        service.start('oci:server', name=f'db{number}', env={'PORT': f'500{number}'}, ready=ready, timeout=1)
    except ServiceNotReady as error:
        print(error)
step.run('true', name='after')",
    );
    let ran = project.run(&["--json"]).expect(0);
    let said = ran.lines(0, None);
    assert_eq!(
        said[0],
        "the service `db0` was not ready after 1 s: nothing accepts connections on 127.0.0.1:5999; its last lines:"
    );
    assert!(said[1].starts_with("  user ") && said[2] == "  closing", "{said:?}");
    assert!(said[3].starts_with("the service `db1` was not ready after 1 s: `sh -c echo no response; exit 2` ended with exit code 2: no response"), "{said:?}");
    assert_eq!(row(&ran, "db0")["cause"], "timed_out");
}

#[test]
fn an_image_without_a_program_needs_a_command() {
    let project = Project::pipeline("service.start('tar:box.tar', name='box')\nstep.run('sleep 1000')");
    Image::usual().tar(&project.dir().join("box.tar"));
    let ran = project.run(&["--json"]).expect(1).because("service");
    assert!(reason(&ran).contains("could not be started: the image names no program of its own"), "{}", reason(&ran));
}

#[test]
fn services_of_one_image_share_nothing_but_the_network() {
    let project = served(&format!(
        "one = service.start('oci:server', name='one', env={{'GREETING': 'first'}}, ready=service.tcp(5000))
try:
    service.start('oci:server', name='clash', ready=service.tcp(5000))
except UsageError as error:
    print(error)
try:
    service.start('oci:server', name='one', ready=service.tcp(5001))
except UsageError as error:
    print(error)
where = 'oci:' + 'server'
with service.start(where, name='two', env={{'GREETING': 'second', 'PORT': '5001'}}, ready=service.cmd(['sh', '-c', 'test -e /tmp/up'])):
    {}
one.stop()
one.stop()
service.start('oci:server', name='one', env={{'GREETING': 'third'}}, ready=service.tcp(5000))
{}",
        bash("ask 5000; ask 5001"),
        bash("ask 5000; if (ask 5001); then exit 1; fi"),
    ));
    let ran = project.run(&["--json"]).expect(0);
    let said = ran.lines(0, None).join("\n");
    assert!(said.contains("the service `one` has port 5000 already"), "{said}");
    assert!(said.contains("a service called `one` runs already"), "{said}");
    let asked: Vec<_> = (1..=ran.names().len() as u64).map(|step| ran.lines(step, None)).collect();
    assert_eq!(ran.names(), ["one", "two", "ask", "one", "ask"]);
    assert_eq!(asked[2], ["first", "second"]);
    assert_eq!(asked[4][0], "third", "{asked:?}");
}

#[test]
fn a_port_that_anybody_listens_on_is_refused() {
    let project = served(
        "try:
    service.start('oci:server', name='web', env={'PORT': '443'}, ready=service.tcp(443))
except UsageError as error:
    print(error)
step.run('true')",
    );
    let ran = project.run(&["--json"]).expect(0);
    let said = ran.lines(0, None).join("\n");
    assert!(said.contains("127.0.0.1:443 already") && said.contains("docs/egress.md"), "{said}");
}

#[test]
fn this_machine_s_own_programs_can_be_services() {
    let project = Project::pipeline(&format!(
        "try:
    service.start('host')
except UsageError as error:
    print(error)
step.run('cp server.pl built.pl', name='build')
service.start('host', command=['perl', 'built.pl'], env={{'PORT': '5000', 'GREETING': 'from here'}}, ready=service.tcp(5000))
{}",
        bash("ask 5000")
    ));
    project.write("server.pl", SERVER);
    let ran = project.run(&["--json"]).expect(0);
    assert!(ran.lines(0, None).join("\n").contains("`host` has no program of its own"));
    assert_eq!(ran.names(), ["build", "perl", "ask"]);
    assert_eq!(ran.lines(3, None), ["from here"]);
}

#[test]
fn finally_still_reaches_services_when_the_job_is_cancelled() {
    let project = served(&format!(
        "service.start('oci:server', name='db', ready=service.tcp(5000))
try:
    step.run('echo working; exec sleep 1000', name='long')
finally:
    {}",
        bash("ask 5000")
    ));
    let mut run = project.watch(&[]);
    run.until_line("working").signal(Signal::INT);
    let ran = run.end().expect(130).because("cancelled");
    assert_eq!(ran.lines(3, None), ["hello"]);
    assert_eq!(
        (row(&ran, "db")["cause"].as_str(), ran.lines(1, None).pop()),
        (Some("stopped"), Some("closing".to_owned()))
    );
}

#[test]
fn a_cancel_while_a_service_comes_up_ends_it() {
    let project =
        served("service.start('oci:server', name='db', env={'WAIT': '1000'}, ready=service.tcp(5000), timeout='10m')");
    let mut run = project.watch(&[]);
    run.until(|event| event["type"] == "log" && event["step"] == 1);
    run.signal(Signal::INT);
    let ran = run.end().expect(130).because("cancelled");
    assert_eq!(row(&ran, "db")["cause"], "stopped");
}

#[test]
fn a_stubborn_service_does_not_keep_the_job() {
    let project = served(
        "service.start('oci:server', name='db', command=['-e', '$SIG{TERM} = sub {}; open(F, q(>), q(/tmp/up)); sleep 1 while 1'],
    ready=service.cmd(['test', '-e', '/tmp/up']))
step.run('true', name='only')",
    );
    let ran = project.run(&["--json"]).expect(0);
    assert_eq!((&row(&ran, "db")["cause"], &row(&ran, "db")["exit_code"]), (&json!("stopped"), &json!(137)));
}

#[test]
fn a_master_shows_services_among_the_steps() {
    let project =
        served(&format!("service.start('oci:server', name='db', ready=service.tcp(5000))\n{}", bash("ask 5000")));
    let dev = Dev::start(&project, &[]);
    let job = dev.end("latest");
    let steps = job["steps"].as_array().expect("steps");
    let shown = |step: &Value| {
        ["kind", "name", "status", "cause"].map(|field| step[field].as_str().unwrap_or_default().to_owned())
    };
    let wanted = [
        ["step", "danubefile", "success", "exited"],
        ["service", "db", "success", "stopped"],
        ["step", "ask", "success", "exited"],
    ];
    assert_eq!(steps.iter().map(shown).collect::<Vec<_>>(), wanted);
    let id = job["id"].as_str().expect("an id");
    let log = dev.get(&format!("/jobs/{id}/log.txt"));
    assert!(log.as_str().is_some_and(|log| log.contains("db") && log.contains("closing")), "{log}");
    assert_eq!(dev.get(&format!("/jobs/{id}/search?q=closing"))["matches"][0]["step"], 1);
    dev.stop().expect(0);
}

#[test]
fn the_example_is_as_its_readme_says() {
    let project = Project::empty();
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/services");
    for name in ["danubefile.py", "look.py", "site/index.html", "site/robots.txt"] {
        project.write(name, fs::read(example.join(name)).expect("a file of the example"));
    }
    let ran = project.run(&["--json"]).expect(0);
    // The two pages are looked at side by side.
    let mut names = ran.names();
    names[1..].sort();
    assert_eq!(names, ["web", "robots", "the first page"]);
    assert!(ran.lines(1, None).iter().any(|line| line.contains("GET /robots.txt")), "{}", ran.stdout);
    let broken = fs::read_to_string(example.join("site/index.html")).expect("a page").replace("<h1>", "<h2>");
    project.write("site/index.html", broken);
    project.run(&["--json"]).expect(1).because("script");
}

#[test]
fn a_secret_in_a_service_s_log_is_hidden() {
    let project = served(
        "service.start('oci:server', name='db', env={'GREETING': secrets.get('WORD')}, ready=service.tcp(5000), command=['-e', 'do \"./server.pl\"'])
step.run('true')",
    );
    fs::write(project.outside("word"), "open-sesame-42").expect("written");
    let at = format!("WORD=@{}", project.outside("word").display());
    let ran = project.run(&["--json", "--secret", &at]).expect(0).never_says("open-sesame-42");
    assert!(ran.lines(number(&ran, "db"), None)[0].ends_with("says ***"));
}
