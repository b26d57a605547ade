//! A step as the attacker: as the `host` image's user, and as uid 0 of an image. Everything it tries fails, and the test
//! says how; what it can do to its own container does not reach the shim, the master, another job or the machine.

mod support;

use support::Project;
use support::dev::Dev;
use support::image::Image;
use support::processes::one_stands;

/// Deeds that must fail: a name, a command, and a word of the reason.
const DEEDS: &[(&str, &str, &[&str])] = &[
    ("write the memory of PID 1", "dd if=/dev/zero of=/proc/1/mem count=1", &["Permission denied"]),
    ("read the environment of PID 1", "cat /proc/1/environ", &["Permission denied"]),
    ("enter the root of PID 1", "ls /proc/1/root/", &["Permission denied"]),
    ("read what PID 1 has open", "cat /proc/1/fd/0 /proc/1/fd/3 /proc/1/fd/4", &["Permission denied"]),
    ("read the maps of PID 1", "cat /proc/1/maps", &["Permission denied"]),
    ("read the machine's passwords", "cat /etc/shadow", &["No such file", "Permission denied"]),
    ("list the caller's home", "ls -A \"$CALLER_HOME\"/.ssh", &["No such file", "Permission denied"]),
    ("list the data directory", "ls \"$DATA\"", &["No such file", "Permission denied"]),
    ("list the machine's runtime state", "ls /run/dbus /run/systemd /var/lib/dpkg", &["No such file"]),
    ("reach the SDK's mailbox", "cat /danube/mailbox.sock", &["No such file"]),
    ("see the danubefile's copy", "ls /danube/src", &["No such file"]),
    ("mount", "mount -t tmpfs none /tmp", &["ermission denied", "not permitted", "must be superuser"]),
    ("make a user namespace", "unshare -U true", &["not permitted", "No space left"]),
    ("make a network namespace", "unshare -n true", &["not permitted"]),
    ("make a device", "mknod /tmp/disk b 254 0", &["not permitted"]),
    ("change the root", "chroot /tmp /bin/true", &["not permitted"]),
    ("set the clock", "date -s @0", &["not permitted"]),
    ("turn a knob of the kernel", "echo 1 > /proc/sys/kernel/sysrq", &["Read-only", "denied"]),
    ("read the kernel's log", "dmesg", &["not permitted"]),
    ("load a program into the kernel", "echo x > /proc/sysrq-trigger", &["Read-only", "denied"]),
];

/// A script that does each deed and says how it went.
fn script(deeds: &[(&str, &str, &[&str])]) -> String {
    let lines = deeds.iter().map(|(name, deed, _)| {
        format!(
            "if said=$( {{ {deed}; }} 2>&1 ); then echo \"DONE {name}: $said\"; else echo \"denied {name}: $said\"; fi"
        )
    });
    let lines: Vec<String> = lines.collect();
    lines.join("\n")
}

/// A project that does the deeds in an image.
fn attack(image: &str, deeds: &[(&str, &str, &[&str])]) -> Project {
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".into());
    let project = Project::pipeline(
        "import ctx_env\nstep.run(open('/workspace/deeds.sh').read(), name='deeds', env=ctx_env.ENV, errexit=False)",
    );
    project.write("deeds.sh", script(deeds));
    let env = format!("ENV = {{'CALLER_HOME': {home:?}, 'DATA': {:?}}}\n", project.data().to_string_lossy());
    project.write("ctx_env.py", env);
    let file = std::fs::read_to_string(project.dir().join("danubefile.py")).expect("read");
    project.write(
        "danubefile.py",
        file.replace("@pipeline(name=\"test\")", &format!("@pipeline(name='test', image={image:?})")),
    );
    project
}

/// Runs the deeds in an image and checks every answer.
fn all_denied(image: &str, arguments: &[&str], deeds: &[(&str, &str, &[&str])]) {
    let ran = attack(image, deeds).run(arguments).expect(0);
    each_denied(&ran.stdout, deeds);
}

fn each_denied(log: &str, deeds: &[(&str, &str, &[&str])]) {
    assert!(!log.contains("DONE "), "{log}");
    for (name, _, reasons) in deeds {
        let line = log.lines().find(|line| line.contains(&format!("denied {name}:")));
        let line = line.unwrap_or_else(|| panic!("`{name}` left no answer in\n{log}"));
        // A reason of several lines goes on below; the first one must tell.
        let at = log.find(line).expect("just found");
        let said: String = log[at..].lines().take(4).collect();
        assert!(reasons.iter().any(|reason| said.contains(reason)), "`{name}` was denied for another reason: {said}");
    }
}

#[test]
fn the_hosts_programs_in_a_strangers_hands_reach_nothing() {
    all_denied("host", &[], DEEDS);
}

/// Its containers were made before anybody knew for whom.
#[test]
fn what_was_started_ahead_in_a_strangers_hands_reaches_nothing() {
    let project = attack("host", DEEDS);
    let dev = Dev::start(&project, &["--no-run"]);
    // The second one has the worker as well: it is like the job before.
    for _ in 0..2 {
        let spare = one_stands(&project);
        let job = dev.post("/pipelines/test/jobs", "", 201);
        let job = job["id"].as_str().expect("an id");
        assert_eq!(dev.end(job)["status"], "success");
        assert!(!spare.exists(), "it was used");
        let log = dev.get(&format!("/jobs/{job}/steps/1/raw"));
        each_denied(log.as_str().expect("a log"), DEEDS);
    }
    dev.stop().expect(0);
}

#[test]
fn uid_0_of_an_image_reaches_nothing() {
    let image = Image::with(&[
        "sh", "dd", "cat", "ls", "mount", "unshare", "mknod", "chroot", "date", "dmesg", "true", "kill", "sleep", "id",
    ]);
    let place = tempfile::tempdir().expect("folder");
    let tar = place.path().join("root.tar");
    image.tar(&tar);
    all_denied("root", &["--image", &format!("root=tar:{}", tar.display())], DEEDS);
}

#[test]
fn pid_1_outlives_every_signal_of_its_steps() {
    let image = Image::with(&["sh", "kill", "id", "cat"]);
    let place = tempfile::tempdir().expect("folder");
    let tar = place.path().join("root.tar");
    image.tar(&tar);
    for (name, source) in [("host", "host".to_owned()), ("root", format!("tar:{}", tar.display()))] {
        let project = Project::pipeline(&format!(
            "step.run('for s in 9 19 15 1 2 3 10 12 17 6 11; do kill -$s 1 || true; done; echo survived', image='{name}')\n\
             step.run('echo next', image='{name}')"
        ));
        let argument = format!("{name}={source}");
        project.run(&["--image", &argument]).expect(0).says("│ survived").says("│ next").says("success");
    }
}

#[test]
fn an_exit_cannot_be_forged() {
    // The step tries all it can to look as if it had succeeded, and fails.
    let project = Project::pipeline(
        "step.run('''\n\
         echo '{\"ok\":{\"exit_code\":0}}' > /proc/1/fd/1 || true\n\
         echo 0 > /danube/exit || true\n\
         ( setsid sleep 1000 & )\n\
         exec sh -c 'kill -9 $$'\n''', name='liar')",
    );
    project.run(&[]).expect(1).says("exit 137").says("signal 9");
}

#[test]
fn addresses_names_and_other_resolvers_are_out_of_reach() {
    let python = r#"
import errno, os, socket
def attempt(name, deed):
    try:
        deed()
        print("DONE", name)
    except OSError as error:
        print("denied", name, errno.errorcode.get(error.errno, error), flush=True)
def connect(address, port, kind=socket.SOCK_STREAM, family=socket.AF_INET):
    def deed():
        with socket.socket(family, kind) as s:
            s.settimeout(3)
            s.connect((address, port))
            if kind == socket.SOCK_DGRAM:
                s.send(b"\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01")
                s.recv(512)
    return deed
attempt("private-ip", connect("10.0.0.1", 443))
attempt("metadata-ip", connect("169.254.169.254", 80))
attempt("public-ip", connect("203.0.113.80", 443))
attempt("host-loopback", connect("127.0.0.1", int(os.environ["PORT"])))
attempt("other-resolver", connect("8.8.8.8", 53, socket.SOCK_DGRAM))
attempt("other-resolver-tcp", connect("1.1.1.1", 53))
attempt("udp", connect("203.0.113.80", 443, socket.SOCK_DGRAM))
attempt("ipv6", connect("2001:db8::1", 443, family=socket.AF_INET6))
attempt("unlisted-name", lambda: socket.getaddrinfo("unlisted.example.com", 443))
attempt("packet-socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
attempt("raw-socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt("vsock", lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM))
"#;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener of the machine");
    let port = listener.local_addr().expect("bound").port();
    let project = Project::pipeline(&format!("step.run(['python3', 'attack.py'], env={{'PORT': '{port}'}})"));
    project.write("attack.py", python);
    let ran = project.run(&["--egress", "deny"]).expect(0).never_says("DONE");
    for (name, reason) in [
        ("private-ip", "ENETUNREACH"),
        ("metadata-ip", "ENETUNREACH"),
        ("public-ip", "ENETUNREACH"),
        ("host-loopback", "ECONNREFUSED"),
        ("other-resolver", "ENETUNREACH"),
        ("other-resolver-tcp", "ENETUNREACH"),
        ("udp", "ENETUNREACH"),
        ("ipv6", "ENETUNREACH"),
        ("unlisted-name", ""),
        ("packet-socket", "EAFNOSUPPORT"),
        ("raw-socket", "EPERM"),
        ("vsock", "EAFNOSUPPORT"),
    ] {
        let denied = ran.stdout.lines().any(|line| line.contains(&format!("denied {name} ")) && line.contains(reason));
        assert!(denied, "{name} was not denied with {reason}:\n{}", ran.stdout);
    }
    ran.says("network: unlisted.example.com was refused");
}

#[test]
fn two_runs_at_once_do_not_see_each_other() {
    let waits = Project::pipeline("step.run('echo begun; while ! [ -e stop ]; do sleep 0.05; done', name='waits')");
    let mut first = waits.watch(&[]);
    first.until(|event| event["type"] == "log");
    let look = Project::pipeline(
        "step.run('ls /proc | grep -c \"^[0-9]\"; cat /proc/[0-9]*/cmdline | tr \"\\\\0\" \" \"', name='look')",
    );
    look.run(&[]).expect(0).never_says("while ! [");
    first.signal(rustix::process::Signal::INT);
    assert_eq!(first.child.wait().expect("ended").code(), Some(130));
}
