//! A Makefile with a target that tests.

use super::part::{Part, Step};
use super::project::Project;

/// What a Makefile offers.
pub fn look(project: &Project) -> Option<Part> {
    let file = project.first_of(&["GNUmakefile", "makefile", "Makefile"])?;
    let targets = targets(&project.text(file));
    let has = |name: &str| targets.iter().any(|target| target == name);
    let test = ["test", "check", "tests"].into_iter().find(|name| has(name));
    let mut part = Part { kind: "Make", why: vec![file], image: "gcc:14", ..Part::default() };
    if has("all") || test.is_none() {
        part.steps.push(Step::new("build", if has("all") { "make all" } else { "make" }));
    }
    match test {
        Some(target) => part.steps.push(Step::new("test", format!("make {target}"))),
        None => part.notes.push(format!("{file} has no target named test or check")),
    }
    part.has_tests = test.is_some();
    part.missing = (!project.program("make")).then_some("make");
    Some(part)
}

/// The targets of a Makefile's own rules; not those that it includes or computes.
fn targets(text: &str) -> Vec<String> {
    let rules = text.lines().filter(|line| !line.starts_with(['\t', ' ', '#', '.']));
    let heads =
        rules.filter_map(|line| line.split_once(':').filter(|(head, rest)| !head.contains('=') && !is_value(rest)));
    heads.flat_map(|(head, _)| head.split_whitespace()).map(str::to_owned).collect()
}

/// `:=`, `::=` and `:::=` give a variable its value.
fn is_value(rest: &str) -> bool {
    rest.trim_start_matches(':').starts_with('=')
}

#[cfg(test)]
mod tests {
    use super::targets;

    #[test]
    fn targets_are_told_from_all_that_looks_like_them() {
        let text = "CC := cc\nA ::= x\nB = a:b\n.PHONY: test\n# check: no\nall lib: x.o\n\techo test: no\ntest:: all\nx.o: x.c\n";
        assert_eq!(targets(text), ["all", "lib", "test", "x.o"]);
    }
}
