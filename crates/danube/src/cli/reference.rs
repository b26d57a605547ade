//! docs/cli.md is written from the command line itself.

use std::fmt::Write;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};
use danube_core::job::{ExitClass, FailureKind};

use super::Cli;

const BEGIN: &str =
    "<!-- commands: written from the command line by its tests; DANUBE_WRITE_DOCS=1 writes it anew -->\n";
const END: &str = "<!-- end -->";

const KINDS: [FailureKind; 13] = [
    FailureKind::Script,
    FailureKind::NoSteps,
    FailureKind::StepsAbandoned,
    FailureKind::Timeout,
    FailureKind::Cancelled,
    FailureKind::Oom,
    FailureKind::WorkerLost,
    FailureKind::Evicted,
    FailureKind::ImagePull,
    FailureKind::EgressDenied,
    FailureKind::Infra,
    FailureKind::Policy,
    FailureKind::Config,
];

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_page_has_every_command_and_option() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let page = std::fs::read_to_string(&path).expect("docs/cli.md");
    let start = page.find(BEGIN).expect("the mark of the beginning") + BEGIN.len();
    let end = start + page[start..].find(END).expect("the mark of the end");
    let commands = commands();
    if std::env::var_os("DANUBE_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{}{commands}{}", &page[..start], &page[end..])).expect("written");
        return;
    }
    assert_eq!(&page[start..end], commands, "run this test with DANUBE_WRITE_DOCS=1 to write the page anew");
}

#[test]
fn the_page_names_every_reason_beside_its_exit_code() {
    let page = include_str!("../../../../docs/cli.md");
    let row = |class: ExitClass| page.lines().find(|line| line.starts_with(&format!("| {} |", class.code())));
    for kind in KINDS {
        let row = row(kind.exit_class()).expect("a row for each exit code");
        assert!(row.contains(&format!("`{}`", kind.as_str())), "{} is missing in: {row}", kind.as_str());
    }
}

fn commands() -> String {
    let mut root = Cli::command();
    root.build();
    let mut text = String::new();
    let all = [("danube".to_owned(), root.clone())].into_iter();
    let subcommands = root.get_subcommands().filter(|command| command.get_name() != "help");
    for (name, command) in
        all.chain(subcommands.map(|command| (format!("danube {}", command.get_name()), command.clone())))
    {
        section(&mut text, &name, command);
    }
    text
}

fn section(text: &mut String, name: &str, mut command: Command) {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").trim();
    let about = command.get_about().map_or(String::new(), ToString::to_string);
    writeln!(text, "\n## `{name}`\n\n{}\n\n    {usage}\n", sentence(&about)).expect("a string");
    // Global options are told once, with `danube` itself.
    let told = |arg: &&Arg| {
        !["help", "version"].contains(&arg.get_id().as_str()) && (name == "danube" || !arg.is_global_set())
    };
    let arguments: Vec<&Arg> = command.get_arguments().filter(told).collect();
    if !arguments.is_empty() {
        writeln!(text, "| argument | default | environment | |\n|---|---|---|---|").expect("a string");
        arguments.iter().for_each(|arg| text.push_str(&row(arg)));
    }
    let examples = command.get_after_help().map(ToString::to_string);
    if let Some(examples) = examples.and_then(|help| help.split_once("Examples:\n").map(|(_, rest)| rest.to_owned())) {
        let lines: String = examples.lines().map(|line| format!("    {}\n", line.trim_start())).collect();
        writeln!(text, "\n{}", lines.trim_end()).expect("a string");
    }
}

/// `| `--param NAME=VALUE` | | | A parameter's value. |`
fn row(arg: &Arg) -> String {
    let value = match arg.get_value_names() {
        Some(names) if arg.get_action().takes_values() => names.join(" "),
        _ => String::new(),
    };
    let optional = arg.get_num_args().is_some_and(|number| number.min_values() == 0 && number.takes_values());
    let shown = match arg.get_long() {
        None => value,
        Some(long) if value.is_empty() => format!("--{long}"),
        Some(long) if optional => format!("--{long} [{value}]"),
        Some(long) => format!("--{long} {value}"),
    };
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    let takes_value = arg.get_action().takes_values();
    let default = if takes_value { defaults.join(", ") } else { String::new() };
    let variable = arg.get_env().map_or(String::new(), |name| format!("`{}`", name.to_string_lossy()));
    let mut help = sentence(&arg.get_help().map_or(String::new(), ToString::to_string));
    let possible: Vec<String> =
        arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if takes_value && !possible.is_empty() {
        let _ = write!(help, " One of {}.", possible.join(", "));
    }
    format!("| `{}` | {default} | {variable} | {} |\n", shown.replace('|', "\\|"), help.replace('|', "\\|"))
}

/// Clap takes the full stop away.
fn sentence(text: &str) -> String {
    if text.ends_with('.') || text.is_empty() { text.to_owned() } else { format!("{text}.") }
}
