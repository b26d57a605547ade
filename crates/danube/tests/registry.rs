//! Images from a registry: a real one, on this machine.

mod support;

use std::fs;

use danube_testutils::Registry;
use rustix::process::Signal;
use serde_json::json;
use support::image::Image;
use support::{Project, Ran};

/// A pipeline with this body in which `HOST` is the registry with the usual image as `team/tool:1`, and its digest.
fn pushed(registry: &Registry, body: &str) -> (Project, String) {
    let project = Project::pipeline(&body.replace("HOST", &registry.host));
    let layout = project.outside("layout");
    Image::usual().oci(&layout, &json!({ "Env": ["PATH=/bin", "FROM=registry"], "User": "app" }));
    let digest = registry.push(&layout, "team/tool", "1");
    (project, digest)
}

#[test]
fn a_step_runs_in_an_image_from_a_registry_beside_one_of_this_machine() {
    let Some(registry) = Registry::start() else { return };
    let body = "step.run('echo from host > note; chmod a+r note')
step.run('cat note; echo $FROM; id -un; test ! -e /usr/bin/python3', image='HOST/team/tool:1')
step.run('echo computed', image='HOST/team/' + 'tool:1')";
    let (project, _) = pushed(&registry, body);
    for _ in 0..2 {
        let ran = project.run(&["--json"]).expect(0);
        assert_eq!(ran.lines(2, None)[..2], ["from host", "registry"]);
        assert_eq!(ran.lines(3, None), ["computed"]);
    }
}

#[test]
fn an_image_by_digest_needs_no_registry_once_it_is_here() {
    let Some(registry) = Registry::start() else { return };
    let (project, digest) =
        pushed(&registry, "step.run('echo here', image=f'HOST/team/tool@{open(\"digest\").read()}')");
    project.write("digest", digest);
    project.run(&["--json"]).expect(0);
    drop(registry);
    assert_eq!(project.run(&["--json"]).expect(0).lines(1, None), ["here"]);
}

#[test]
fn a_tag_that_was_moved_is_another_image_for_the_next_job() {
    let Some(registry) = Registry::start() else { return };
    let (project, _) = pushed(&registry, "step.run('echo $FROM', image='HOST/team/tool:1')");
    assert_eq!(project.run(&["--json"]).expect(0).lines(1, None), ["registry"]);
    let layout = project.outside("other");
    Image::usual().oci(&layout, &json!({ "Env": ["PATH=/bin", "FROM=moved"] }));
    registry.push(&layout, "team/tool", "1");
    assert_eq!(project.run(&["--json"]).expect(0).lines(1, None), ["moved"]);
}

#[test]
fn what_cannot_be_pulled_is_told_before_any_step_or_to_the_step_that_computed_it() {
    let Some(registry) = Registry::start() else { return };
    let (project, _) = pushed(&registry, "step.run('true', image='HOST/team/tool:2')");
    let ran = project.run(&["--json"]).expect(2).because("image_pull");
    ran.says("/team/tool:2`").says("does not have it").says("docker login");
    let body = "try:
    step.run('true', image='HOST/team/' + 'tool:2')
except ImageUnavailable as error:
    print('caught', error)
step.run('echo goes on', image='HOST/team/' + 'tool:1')";
    let (project, _) = pushed(&registry, body);
    let ran = project.run(&["--json"]).expect(0);
    assert!(ran.lines(0, None).concat().contains("does not have it"), "{}", ran.stdout);
    Project::pipeline("step.run('true', image='No/Such Name')").run(&[]).expect(2).says("names no image");
}

#[test]
fn beyond_the_limit_images_that_nobody_uses_go() {
    let Some(registry) = Registry::start() else { return };
    let (project, _) = pushed(&registry, "step.run('echo $FROM', image='HOST/team/tool:1')");
    project.run(&["--json"]).expect(0);
    let layout = project.outside("other");
    Image::usual().oci(&layout, &json!({ "Env": ["PATH=/bin", "FROM=other"] }));
    registry.push(&layout, "team/tool", "1");
    let mut command = project.command(&["--json"]);
    let ran = Ran::of(command.env("DANUBE_IMAGE_CACHE_BYTES", "1").output().expect("danube starts"));
    assert_eq!(ran.expect(0).lines(1, None), ["other"], "what is used stays");
    let names = |dir: &str| {
        let entries = fs::read_dir(project.data().join(dir)).expect("a folder").flatten();
        let names = entries.map(|entry| entry.file_name().into_string().expect("text"));
        names.filter(|name| !name.starts_with('.')).collect::<Vec<_>>()
    };
    assert_eq!((names("images").len(), names("images/.registry/blobs/sha256").len()), (1, 0), "{:?}", names("images"));
}

#[test]
fn a_registry_elsewhere_must_show_a_certificate_that_this_machine_trusts() {
    let Some(registry) = Registry::start() else { return };
    let Some((secure, certificate)) = registry.over_tls() else { return };
    let (project, _) = pushed(&registry, &format!("step.run('echo $FROM', image='{}/team/tool:1')", secure.host));
    let (address, _) = secure.host.split_once(':').expect("a port");
    let run = |trusted: &str| {
        let mut command = project.command(&["--json"]);
        Ran::of(command.env("SSL_CERT_FILE", trusted).env("NO_PROXY", address).output().expect("danube starts"))
    };
    run("/dev/null").expect(2).because("image_pull").says("cannot be reached").says("certificate");
    assert_eq!(run(certificate.to_str().expect("text")).expect(0).lines(1, None), ["registry"]);
    let port = registry.host.split_once(':').expect("a port").1;
    let plain = Project::pipeline(&format!("step.run('true', image='{address}:{port}/team/tool:1')"));
    plain.run(&["--json"]).expect(2).because("image_pull");
}

#[test]
fn a_cancel_does_not_wait_for_a_registry_that_says_nothing() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = silent.local_addr().expect("its address");
    let project = Project::pipeline(&format!("step.run('true', image='{host}/team/tool:1')"));
    let mut run = project.watch(&[]);
    let _asked = silent.accept().expect("the registry is asked");
    run.signal(Signal::INT);
    run.end().expect(130).because("cancelled");
}
