//! The same stories on both runtimes, through `danube serve`: sandboxes on this machine, and pods of a real cluster
//! (`checks/kube`; without one those say that they were not tried). A difference is a fault, or a line of docs/kubernetes.md.

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::dev::Dev;
use support::git::git_in;
use support::image::Image;
use support::site::Site;

/// Each story is told twice.
macro_rules! stories {
    ($($story:ident),* $(,)?) => {
        mod on_this_machine {
            $(#[test] fn $story() {
                if let Some(site) = super::site() { super::$story(&site); }
            })*
        }
        mod on_a_cluster {
            $(#[test] fn $story() {
                if let Some(site) = super::Site::on_cluster("step.run('true')") {
                    super::$story(&site);
                    site.cluster().empty();
                }
            })*
        }
    };
}

stories! {
    a_commit_is_checked_out_with_its_history,
    a_failing_step_fails_the_job_and_cleanup_runs,
    two_images_share_a_workspace_and_files_are_kept,
    a_service_runs_what_its_image_says,
    an_image_that_is_computed_is_added_while_the_job_runs,
    an_image_that_is_not_there_is_told_in_words,
    much_output_arrives_whole,
    a_cancelled_job_ends_and_leaves_nothing,
    a_job_that_takes_too_long_is_stopped,
    a_step_that_needs_too_much_memory_is_told_so,
}

/// A site on this machine, with an image in which the stories can be told.
fn site() -> Option<Site> {
    let site = Site::new("step.run('true')")?;
    let image = Image::with(&[
        "sh", "bash", "cat", "chmod", "cut", "git", "head", "id", "seq", "sleep", "tail", "test", "touch", "true",
    ]);
    site.push(&image, "worker", &json!({ "Env": ["PATH=/bin"] }));
    Some(site)
}

/// A job to its end.
fn built(site: &Site, arguments: &str, body: &str) -> (Dev, Value) {
    site.pipeline_with(&format!("image='{}'{arguments}", site.named("worker")), body);
    site.commit("the story");
    let serve = site.start();
    let job = serve.post("/pipelines/app/jobs", "", 201);
    let job = serve.end(job["id"].as_str().expect("an id"));
    (serve, job)
}

/// What a step printed.
fn raw(serve: &Dev, job: &Value, step: u32) -> String {
    let raw = serve.get(&format!("/jobs/{}/steps/{step}/raw", job["id"].as_str().expect("an id")));
    raw.as_str().map_or_else(|| raw.to_string(), str::to_owned)
}

fn ends(serve: Dev, job: &Value, status: &str) {
    assert_eq!(job["status"], status, "{job}");
    serve.stop_by(Signal::TERM).expect(0).says("no job is running");
}

fn a_commit_is_checked_out_with_its_history(site: &Site) {
    site.project.write("tool.sh", "#!/bin/sh\necho a program\n");
    std::os::unix::fs::symlink("tool.sh", site.project.dir().join("link")).expect("linked");
    git_in(&site.project.dir(), &["update-index", "--add", "--chmod=+x", "tool.sh"]);
    let body = "step.run('git log --format=%s; git rev-parse HEAD')
step.run('git status --porcelain --branch; test -x tool.sh; ./link; touch new; git status --porcelain')";
    std::fs::set_permissions(site.project.dir().join("tool.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("set");
    let (serve, job) = built(site, "", body);
    let sha = job["sha"].as_str().expect("a commit").to_owned();
    assert_eq!(raw(&serve, &job, 1), format!("the story\nfirst\n{sha}\n"));
    assert_eq!(raw(&serve, &job, 2), "## trunk\na program\n?? new\n");
    ends(serve, &job, "success");
}

fn a_failing_step_fails_the_job_and_cleanup_runs(site: &Site) {
    let (serve, job) =
        built(site, "", "try:\n    step.run('echo broken; exit 3')\nfinally:\n    step.run('echo cleaned')");
    assert_eq!((&job["reason"]["kind"], &job["steps"][1]["exit_code"]), (&json!("script"), &json!(3)), "{job}");
    assert_eq!((raw(&serve, &job, 1), raw(&serve, &job, 2)), ("broken\n".to_owned(), "cleaned\n".to_owned()));
    ends(serve, &job, "failure");
}

fn two_images_share_a_workspace_and_files_are_kept(site: &Site) {
    site.push(&Image::with(&["sh", "cat"]), "small", &json!({ "Env": ["PATH=/bin"] }));
    let body = format!(
        "step.run('seq 1 100000 > numbers; echo one > word')\nstep.run('cat word; test ! -e /bin/git', image='{}')\nartifacts.upload('numbers')",
        site.named("small")
    );
    let (serve, job) = built(site, "", &body);
    assert_eq!(raw(&serve, &job, 2), "one\n", "{job}");
    let kept = serve.get(&format!("/jobs/{}/artifacts", job["id"].as_str().expect("an id")));
    let numbers: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
    let kept = &kept["artifacts"][0];
    assert_eq!((&kept["name"], &kept["sha256"]), (&json!("numbers"), &json!(hex::encode(Sha256::digest(numbers)))));
    ends(serve, &job, "success");
}

/// Listens on `$PORT` of loopback and greets everybody.
const SERVER: &str = r#"$| = 1;
print "user $<, says $ENV{GREETING}\n";
$SIG{TERM} = sub { print "closing\n"; exit 0 };
socket(S, 2, 1, 6) or die "socket: $!\n";
setsockopt(S, 1, 2, pack("i", 1));
bind(S, pack("SnC4x8", 2, $ENV{PORT}, 127, 0, 0, 1)) or die "bind: $!\n";
listen(S, 16) or die "listen: $!\n";
while (1) {
    accept(C, S) or next;
    syswrite(C, "$ENV{GREETING}\n");
    close C;
}
"#;

fn a_service_runs_what_its_image_says(site: &Site) {
    let image = Image::with(&["sh", "perl"]);
    image.write("srv/server.pl", SERVER);
    let config = json!({
        "Env": ["PATH=/bin", "PORT=5000", "GREETING=hello"], "User": "app", "WorkingDir": "/srv",
        "Entrypoint": ["perl"], "Cmd": ["server.pl"],
    });
    site.push(&image, "server", &config);
    let body = format!(
        "service.start('{}', name='db', ready=service.tcp(5000))\nstep.run('exec 3<>/dev/tcp/127.0.0.1/5000; cat <&3', shell='bash')",
        site.named("server")
    );
    let (serve, job) = built(site, "", &body);
    assert_eq!(raw(&serve, &job, 2), "hello\n", "{job}");
    assert_eq!(raw(&serve, &job, 1), "user 1234, says hello\nclosing\n");
    let containers = job["containers"].as_array().map_or(0, Vec::len);
    assert_eq!(containers, 3, "it is where a place was made for it: {job}");
    ends(serve, &job, "success");
}

fn an_image_that_is_computed_is_added_while_the_job_runs(site: &Site) {
    site.push(&Image::with(&["sh", "cat"]), "late", &json!({ "Env": ["PATH=/bin", "WHO=late"] }));
    let body = format!(
        "step.run('echo early > word')\nname = '{}'\nfor n in range(2):\n    step.run('cat word; echo $WHO', image=name)",
        site.named("late")
    );
    let (serve, job) = built(site, "", &body);
    assert_eq!(
        (raw(&serve, &job, 2), raw(&serve, &job, 3)),
        ("early\nlate\n".to_owned(), "early\nlate\n".to_owned()),
        "{job}"
    );
    ends(serve, &job, "success");
}

fn an_image_that_is_not_there_is_told_in_words(site: &Site) {
    let missing = site.named("nowhere");
    site.pipeline(&missing, "step.run('true')");
    site.commit("the story");
    let serve = site.start();
    let job = serve.post("/pipelines/app/jobs", "", 201);
    let job = serve.end(job["id"].as_str().expect("an id"));
    let said = job["reason"]["message"].as_str().expect("words");
    assert_eq!(job["reason"]["kind"], "image_pull", "{job}");
    assert!(said.contains(&format!("`{missing}` cannot be used")) && said.contains("does not have it"), "{said}");
    // One that is computed fails its step only.
    let body = format!(
        "try:\n    step.run('true', image='{missing}'[:])\nexcept ImageUnavailable as error:\n    print(error)\nstep.run('echo on')"
    );
    drop(serve);
    let (serve, job) = built(site, "", &body);
    ends(serve, &job, "success");
}

fn much_output_arrives_whole(site: &Site) {
    let (serve, job) = built(site, "", "step.run('seq 1 400000')");
    let expected: String = (1..=400_000).map(|n| format!("{n}\n")).collect();
    assert!(raw(&serve, &job, 1) == expected, "{job}");
    ends(serve, &job, "success");
}

fn a_cancelled_job_ends_and_leaves_nothing(site: &Site) {
    site.pipeline(
        &site.named("worker"),
        "try:\n    step.run('echo begun; sleep 600')\nfinally:\n    step.run('echo cleaned')",
    );
    site.commit("the story");
    let serve = site.start();
    let id = serve.post("/pipelines/app/jobs", "", 201)["id"].as_str().expect("an id").to_owned();
    // The danubefile itself is the first.
    serve.until(&id, |job| job["steps"].as_array().is_some_and(|steps| steps.len() > 1));
    serve.post(&format!("/jobs/{id}/cancel"), "", 202);
    let job = serve.end(&id);
    assert_eq!(raw(&serve, &job, 2), "cleaned\n", "{job}");
    ends(serve, &job, "cancelled");
}

fn a_job_that_takes_too_long_is_stopped(site: &Site) {
    let (serve, job) = built(site, ", timeout='3s', cleanup_timeout='20s'", "step.run('sleep 600')");
    assert_eq!(job["reason"]["kind"], "timeout", "{job}");
    ends(serve, &job, "timeout");
}

fn a_step_that_needs_too_much_memory_is_told_so(site: &Site) {
    let hungry = "head -c 200000000 /dev/zero | tail -c 150000000 > /dev/null";
    let body = format!("try:\n    step.run('{hungry}')\nfinally:\n    step.run('echo cleaned')");
    let (serve, job) = built(site, ", memory='64Mi'", &body);
    if job["status"] == "success" {
        println!("skipped: this machine sets no memory limits");
        return ends(serve, &job, "success");
    }
    let said = job["reason"]["message"].as_str().unwrap_or_default();
    assert_eq!(job["reason"]["kind"], "oom", "{job}");
    assert!(said.starts_with("worker ran out of memory: limit 64 MiB"), "{said}");
    assert_eq!(raw(&serve, &job, 2), "cleaned\n", "only the step died of it");
    ends(serve, &job, "failure");
}
