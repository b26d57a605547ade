//! The text of a new danubefile: what runs, and as comments what could.

use std::fmt::Write;

use super::part::{Part, Step};

/// What the first lines say.
const ABOUT: &str = "
`danube init` wrote this file for what it found here; it is yours now. It is Python: use loops, functions, and modules of
this repository. Each step.run is a fresh `sh -e` in a sandbox with a copy of the checkout, and the first step that fails
ends the job. docs/sdk.md of Danube has all that a danubefile can do.
";

/// What can be said in the decorator, and is not.
const KEYWORDS: &str = r#"    # Where steps run. Without an image they use this machine's own programs.
    # image="IMAGE",
    # The only names that steps may reach. Every run ends with the list of those that it reached.
    # egress=["packages.example.com"],
    # What a run can be given: danube run --param level=full
    # params={"level": {"default": "quick", "choices": ["quick", "full"]}},
"#;

/// What else a job can do.
const MORE: &str = r#"    # Further things to do:
    # step.run("./deploy", secrets=["DEPLOY_TOKEN"])  # danube run --secret DEPLOY_TOKEN
    # step.parallel(step.call("make lint"), step.call("make docs"))
    # artifacts.upload("dist/*")  # from danube import artifacts, pipeline, step
"#;

/// Writes the danubefile of a project of this name. `active` says of each part whether it runs.
pub fn write(name: &str, parts: &[(&Part, bool)]) -> String {
    let runs = parts.iter().filter(|(_, active)| *active).count();
    let image = parts.iter().find(|(_, active)| *active).or(parts.first()).map_or("debian:12", |(part, _)| part.image);
    let title = docstring(name);
    let mut text = format!(
        "\"\"\"The pipeline of {title}. Try it: danube run\n{ABOUT}\"\"\"\n\nfrom danube import pipeline, step\n\n\n"
    );
    let _ = write!(text, "@pipeline(\n    name={},\n    timeout=\"30m\",\n", literal(name));
    text.push_str(&KEYWORDS.replace("IMAGE", image));
    text.push_str(")\ndef ci() -> None:\n");
    for (part, active) in parts.iter().filter(|(part, _)| !part.steps.is_empty()) {
        write_part(&mut text, part, *active, runs > 1);
        text.push('\n');
    }
    if runs == 0 {
        text.push_str(
            "    # Nothing was found that could be built here: put your own commands in place of this one.\n",
        );
        text.push_str("    step.run(\"echo this is where your build begins\", name=\"begin\")\n\n");
    }
    text.push_str(MORE);
    text
}

fn write_part(text: &mut String, part: &Part, active: bool, grouped: bool) {
    let _ = writeln!(text, "    # {}: {}.", part.kind, part.why.join(", "));
    if !active {
        let why = part.missing.map_or("What the project says above may do the same".to_owned(), |program| {
            format!("Not run, since {program} is not on this machine")
        });
        let _ = writeln!(text, "    # {why}:");
        part.steps.iter().for_each(|step| line(text, "    # ", step));
        return;
    }
    let indent = if grouped { "        " } else { "    " };
    if grouped {
        let _ = writeln!(text, "    with step.group({}):", literal(&part.kind.to_lowercase()));
    }
    part.steps.iter().for_each(|step| line(text, indent, step));
    if !part.more.is_empty() {
        let _ = writeln!(text, "{indent}# Not every project passes these:");
        part.more.iter().for_each(|step| line(text, &format!("{indent}# "), step));
    }
}

fn line(text: &mut String, indent: &str, step: &Step) {
    let env =
        step.env.map_or(String::new(), |(name, value)| format!(", env={{{}: {}}}", literal(name), literal(value)));
    let _ = writeln!(text, "{indent}step.run({}, name={}{env})", literal(&step.command), literal(step.name));
}

/// A Python string. What the project calls itself may have any character.
pub fn literal(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

/// Text within a docstring: nothing in it ends it or escapes.
fn docstring(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '"' | '\\') { '\'' } else { c }).collect()
}
