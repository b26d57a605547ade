//! `danube.toml` as operators write it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use danube_config::server::{Enforcement, Isolation, KEYS, RuntimeKind, ServerConfig, TABLES, read, starter};
use insta::assert_snapshot;

fn good(text: &str) -> ServerConfig {
    read("danube.toml", text.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"))
}

fn wrong(text: impl AsRef<[u8]>) -> String {
    read("danube.toml", text.as_ref()).expect_err("must be refused").to_string()
}

/// The starter file with every key in force.
fn all_of_the_starter() -> String {
    let lines = starter()
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned())
        .collect::<Vec<_>>();
    lines.join("\n")
}

#[test]
fn an_empty_file_and_the_starter_say_the_same() {
    assert_eq!(good(""), ServerConfig::default());
    assert_eq!(good(&starter()), ServerConfig::default());
    assert_snapshot!(starter());
}

#[test]
fn what_the_starter_shows_is_right_and_is_what_holds_without_it() {
    let all = good(&all_of_the_starter());
    let defaults = ServerConfig::default();
    assert_eq!(all.config.repository, Some(PathBuf::from("/srv/git/danube-config.git")), "the examples are in force");
    assert_eq!((all.data_dir, all.listen), (defaults.data_dir, defaults.listen));
    assert_eq!((all.config.branch, all.config.sync_interval), (defaults.config.branch, defaults.config.sync_interval));
}

#[test]
fn every_key_is_read() {
    let config = good(
        "data_dir = '/data'\nlisten = '[::1]:0'\nruntime = 'embedded'\ncredentials = '/run/credentials'\n\
         [config]\nurl = 'file:///srv/c.git'\nbranch = 'prod/eu'\nsync_interval = '1m30s'\n\
         [limits]\njobs = 8\njobs_per_pipeline = 0x2\nwarm = 0\n",
    );
    assert_eq!((config.data_dir, config.credentials), ("/data".into(), Some("/run/credentials".into())));
    assert_eq!(config.listen.to_string(), "[::1]:0");
    assert_eq!(config.config.repository, Some("/srv/c.git".into()));
    assert_eq!((config.config.branch.as_str(), config.config.sync_interval), ("prod/eu", Duration::from_secs(90)));
    assert_eq!(
        (config.limits.jobs.map(usize::from), config.limits.jobs_per_pipeline.map(usize::from)),
        (Some(8), Some(2))
    );
    assert_eq!((config.limits.warm, ServerConfig::default().limits.warm), (0, 1));
}

#[test]
fn every_mistake_is_told_with_its_place_and_what_would_be_right() {
    assert_snapshot!(wrong(
        "data_dri = '/data'\nlisten = '0.0.0.0:8080'\nruntime = 'nomad'\ncredentials = 'keys'\nurl = '/srv/c.git'\n\
         colour = 'blue'\nlimits = 3\n[config]\nurl = 'git@git.example:c.git'\nbranch = 'a..b'\nsync_interval = '0s'\njobs = 2\n\
         synch_interval = '1m'\n"
    ));
    assert_snapshot!(wrong("listen = 8080\n[limits]\njobs = 0\njobs_per_pipeline = 1.5\n[configs]\n"));
}

/// A digest that nothing has.
const DIGEST: &str = "sha256:9c1f00000000000000000000000000000000000000000000000000000000beef";

#[test]
fn a_cluster_is_read_with_all_its_keys() {
    let config = good(&format!(
        "runtime = 'kubernetes'\n[kubernetes]\nkubeconfig = '/etc/k'\ncontext = 'prod'\nnamespace = 'jobs'\ninstance = 'ci'\n\
         shim_image = 'r.example:5000/shim@{DIGEST}'\ncoordinator_image = 'r.example/coordinator@{DIGEST}'\n\
         enforcement = 'off'\nisolation = 'off'\npull_secrets = ['a', 'b.c']\nnode_selector = {{ 'kubernetes.io/arch' = 'amd64' }}\n\
         coordinator_cpu = 0.25\ncoordinator_memory = '100Mi'\nworker_cpu = 2\nworker_memory = '1G'\nworkspace = '5Gi'\n\
         pull_grace = '1m30s'\nnode_grace = '1h'\n",
    ));
    let cluster = config.kubernetes;
    assert_eq!((config.runtime, cluster.missing()), (RuntimeKind::Kubernetes, vec![]));
    assert_eq!((cluster.kubeconfig, cluster.context.as_deref()), (Some("/etc/k".into()), Some("prod")));
    assert_eq!((cluster.namespace.as_str(), cluster.instance.as_str()), ("jobs", "ci"));
    assert_eq!(cluster.shim_image, Some(format!("r.example:5000/shim@{DIGEST}")));
    assert_eq!((cluster.enforcement, cluster.isolation), (Enforcement::Off, Isolation::Off));
    assert_eq!(
        (cluster.pull_secrets.join(" "), cluster.node_selector["kubernetes.io/arch"].as_str()),
        ("a b.c".to_owned(), "amd64")
    );
    assert_eq!((cluster.coordinator.cpu_millis, cluster.coordinator.memory), (250, 100 << 20));
    assert_eq!((cluster.worker.cpu_millis, cluster.worker.memory, cluster.workspace), (2000, 1_000_000_000, 5 << 30));
    assert_eq!((cluster.pull_grace.as_secs(), cluster.node_grace.as_secs()), (90, 3600));
}

#[test]
fn what_is_wrong_with_a_cluster_is_told_with_its_place() {
    assert_snapshot!(wrong("runtime = 'kubernetes'\n"));
    assert_snapshot!(wrong(
        "[kubernetes]\nkubeconfig = 'k'\nnamespace = 'Jobs'\nshim_image = 'r.example/shim:1'\nenforcement = 'of'\nisolation = true\n\
         pull_secrets = 'a'\nnode_selector = { '-x' = 'y' }\nworker_cpu = 0\nworker_memory = '2'\npull_grace = '2d'\nimage = 'x'\n"
    ));
}

#[test]
fn what_is_no_toml_is_told_with_its_place() {
    assert_snapshot!(wrong("data_dir = /data\n[config\nurl = 'a'\n"));
    assert_snapshot!(wrong("data_dir = '/a'\ndata_dir = '/b'\n"));
    assert_snapshot!(wrong(b"data_dir = '\xff'\n"));
    assert!(wrong("#".repeat(2_000_000)).contains("larger than"));
}

#[test]
fn the_documentation_has_the_keys_as_they_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/danube.toml.md");
    let page = std::fs::read_to_string(&path).expect("docs/danube.toml.md");
    let mark = "<!-- keys: written from the code by its tests; DANUBE_WRITE_DOCS=1 writes it anew -->\n";
    let start = page.find(mark).expect("the mark before the tables") + mark.len();
    let end = page.find("<!-- end -->").expect("the mark after the tables");
    let tables = tables();
    if std::env::var_os("DANUBE_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{}{tables}{}", &page[..start], &page[end..])).expect("written");
        return;
    }
    assert_eq!(&page[start..end], tables, "run this test with DANUBE_WRITE_DOCS=1 to write the page anew");
}

fn tables() -> String {
    let all = [("", "At the top of the file.")].into_iter().chain(TABLES.iter().copied());
    let table = |(name, about): (&str, &str)| {
        let title = if name.is_empty() { String::new() } else { format!("\n## `[{name}]`\n\n{about}\n") };
        let rows: String = KEYS.iter().filter(|key| key.table == name).map(row).collect();
        format!("{title}\n| key | default | example | |\n|---|---|---|---|\n{rows}")
    };
    all.map(table).collect()
}

fn row(key: &danube_config::server::Key) -> String {
    let default = key.default.map_or_else(|| key.otherwise.to_owned(), |default| format!("`{default}`"));
    format!("| `{}` | {default} | `{}` | {} |\n", key.name, key.example, key.meaning)
}
