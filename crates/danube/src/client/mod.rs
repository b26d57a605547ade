//! The commands that talk to a server over its HTTP API. Each is one file; [`find`] says which server, [`http`] speaks to
//! it, [`follow`] reads a job's live stream.

mod api;
mod artifacts;
mod change;
mod download;
mod error;
mod find;
mod follow;
mod http;
mod lists;
mod login;
mod logs;
mod one_job;
mod reference;
mod shown;
mod sse;
mod table;
mod test_reports;
mod text;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::Cli;
use crate::cli::client::{Client, CompletionsArgs};
use crate::error::CliError;

/// Runs a command.
pub fn main(command: &Client) -> Result<ExitCode, CliError> {
    match command {
        Client::Pipelines(arguments) => lists::pipelines(arguments),
        Client::Jobs(arguments) => lists::jobs(arguments),
        Client::Job(arguments) => one_job::show(arguments),
        Client::Logs(arguments) => logs::main(arguments),
        Client::Trigger(arguments) => change::trigger(arguments),
        Client::Cancel(arguments) => change::cancel(arguments),
        Client::Rerun(arguments) => change::rerun(arguments),
        Client::Tests(arguments) => test_reports::main(arguments),
        Client::Artifacts(arguments) => artifacts::main(arguments),
        Client::Login(arguments) => login::main(arguments),
        Client::Completions(arguments) => completions(arguments),
    }
}

/// Shows a job of the server that this process itself is, as `danube logs -f` shows any, until the job ends.
pub async fn watch(url: String, token: String, job: String) -> Result<(), CliError> {
    let http = http::Http::new(find::Instance::own(url, token));
    let asked = http.clone();
    let found = tokio::task::spawn_blocking(move || reference::job(&asked, &job)).await.map_err(CliError::infra)??;
    let screen = shown::Screen::new(text::paint());
    follow::look_on(&http, &found, follow::Shown::Screen(Box::new(screen))).await.map(drop)
}

fn completions(arguments: &CompletionsArgs) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "danube", &mut script);
    print(&script)
}

/// Results on stdout. Whoever reads them may leave; that is no failure.
fn print(bytes: &[u8]) -> Result<ExitCode, CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::infra(format!("stdout: {error}"))),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// A JSON document on stdout.
fn print_json(document: &serde_json::Value) -> Result<ExitCode, CliError> {
    print(format!("{document}\n").as_bytes())
}
