//! What programs expect of a machine, found in the `host` image: each line here broke a real project's build or
//! would have (docs/real-projects.md).

mod support;

use support::Project;

/// Runs one script in which every line must hold, with these variables in the caller's environment.
fn holds(script: &str, caller: &[(&str, &str)]) {
    let project = Project::empty();
    project.write("expects.sh", script);
    project.write(
        "danubefile.py",
        "from danube import pipeline, step\n\n@pipeline(image=\"host\")\ndef build():\n    step.run(\"sh -ex expects.sh 2>&1\")\n",
    );
    let mut command = project.command(&["--egress", "deny"]);
    command.envs(caller.iter().copied());
    support::Ran::of(command.output().expect("danube starts")).expect(0);
}

#[test]
fn names_that_need_no_network_resolve() {
    holds(
        r#"
        getent hosts "$(hostname)"
        getent ahostsv4 localhost | grep -q 127.0.0.1
        getent hosts ip6-localhost | grep -q ::1
        getent services https | grep -q 443
        getent protocols tcp
        getent passwd "$(id -u)" | grep -q "$HOME"
        python3 -c '
import socket
for family, address in (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"):
    server = socket.create_server((address, 0), family=family)
    socket.create_connection(server.getsockname()[:2])
server = socket.create_server(("localhost", 8080))
socket.create_connection((socket.gethostname(), 8080))
'
        "#,
        &[],
    );
}

#[test]
fn the_system_and_its_devices_are_there() {
    holds(
        r#"
        . /etc/os-release && test -n "$ID"
        test -w /dev/shm && test -w /tmp && test -w /var/tmp && test -w "$HOME"
        python3 -c 'import os, multiprocessing; os.openpty(); multiprocessing.Lock()'
        for linked in $(find -L /usr/share/maven -maxdepth 2 -type l 2>/dev/null); do echo "$linked leads nowhere"; false; done
        "#,
        &[],
    );
}

#[test]
fn programs_that_a_step_installs_for_itself_are_found() {
    holds(
        r#"
        for dir in "$HOME/.local/bin" "$HOME/.cargo/bin" "$HOME/go/bin"; do
            mkdir -p "$dir"
            printf '#!/bin/sh\necho mine\n' > "$dir/installed-here"
            chmod +x "$dir/installed-here"
            test "$(installed-here)" = mine
            rm "$dir/installed-here"
        done
        "#,
        &[],
    );
}

#[test]
fn the_machines_certificates_are_named_and_nothing_else_of_the_environment() {
    holds(
        r#"
        test "$NODE_EXTRA_CA_CERTS" = /etc/ssl/openssl.cnf
        test -z "$SSL_CERT_FILE$ANYTHING"
        "#,
        &[
            ("NODE_EXTRA_CA_CERTS", "/etc/ssl/openssl.cnf"),
            ("SSL_CERT_FILE", "/home/user/own.pem"),
            ("ANYTHING", "else"),
        ],
    );
}
