//! Danubefiles as users write them, and as attackers do.

use std::time::Duration;

use danube_config::danubefile::{Danubefile, ParamError, ParamValue, UsedImage, read, resolve_params};
use insta::assert_snapshot;
use proptest::prelude::*;

const HEAD: &str = "from danube import pipeline, step\n";

fn good(source: &str) -> Danubefile {
    read("danubefile.py", source.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(source: impl AsRef<[u8]>) -> String {
    read("danubefile.py", source.as_ref()).expect_err("must be refused").to_string()
}

/// The errors of a decorator with these arguments.
fn wrong(arguments: &str) -> String {
    errors(format!("{HEAD}@pipeline({arguments})\ndef build():\n    pass\n"))
}

#[test]
fn a_bare_decorator_takes_its_name_from_the_function() {
    let file = good("from danube import pipeline\n\n@pipeline\ndef unit_tests():\n    pass\n");
    assert_eq!((file.name.as_str(), file.function.as_str(), file.line), ("unit_tests", "unit_tests", 3));
    assert_eq!((file.timeout, file.cleanup_timeout), (None, Duration::from_secs(60)));
}

#[test]
fn every_keyword_is_read() {
    let file = good(
        r#"
import danube as d
@d.pipeline(
    name="unit " "tests", image="python:3.13", images=["node:22", {"image": "postgres:17", "memory": "1Gi", "cpu": .5}],
    triggers=["push", {"on": "cron", "schedule": "0 3 * * *"}, {"on": "tag", "tags": ("v*",)}],
    params={"env": {"default": "staging", "choices": ["staging", "prod"]}, "count": -3, "debug": False, "who": {"type": "string"}},
    timeout="1h30m", cleanup_timeout=90, cpu="500m", memory="512Mi", disk="2G", arch="arm64",
    egress=["packages.example.com", "db.local:5432 private"], retries=1,
    concurrency="deploy-{branch}", cancel_superseded=True,
)
def build(*args, optional=1):
    pass
"#,
    );
    insta::assert_json_snapshot!(file);
}

#[test]
fn the_decorator_is_found_under_every_name() {
    for (import, decorator) in [
        ("from danube import pipeline", "@pipeline()"),
        ("from danube import pipeline as p", "@p(name='build')"),
        ("import danube", "@danube.pipeline"),
        ("import danube as d", "@d.pipeline()"),
        ("import os, danube.testing", "@danube.pipeline()"),
        ("from danube import *", "@pipeline"),
        ("try:\n    from danube import pipeline\nexcept ImportError:\n    raise", "@pipeline"),
    ] {
        assert_eq!(good(&format!("{import}\n{decorator}\ndef build(): pass\n")).name, "build", "{import}");
    }
}

#[test]
fn other_decorators_are_not_ours() {
    let text = errors("from other import pipeline\n@pipeline\ndef build(): pass\n");
    assert_snapshot!(text);
    let text = errors("from danube import step\n@step.pipeline\n@pipeline.x\ndef build(): pass\n");
    assert!(text.contains("no function is decorated"), "{text}");
}

#[test]
fn every_mistake_is_told_at_once() {
    assert_snapshot!(errors(
        r#"import os
from danube import pipeline, step

LIMIT = "10m"

@pipeline(
    nmae="tests",
    timeout=LIMIT,
    image=f"python:{os.environ['V']}",
    memory="512m",
    triggers=["psuh", {"on": "cron"}],
    params={"env": {"default": "dev", "choices": ["staging", "prod"]}, "x": os, **LIMIT, "y": [a, f()]},
    colour=1,
)
def build():
	step.run("x", image=7)
"#
    ));
}

#[test]
fn a_wrong_value_is_shown_with_what_would_be_right() {
    let cases = [
        r#"name=7"#,
        r#"name="""#,
        r#"name="a\nb""#,
        r#"timeout="10 minutes""#,
        r#"timeout=0"#,
        r#"cpu="many""#,
        r#"memory=-1"#,
        r#"arch="x86_64""#,
        r#"egress="packages.example.com""#,
        r#"egress=["a:port"]"#,
        r#"retries=99"#,
        r#"concurrency=3"#,
        r#"concurrency="deploy-{ref}""#,
        r#"concurrency="a", cancel_superseded="yes""#,
        r#"cancel_superseded=True"#,
        r#""tests""#,
        r#"**kw"#,
        r#"params=["a"]"#,
        r#"params={1: 2}"#,
        r#"params={"a": {}}"#,
        r#"params={"a": {"defualt": 1}}"#,
        r#"params={"a": {"default": 1, "type": "string"}}"#,
        r#"params={"a": 1, "a": 2}"#,
        r#"params={**other}"#,
        r#"triggers=[{"schedule": "x"}]"#,
        r#"triggers=[{"on": "cron", "schedule": "daily"}]"#,
        r#"triggers=[{"on": "push", "branch": []}]"#,
        r#"images=[{"memory": "1Gi"}]"#,
        r#"images="node:22""#,
        r#"name=b"x""#,
        r#"name="a" if x else "b""#,
        r#"cpu=9**9"#,
        r#"cpu=1e999"#,
        r#"cleanup_timeout="2h""#,
    ];
    let all: Vec<String> = cases.iter().map(|case| wrong(case)).collect();
    assert_snapshot!(all.join("\n\n"));
}

#[test]
fn none_is_absent() {
    let file = good(&format!("{HEAD}@pipeline(name=None, timeout=None, memory=None)\ndef build(): pass\n"));
    assert_eq!((file.name.as_str(), file.timeout, file.resources.memory_bytes), ("build", None, None));
}

#[test]
fn one_function_at_the_top_level_and_callable() {
    let cases = [
        "@pipeline\ndef a(): pass\n@pipeline()\ndef b(): pass\n",
        "@pipeline\n@pipeline\ndef a(): pass\n",
        "@pipeline\nclass A: pass\n",
        "if True:\n    @pipeline\n    def a(): pass\n",
        "class A:\n    @pipeline\n    def a(self): pass\n",
        "@pipeline\nasync def a(): pass\n",
        "@pipeline\ndef a(env): pass\n",
        "@pipeline(params={'env': 'dev'})\ndef a(env, /, *, evn): pass\n",
        "x = 1\n",
        "",
    ];
    let all: Vec<String> = cases.iter().map(|case| errors(format!("{HEAD}{case}"))).collect();
    assert_snapshot!(all.join("\n\n"));
    assert_snapshot!(errors("@pipeline\ndef build(): pass\n"));
}

#[test]
fn parameters_may_be_the_functions_arguments() {
    let file = good(&format!("{HEAD}@pipeline(params={{'env': 'dev'}})\ndef build(env, *rest, n=1, **more): pass\n"));
    assert!(file.params.contains_key("env"));
}

#[test]
fn images_of_steps_and_services_are_known_before_the_start() {
    let file = good(
        r#"
from danube import pipeline, step as s, service, danube
import danube as d
@pipeline(image="base", memory="1Gi", images=[{"image": "node:22", "memory": "2Gi"}])
def build():
    s.run("a")
    s.run("b", memory="3Gi")
    s.run("c", image="node:22", memory="1Gi")
    d.step.parallel(s.call("d", image="go" ":1"), lambda: s.run("e", image="rust"))
    service.start("postgres:17", name="db")
    service.start("postgres:17", name="other", memory="4Gi")
    service.start(computed)
    for image in ["x", "y"]:
        s.run("f", image=image)
    s.run("g", **options)
    other.run("h", image="no")
"#,
    );
    let known: Vec<_> =
        file.known_images().iter().map(|i| (i.image.clone(), i.resources.memory_bytes.unwrap_or(0) >> 30)).collect();
    let expected = [("base", 3), ("node:22", 2), ("go:1", 1), ("rust", 1)];
    assert_eq!(known, expected.map(|(image, gib)| (image.to_owned(), gib)));
    let dynamic: Vec<_> =
        file.uses.iter().filter(|u| u.image == UsedImage::Dynamic).map(|u| (u.line, u.column)).collect();
    assert_eq!(dynamic, [(12, 5), (14, 9), (15, 5)]);
    let services: Vec<_> =
        file.known_services().iter().map(|i| (i.image.clone(), i.resources.memory_bytes.unwrap_or(0) >> 30)).collect();
    assert_eq!(
        services,
        [("postgres:17".to_owned(), 1), ("postgres:17".to_owned(), 4)],
        "each has a container of its own"
    );
}

#[test]
fn values_are_given_to_params_by_their_types() {
    let file = good(&format!(
        "{HEAD}@pipeline(params={{'env': {{'choices': ['staging', 'prod']}}, 'count': 3, 'rate': 0.5, 'debug': False}})\ndef build(): pass\n"
    ));
    let given = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        resolve_params(&file.params, &pairs)
    };
    let values = given(&[("env", "prod"), ("debug", "yes"), ("rate", "2")]).expect("fits");
    assert_eq!(values["env"], ParamValue::String("prod".into()));
    assert_eq!((&values["debug"], &values["count"]), (&ParamValue::Bool(true), &ParamValue::Int(3)));
    assert_eq!(serde_json::to_string(&values).expect("json"), r#"{"count":3,"debug":true,"env":"prod","rate":2.0}"#);
    assert_eq!(given(&[]), Err(vec![ParamError::Missing("env".into())]));
    let errors = given(&[("env", "dev"), ("cuont", "1"), ("count", "many")]).expect_err("refused");
    assert_snapshot!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_syntax_error_is_shown_at_its_place() {
    assert_snapshot!(errors("from danube import pipeline\n\n@pipeline(name=\"x\"\ndef build():\n    pass\n"));
    assert_snapshot!(errors("def build(:\n    x = = 1\n"));
}

#[test]
fn syntax_of_every_supported_python_is_read() {
    good(&format!(
        "{HEAD}
@pipeline
def build():
    match [1]:
        case [x] if x > 0: pass
    try: pass
    except* ValueError: pass
type Alias[T: int] = list[T]
def generic[T](x: T) -> T: return x
def template(name): return t'{{name}}', f\"{{'nested' + f'{{name}}'}}\"
try: pass
except ValueError, TypeError: pass
"
    ));
}

#[test]
fn line_ends_and_marks_of_every_editor_are_read() {
    let text = "from danube import pipeline\r\n\r\n@pipeline(name=\"x\")\r\ndef build():\r\n\tpass\r\n";
    assert_eq!(good(&format!("\u{feff}{text}")).line, 3);
    assert_eq!(good(&text.replace("\r\n", "\r")).line, 3);
    let bad = format!("\u{feff}{}", text.replace("\"x\"", "x"));
    assert!(errors(&bad).starts_with("danubefile.py:3:16: "), "{}", errors(&bad));
}

#[test]
fn other_encodings_are_refused_at_their_place() {
    assert_snapshot!(errors("# -*- coding: latin-1 -*-\n"));
    assert_snapshot!(errors(b"x = 1\ny = '\xff'\n"));
    assert_snapshot!(errors("x = 1\ny = '\0'\n"));
    assert_snapshot!(errors("#".repeat(1024 * 1024 + 1)));
}

#[test]
fn a_nesting_bomb_is_refused_and_overflows_no_stack() {
    let n = 100_000;
    let tall_blocks: String = (0..1000).map(|depth| format!("{}if x:\n", " ".repeat(depth))).collect();
    let bombs = [
        format!("{}1{}", "(".repeat(n), ")".repeat(n)),
        "(".repeat(n),
        "[".repeat(n),
        "{".repeat(n),
        "f'{".repeat(n),
        "[(".repeat(n),
        "-".repeat(n) + "1",
        "not ".repeat(n) + "1",
        "1+".repeat(n) + "1",
        "1**".repeat(n) + "1",
        format!("x{}", ".a".repeat(n)),
        format!("x{}", "()".repeat(n)),
        format!("x{}", "[0]".repeat(n)),
        "lambda: ".repeat(n) + "1",
        "lambda a,: ".repeat(n) + "1",
        "1 if 1 else ".repeat(n) + "1",
        "async ".repeat(n),
        "await ".repeat(n) + "x",
        "class A: ".repeat(n),
        "if x: ".repeat(n),
        tall_blocks,
        "@".repeat(n),
        "(yield a, ".repeat(n),
        format!("match x:\n case {}", "A(".repeat(n)),
        format!("match x:\n case {}A: pass", "A|".repeat(n)),
        "x:".repeat(n),
        "a=".repeat(n) + "1",
        format!("type X[{}", "T: (".repeat(n)),
        format!("f'{}", "{a:".repeat(n)),
        "f\"{f'{".repeat(n),
        "if (\n".repeat(n),
    ];
    for bomb in bombs {
        let refused = errors(format!("x = 1\n{bomb}\n"));
        assert!(refused.len() < 10_000, "{refused}");
    }
    assert_snapshot!(errors(format!("x = 1\ny = [\n{}", "(".repeat(n))));
}

#[test]
fn what_is_large_but_flat_is_read() {
    let list = format!("x = [{}]\n", "(1, 'a', f(2)), \n".repeat(20_000));
    let script = format!("y = (\n{})\n", "    'line'\n".repeat(20_000));
    let branches = format!("if x: pass\n{}", "elif y == 2: pass\n".repeat(5_000));
    good(&format!("{HEAD}{list}{script}{branches}@pipeline\ndef build(): pass\n"));
}

#[test]
fn the_file_is_never_run() {
    let marker = std::env::temp_dir().join(format!("danube-config-ran-{}", std::process::id()));
    let source = format!("{HEAD}open({marker:?}, 'w')\n@pipeline(name='x')\ndef build(): pass\n");
    good(&source);
    assert!(!marker.exists());
}

/// Pieces that make random files look like danubefiles often enough to get past the parser.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "from danube import pipeline, step\n",
        "import danube as d\n",
        "@pipeline",
        "@d.pipeline",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        "=",
        ":",
        "name",
        "params",
        "triggers",
        "images",
        "timeout",
        "memory",
        "\"512Mi\"",
        "'10m'",
        "'é\u{202e}'",
        "-",
        "1",
        "1e308",
        "99999999999999999999",
        "None",
        "True",
        "\n",
        "\r",
        "\t",
        "    ",
        "def build():",
        " pass\n",
        "step.run",
        "image=",
        "**x",
        "lambda",
        "f'{x}'",
        "b'x'",
        "\\",
        "#",
        ";",
        "\u{feff}",
        "\0",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Err(errors) = read("danubefile.py", &bytes) {
            prop_assert!(!errors.0.is_empty() && !errors.to_string().contains("gave up"));
        }
    }

    #[test]
    fn random_danubefiles_never_panic(text in pieces()) {
        if let Err(errors) = read("danubefile.py", text.as_bytes()) {
            prop_assert!(!errors.to_string().contains("gave up"), "{text:?}");
        }
    }

    #[test]
    fn random_arguments_never_panic(text in pieces()) {
        let source = format!("{HEAD}@pipeline({text})\ndef build(): pass\n");
        if let Err(errors) = read("danubefile.py", source.as_bytes()) {
            prop_assert!(!errors.to_string().contains("gave up"), "{text:?}");
        }
    }
}
