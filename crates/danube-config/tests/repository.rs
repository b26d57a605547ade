//! Configuration repositories as teams write them, and as attackers do.

use danube_config::repository::{File, Pipeline, read};
use insta::assert_snapshot;

fn file(name: &str, text: impl AsRef<[u8]>) -> File {
    File { path: format!("pipelines/{name}"), bytes: text.as_ref().to_vec() }
}

fn good(text: &str) -> Vec<Pipeline> {
    read(&[file("a.yaml", text)]).unwrap_or_else(|errors| panic!("{errors}"))
}

fn wrong(text: impl AsRef<[u8]>) -> String {
    read(&[file("a.yaml", text)]).expect_err("must be refused").to_string()
}

const WEB: &str =
    "apiVersion: danube.dev/v1\nkind: Pipeline\nmetadata:\n  name: web\nspec:\n  repository: /srv/git/web.git\n";

#[test]
fn a_pipeline_is_its_name_and_its_repository() {
    let web = Pipeline {
        name: "web".into(),
        repository: "/srv/git/web.git".into(),
        branch: None,
        script: "danubefile.py".into(),
        warm: 0,
    };
    assert_eq!(good(WEB), [web]);
}

#[test]
fn a_file_may_have_several_and_json_is_yaml() {
    let more = "---\n# another one\napiVersion: danube.dev/v1\nkind: Pipeline\nmetadata: {name: api.v2}\nspec:\n  repository: file:///srv/api\n  branch: release/1\n  script: ci/build.py\n  warm: 2\n";
    let both = good(&format!("{WEB}{more}"));
    assert_eq!(both[0].name, "api.v2", "by name");
    let said = (both[0].branch.as_deref(), both[0].script.as_str(), both[0].warm);
    assert_eq!(said, (Some("release/1"), "ci/build.py", 2));
    let json = r#"{"apiVersion": "danube.dev/v1", "kind": "Pipeline", "metadata": {"name": "web"}, "spec": {"repository": "/srv/git/web.git"}}"#;
    assert_eq!(good(json), good(WEB));
    assert_eq!(read(&[]).expect("nothing is right"), []);
}

#[test]
fn every_mistake_is_told_with_its_place_and_what_would_be_right() {
    let values = WEB.replace("name: web", "name: -web").replace("/srv/git/web.git", "git@git.example:web.git");
    assert_snapshot!(wrong(format!("{values}  branch: a..b\n  script: ../x.py\n  warm: -1\n")));
    assert_snapshot!(wrong(format!("{WEB}  brnch: main\n")));
    assert_snapshot!(wrong(format!("{WEB}  colour: blue\n")));
    assert_snapshot!(wrong(WEB.replace("  repository: /srv/git/web.git\n", "  branch: main\n")));
    assert_snapshot!(wrong(WEB.replace("kind: Pipeline", "kind: Team")));
    assert_snapshot!(wrong(WEB.replace("kind: Pipeline", "kind: pipline")));
    assert_snapshot!(wrong(WEB.replace("danube.dev/v1", "danube.dev/v2")));
    assert_snapshot!(wrong(WEB.replace("/srv/git/web.git", "[a, b]")));
    assert_snapshot!(wrong(format!("{WEB}  branch: [\n")));
    assert_snapshot!(wrong(WEB.replace("kind: Pipeline", "kind: Pipeline\nkind: Pipeline")));
    assert_snapshot!(wrong("just a text\n"));
    assert_snapshot!(wrong("# nothing\n"));
    assert_snapshot!(wrong(b"a: \xff\n"));
}

#[test]
fn the_mistakes_of_all_files_are_told_together() {
    let files = [file("a.yaml", WEB), file("b.yaml", WEB), file("c.yml", WEB), file("d.yaml", "kind: Pipeline\n")];
    assert_snapshot!(read(&files).expect_err("must be refused").to_string());
}

#[test]
fn a_word_is_no_boolean_and_a_number_no_name() {
    assert_eq!(good(&WEB.replace("name: web", "name: no"))[0].name, "no");
    assert_eq!(good(&WEB.replace("name: web", "name: '007'"))[0].name, "007");
}

#[test]
fn a_bomb_is_refused() {
    let mut bomb = String::from("a0: &a0 [x, x]\n");
    for n in 1..40 {
        bomb.push_str(&format!("a{n}: &a{n} [*a{}, *a{}]\n", n - 1, n - 1));
    }
    for text in [
        bomb,
        "[".repeat(100_000),
        "{a: ".repeat(50_000),
        "- ".repeat(100_000),
        "x\n".repeat(500_000),
        "---\n".repeat(100_000),
    ] {
        assert!(wrong(&text).len() < 2_000, "{}", &text[..20]);
    }
}
