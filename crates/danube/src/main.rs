//! The danube binary: every command in one file that also carries the shim and the SDK.

mod assets;
mod checkout;
mod cli;
mod client;
mod cluster;
mod dev;
mod doctor;
mod error;
mod init;
mod install;
mod local;
mod man;
mod place;
mod run;
mod serve;
mod settings;
mod view;

use std::ffi::OsStr;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use tracing::Level;

use cli::{Cli, Command};

/// The first argument by which this program becomes a job's monitor.
const MONITOR: &str = "__monitor";

fn main() -> ExitCode {
    // A monitor makes namespaces, which needs a process that never had a second thread: it comes before everything.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() == Some(OsStr::new(MONITOR)) {
        return danube_sandbox::monitor::main(arguments);
    }
    let cli = Cli::parse();
    start_logging(&cli);
    let outcome = match cli.command {
        Command::Run(arguments) => run::main(*arguments),
        Command::Init(arguments) => init::main(&arguments),
        Command::Client(command) => client::main(&command),
        Command::Dev(arguments) => dev::main(*arguments),
        Command::Serve(arguments) => serve::main(&arguments),
        Command::InitConfig(arguments) => serve::init_config(&arguments),
        Command::CheckConfig(arguments) => serve::check_config(&arguments),
        Command::Install(arguments) => install::main(&arguments),
        Command::Uninstall(arguments) => install::uninstall(&arguments),
        Command::Migrate(arguments) => serve::migrate(&arguments),
        Command::Doctor(arguments) => doctor::main(&arguments),
        Command::Cluster(command) => cluster::main(&command),
        Command::Man(arguments) => man::main(&arguments),
        Command::Version => {
            // Nobody may be listening.
            let _ = writeln!(std::io::stdout(), "danube {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|error| error.report())
}

/// One subscriber, on stderr: stdout belongs to results (`DANUBE_LOG`, `DANUBE_LOG_FORMAT`). The journal knows the time
/// by itself, and takes colours for garbage.
fn start_logging(cli: &Cli) {
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::prelude::*;
    let usual = if matches!(cli.command, Command::Serve(_)) { Level::INFO } else { Level::WARN };
    let filter = cli.log.as_deref().and_then(|filter| filter.parse::<Targets>().ok());
    // What it says of a cluster that is away is said by us, once and in other words.
    let usual = Targets::new().with_default(usual).with_target("kube_client", tracing::level_filters::LevelFilter::OFF);
    let filter = filter.unwrap_or(usual);
    // Nobody may be listening: a line that cannot be written is no reason to panic in the midst of a job.
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    let lines = lines.with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let registry = tracing_subscriber::registry();
    match cli.log_format {
        cli::LogFormat::Json => registry.with(lines.json().with_filter(filter)).init(),
        cli::LogFormat::Pretty if journal => registry.with(lines.without_time().with_filter(filter)).init(),
        cli::LogFormat::Pretty => registry.with(lines.with_filter(filter)).init(),
    }
}
