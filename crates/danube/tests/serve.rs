//! `danube serve`: the production master, from danube.toml and a configuration repository to jobs, and to its end.

mod support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;
use support::git::git_in;
use support::site::{Site, bare};
use support::{Project, Ran};

/// A step that ends when it is told to, by whoever tests, whatever user that is.
const UNTIL_TOLD: &str = "step.run('echo begun >> marks; chmod 777 .')
step.run('echo once >> marks; for n in $(seq 6000); do test ! -e /workspace/go || break; sleep 0.1; done', name='waits')
step.run('cat marks', name='marks')";

fn id(job: &Value) -> String {
    job["id"].as_str().expect("an id").to_owned()
}

fn words(answer: &Value) -> String {
    answer["error"]["message"].as_str().unwrap_or_default().to_owned()
}

/// What ails the configuration, in words.
fn config_ill(parts: &Value) -> String {
    let part = parts.as_array().expect("parts").iter().find(|part| part["name"] == "config").expect("the part");
    part["ill"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn the_head_of_a_declared_pipeline_is_built_and_any_ref_that_is_asked_for() {
    let Some(site) = Site::new("step.run('cat word', name='word')") else { return };
    site.project.write("word", "first\n");
    let first = site.commit("a word");
    git_in(&site.project.dir(), &["branch", "old"]);
    site.project.write("word", "second\n");
    let second = site.commit("another word");
    // What is in no commit is nobody's.
    site.project.write("word", "loose\n");
    bare(&site.project.dir(), &site.project.outside("app.git"));
    let served = site.object("bare").replace("project", "app.git");
    site.configure("bare", &format!("{served}  branch: old\n"));
    let serve = site.start();
    assert!(serve.ready().0, "{}", serve.ready().1);
    site.run(&["trigger", "app", "--follow"]).expect(0).says("second").never_says("loose");
    site.run(&["trigger", "app", "--ref", "old", "--follow"]).expect(0).says("first");
    site.run(&["trigger", "bare", "--follow"]).expect(0).says("first");
    let jobs = serve.jobs();
    let facts = |job: &Value| (job["pipeline"].clone(), job["sha"].clone(), job["ref"].clone(), job["dirty"].clone());
    let wanted = |pipeline: &str, sha: &str, branch: &str| (pipeline.into(), sha.into(), branch.into(), false.into());
    assert_eq!(facts(&jobs[0]), wanted("app", &second, "trunk"));
    assert_eq!(facts(&jobs[1]), wanted("app", &first, "old"));
    assert_eq!(facts(&jobs[2]), wanted("bare", &first, "old"));
    site.run(&["trigger", "app", "--ref", "nothing"]).expect(2).says("no branch, tag or commit `nothing`");
    serve.stop_by(Signal::TERM).expect(0).says("no job is running");
    assert!(!site.announcement().exists(), "nobody is sent to a master that is gone");
}

#[test]
fn a_danubefile_gets_nothing_of_the_server() {
    let Some(site) = Site::new("step.run('true')") else { return };
    let serve = site.start();
    let refused = |image: &str, body: &str| {
        site.pipeline(image, body);
        site.commit("changed");
        words(&serve.post("/pipelines/app/jobs", "", 422))
    };
    for image in ["host", "tar:/etc/passwd", "oci:/var/lib", "tar:image.tar"] {
        let said = refused(image, "step.run('true')");
        assert!(said.contains(&format!("`{image}`: ")) && said.contains("registry"), "{said}");
        let said = refused(&site.image(), &format!("step.run('true', image='{image}')"));
        assert!(said.contains(&format!("`{image}`: ")), "{said}");
    }
    assert!(refused("", "step.run('true')").contains("names no image"));
    assert_eq!(serve.jobs().len(), 0, "what cannot run makes no job");
    // An image that is computed is known to nobody before the job runs.
    let body = "for image in 'host', 'tar:/etc/passwd', 'oci:/var/lib':
    try:
        step.run('echo came in', image=image)
    except ImageUnavailable as error:
        print('refused:', error)
step.run('true')";
    site.pipeline(&site.image(), body);
    site.commit("computed");
    let job = serve.end(&id(&serve.post("/pipelines/app/jobs", "", 201)));
    assert_eq!((&job["status"], job["steps"].as_array().map(Vec::len)), (&"success".into(), Some(2)), "{job}");
    let log = serve.get(&format!("/jobs/{}/log.txt", id(&job)));
    let log = log.as_str().expect("text");
    assert_eq!((log.matches("refused: ").count(), log.matches("came in").count()), (3, 0), "{log}");
    serve.stop_by(Signal::TERM).expect(0);
}

#[test]
fn a_bad_commit_leaves_the_last_good_one_in_force() {
    let Some(site) = Site::new("step.run('true')") else { return };
    let good = site.configure("more", &site.object("more"));
    let serve = site.start();
    let names = || {
        let all = serve.get("/pipelines");
        let names = all["pipelines"].as_array().expect("pipelines").iter();
        names.map(|pipeline| pipeline["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["app", "more"]);
    let gone = site.configure("more", "");
    let bad = site.configure("other", &site.object("other").replace("repository", "repositry"));
    let parts = serve.until_ready(|well, _| !well);
    let said = config_ill(&parts);
    assert!(said.contains(&format!("the commit {} is refused", &bad[..12])), "{said}");
    // The one between may have been looked at, or not.
    assert!([good, gone].iter().any(|sha| said.contains(&format!("{} stays in force", &sha[..12]))), "{said}");
    assert!(said.contains("pipelines/other.yaml:6:3") && said.contains("did you mean `repository`?"), "{said}");
    assert!(names().contains(&"app".to_owned()) && !names().contains(&"other".to_owned()), "nothing of it is taken");
    site.configure("other", &site.object("other"));
    serve.until_ready(|well, _| well);
    assert_eq!(names(), ["app", "other"]);
    fs::rename(site.config_dir(), site.project.outside("gone")).expect("moved");
    let said = config_ill(&serve.until_ready(|well, _| !well));
    assert!(said.contains("cannot be read"), "{said}");
    assert_eq!(names(), ["app", "other"], "what was in force stays");
    serve.stop_by(Signal::TERM).expect(0).says("added other; removed more").says("is refused, nothing is changed");
}

#[test]
fn jobs_run_on_without_it_and_the_next_one_takes_them_up() {
    let Some(site) = Site::new(UNTIL_TOLD) else { return };
    let mut serve = site.start();
    let jobs: Vec<String> = (0..2).map(|_| id(&serve.post("/pipelines/app/jobs", "", 201))).collect();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        for job in &jobs {
            serve.until(job, |job| job["steps"].as_array().is_some_and(|steps| steps.len() == 3));
        }
        serve.stop_by(signal).expect(0).says("2 jobs run on by themselves").says("takes them up");
        assert!(!site.project.processes().is_empty(), "they run on");
        serve = site.start();
    }
    for workspace in workspaces(&site) {
        fs::write(workspace.join("go"), "").expect("told");
    }
    for job in &jobs {
        let job = serve.end(job);
        assert_eq!((&job["status"], &job["attempt"]), (&"success".into(), &1.into()), "{}", job["reason"]);
        let marks = serve.get(&format!("/jobs/{}/steps/3/raw", id(&job)));
        assert_eq!(marks, "begun\nonce\n", "each step ran once");
    }
    serve.stop_by(Signal::TERM).expect(0).says("no job is running");
}

/// The workspaces of jobs that run.
fn workspaces(site: &Site) -> Vec<std::path::PathBuf> {
    let found: Vec<_> = site.project.groups().into_iter().map(|group| group.join("workspace")).collect();
    assert!(found.iter().all(|workspace| workspace.exists()), "{found:?}");
    found
}

#[test]
fn a_link_lets_a_browser_in_and_is_in_no_log() {
    let Some(site) = Site::new("step.run('true')") else { return };
    let serve = site.start();
    let printed = site.run(&["login"]).expect(0).says("once, within 10 minutes").stdout;
    let url = printed.split_whitespace().find(|word| word.starts_with("http://")).expect("a link").to_owned();
    let (base, secret) = url.split_once("/login?token=").expect("a token");
    assert_eq!(base, format!("http://127.0.0.1:{}", serve.port()));
    let (status, _) = serve.ask_with("", "GET", &format!("/login?token={secret}"), "").expect("an answer");
    assert_eq!(status, 303);
    let (status, _) = serve.ask_with("", "GET", &format!("/login?token={secret}"), "").expect("an answer");
    assert_eq!(status, 401, "it was used");
    let json: Value = serde_json::from_str(&site.run(&["login", "--json"]).expect(0).stdout).expect("JSON");
    assert!(json["url"].as_str().is_some_and(|link| link != url), "{json}");
    serve.stop_by(Signal::TERM).expect(0).never_says(secret).never_says("token=");
}

#[test]
fn a_token_of_the_operators_holds_over_restarts() {
    let Some(site) = Site::new("step.run('true')") else { return };
    let (folder, token) = (site.project.outside("credentials"), "0123456789abcdef0123456789abcdef");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("api-token"), token).expect("written");
    site.toml(&format!("credentials = \"{}\"", folder.display()));
    Ran::of(site.command().output().expect("danube starts")).expect(2).says("others can read it").says("chmod 600");
    let only_ours = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(folder.join("api-token"), only_ours).expect("set");
    for _ in 0..2 {
        let serve = site.start();
        for (token, status) in [(token, 200), ("0123456789abcdef0123456789abcdeX", 401)] {
            assert_eq!(serve.ask_with(token, "GET", "/api/v1/pipelines", "").expect("an answer").0, status);
        }
        serve.stop_by(Signal::TERM).expect(0).never_says(token);
    }
}

#[test]
fn systemd_is_told_when_it_is_ready_and_when_it_stops() {
    let Some(site) = Site::new("step.run('true')") else { return };
    let path = site.project.outside("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let mut command = site.command();
    command.env("NOTIFY_SOCKET", &path).env("JOURNAL_STREAM", "8:1");
    let serve = site.start_by(command);
    let told = || {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    assert_eq!(told(), "READY=1");
    assert!(serve.ready().0, "it is");
    let ran = serve.stop_by(Signal::TERM).expect(0);
    assert_eq!(told(), "STOPPING=1");
    assert!(ran.stderr.trim_start().starts_with("INFO"), "the journal knows the time: {}", ran.stderr);
}

#[test]
fn what_cannot_be_served_is_told_before_anything_is_started() {
    let Some(site) = Site::new("step.run('true')") else { return };
    let refused = || Ran::of(site.command().output().expect("danube starts")).expect(2);
    let serve = site.start();
    refused().says(&format!("`danube serve` runs already at http://127.0.0.1:{}", serve.port()));
    let mut dev = support::dev::Dev::command(&site.project, &["--no-run"]);
    Ran::of(dev.output().expect("danube starts")).expect(2).says("`danube serve` runs already");
    let taken = format!("127.0.0.1:{}", serve.port());
    let text = fs::read_to_string(site.toml_path()).expect("danube.toml");
    fs::write(site.toml_path(), text.replace("/data\"", "/other\"").replace("127.0.0.1:0", &taken)).expect("written");
    refused().says(&taken).says("name another port");
    serve.stop_by(Signal::TERM).expect(0);
    fs::write(site.toml_path(), text.replace("127.0.0.1:0", "0.0.0.0:8080")).expect("written");
    refused().says("danube.toml:2:10: `listen` must be a loopback address");
    fs::write(site.toml_path(), text.replace("data_dir", "datadir")).expect("written");
    refused().says("danube.toml:1:1: there is no key `datadir`").says("did you mean `data_dir`?");
    fs::remove_file(site.toml_path()).expect("removed");
    refused().says("danube.toml: No such file").says("danube init-config");
}

#[test]
fn a_configuration_to_begin_with_is_written_once() {
    let project = Project::empty();
    let path = project.outside("etc/danube.toml");
    let init = || {
        let mut command = std::process::Command::new(support::binary());
        Ran::of(command.arg("init-config").arg(&path).output().expect("danube starts"))
    };
    init().expect(0).says(&format!("danube serve --config {}", path.display()));
    let text = fs::read(&path).expect("written");
    init().expect(2).says("is there already, and stays as it is");
    assert_eq!(fs::read(&path).expect("still there"), text);
    assert!(Path::new(&path).metadata().expect("facts").len() > 500, "it explains");
}
