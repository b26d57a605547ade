//! `danube cluster` and what `danube doctor` says of one. What is asked of a cluster is danube-kube's matter; here is how it
//! is typed and printed.

mod apply;
mod doctor;

use std::process::ExitCode;

use danube_core::job::ExitClass;
use danube_kube::{Access, Client};

use crate::cli::cluster::{Cluster, WhereArgs};
use crate::error::CliError;

pub use doctor::{doctor, egress};

/// Runs the command.
pub fn main(command: &Cluster) -> Result<ExitCode, CliError> {
    match command {
        Cluster::Apply(arguments) => apply::main(arguments),
    }
}

/// How a cluster is reached.
enum Way<'a> {
    /// As whoever types says, or as kubectl would.
    Typed(&'a WhereArgs),
    /// As a server is told.
    Server(Access),
}

/// Asks the cluster something.
fn ask<T>(way: &Way<'_>, question: impl AsyncFnOnce(Client) -> T) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::infra)?;
    runtime.block_on(async {
        let client = match way {
            Way::Typed(place) => danube_kube::connect(place.kubeconfig.as_deref()).await,
            Way::Server(access) => access.client().await,
        };
        Ok(question(client.map_err(CliError::config)?).await)
    })
}

/// 0 when all is good, 3 otherwise.
fn code(good: bool) -> ExitCode {
    ExitCode::from(if good { ExitClass::Success.code() } else { ExitClass::Infra.code() })
}
