//! go.mod: build and test every package.

use super::part::{Part, Step};
use super::project::Project;

/// What a Go project needs.
pub fn look(project: &Project) -> Option<Part> {
    if !project.has("go.mod") {
        return None;
    }
    let mut part = Part { kind: "Go", why: vec!["go.mod"], has_tests: true, image: "golang:1", ..Part::default() };
    part.name = module(&project.text("go.mod"));
    part.steps = vec![Step::new("build", "go build ./..."), Step::new("test", "go test ./...")];
    part.more = vec![Step::new("vet", "go vet ./..."), Step::new("format", r#"test -z "$(gofmt -l .)""#)];
    part.missing = (!project.program("go")).then_some("go");
    Some(part)
}

/// The last telling part of the module's path: `chi` of `example.com/go-chi/chi/v5`.
fn module(text: &str) -> Option<String> {
    let path = text.lines().find_map(|line| line.trim().strip_prefix("module "))?.trim().trim_matches('"');
    let path = path.split("//").next()?.trim();
    let is_version = |part: &&str| part.strip_prefix('v').is_some_and(|rest| rest.parse::<u32>().is_ok());
    path.rsplit('/').find(|part| !is_version(part)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::module;

    #[test]
    fn a_module_is_named_by_its_last_telling_part() {
        for (text, name) in [
            ("module example.com/go-chi/chi/v5\n", Some("chi")),
            ("// about\nmodule hello // ours\n\ngo 1.22\n", Some("hello")),
            ("module \"quoted.example/x\"", Some("x")),
            ("go 1.22", None),
        ] {
            assert_eq!(module(text).as_deref(), name, "{text}");
        }
    }
}
