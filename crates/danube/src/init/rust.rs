//! Cargo.toml: build and test with the project's own toolchain.

use super::part::{Part, Step};
use super::project::Project;

/// What a Rust project needs.
pub fn look(project: &Project) -> Option<Part> {
    if !project.has("Cargo.toml") {
        return None;
    }
    let manifest: toml::Table = project.text("Cargo.toml").parse().unwrap_or_default();
    let mut part = Part { kind: "Rust", why: vec!["Cargo.toml"], has_tests: true, image: "rust:1", ..Part::default() };
    part.name = manifest.get("package").and_then(|package| Some(package.get("name")?.as_str()?.to_owned()));
    let mut options = String::new();
    if project.has("Cargo.lock") {
        part.why.push("Cargo.lock");
        options.push_str(" --locked");
    }
    // Whoever names default members means only these.
    if manifest.get("workspace").is_some_and(|workspace| workspace.get("default-members").is_none()) {
        options.push_str(" --workspace");
    }
    part.steps =
        vec![Step::new("build", format!("cargo build{options}")), Step::new("test", format!("cargo test{options}"))];
    let lint = format!("cargo clippy{options} --all-targets -- -D warnings");
    part.more = vec![Step::new("format", "cargo fmt --check"), Step::new("lint", lint)];
    part.missing = (!project.program("cargo")).then_some("cargo");
    toolchain(project, &mut part);
    Some(part)
}

fn toolchain(project: &Project, part: &mut Part) {
    if let Some(file) = project.first_of(&["rust-toolchain.toml", "rust-toolchain"]) {
        part.why.push(file);
        let note = format!(
            "{file} names a toolchain: install it before a run (rustup toolchain install), since steps cannot change your home"
        );
        part.notes.push(note);
    }
}
