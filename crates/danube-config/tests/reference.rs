//! The keywords in three places agree: the table here, `docs/danubefile.md`, and the SDK's own signature.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use danube_config::danubefile::{KEYWORDS, read};
use ruff_python_ast::{ModModule, Stmt};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The table of the documentation.
fn table() -> String {
    let mut table = String::from("\n| keyword | value | default | example |\n|---|---|---|---|\n");
    for keyword in KEYWORDS {
        writeln!(table, "| `{}` | {} | {} | `{}` |", keyword.name, keyword.value, keyword.default, keyword.example)
            .expect("a string");
    }
    table.push('\n');
    for keyword in KEYWORDS {
        writeln!(table, "- `{}`: {}", keyword.name, keyword.meaning).expect("a string");
    }
    table.push('\n');
    table
}

#[test]
fn the_documentation_has_the_keywords_as_they_are() {
    let path = root().join("docs/danubefile.md");
    let page = std::fs::read_to_string(&path).expect("docs/danubefile.md");
    let start = page
        .find("<!-- keywords")
        .and_then(|at| page[at..].find("-->\n").map(|end| at + end + 4))
        .expect("the mark before the table");
    let end = page.find("<!-- end -->").expect("the mark after the table");
    if std::env::var_os("DANUBE_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{}{}{}", &page[..start], table(), &page[end..])).expect("docs/danubefile.md");
        return;
    }
    assert_eq!(&page[start..end], table(), "run this test with DANUBE_WRITE_DOCS=1 to write the table anew");
}

#[test]
fn every_example_of_the_documentation_is_right() {
    for keyword in KEYWORDS {
        // Giving way needs a group within which to.
        let group = if keyword.name == "cancel_superseded" { "concurrency='a', " } else { "" };
        let source = format!(
            "from danube import pipeline\n@pipeline({group}{}={})\ndef build(): pass\n",
            keyword.name, keyword.example
        );
        read("danubefile.py", source.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"));
    }
}

#[test]
fn the_sdk_takes_the_same_keywords() {
    let folder = root().join("coordinator/src/danube");
    if !folder.exists() {
        eprintln!("the SDK is not there yet");
        return;
    }
    let known: BTreeSet<String> = KEYWORDS.iter().map(|keyword| keyword.name.to_owned()).collect();
    assert_eq!(sdk_keywords(&folder), known, "the SDK's `pipeline` and the table in keywords.rs differ");
}

/// The keyword-only parameters of the SDK's `def pipeline` that takes the most of them (the others are overloads).
fn sdk_keywords(folder: &Path) -> BTreeSet<String> {
    let files = std::fs::read_dir(folder).expect("the SDK's folder").map(|entry| entry.expect("an entry").path());
    let modules = files.filter(|path| path.extension().is_some_and(|end| end == "py")).map(|path| {
        let source = std::fs::read_to_string(&path).expect("a module of the SDK");
        ruff_python_parser::parse_module(&source).unwrap_or_else(|error| panic!("{path:?}: {error}")).into_syntax()
    });
    let signatures = modules.flat_map(|module: ModModule| module.body.into_iter().filter_map(keywords_of_pipeline));
    signatures.max_by_key(BTreeSet::len).expect("the SDK defines `pipeline`")
}

fn keywords_of_pipeline(stmt: Stmt) -> Option<BTreeSet<String>> {
    let function = stmt.function_def_stmt().filter(|function| function.name.as_str() == "pipeline")?;
    Some(function.parameters.kwonlyargs.iter().map(|parameter| parameter.name().as_str().to_owned()).collect())
}
