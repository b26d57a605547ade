//! `danube serve`: the production master, put together from the same parts as `danube dev`. What it is told stands in
//! danube.toml, what it runs in the configuration repository; its jobs run on when it stops, and the next one takes
//! them up.

mod check_config;
mod credentials;
mod init_config;
mod migrate;
mod seat;
mod systemd;

use std::process::ExitCode;
use std::time::Duration;

use danube_config::server::{RuntimeKind, ServerConfig};
use danube_core::job::ExitClass;
use danube_engine::master::Stop;
use danube_engine::sync::Follower;
use danube_sandbox::{ids::Tier, probe};
use danube_store::jobs;
use tokio::net::TcpListener;

use crate::checkout::Terms;
use crate::cli::ConfigArg;
use crate::error::CliError;
use crate::local::instance::{self, Announced, Kind};
use crate::local::stops::Stops;
use crate::local::{self, Cluster, Jobs, Local, Settings, needs};
use crate::place::Place;
use crate::settings;
pub use check_config::main as check_config;
pub use init_config::main as init_config;
pub use migrate::main as migrate;
use seat::Seat;

/// How long is waited for what should take no time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the command.
pub fn main(arguments: &ConfigArg) -> Result<ExitCode, CliError> {
    let config = settings::read(&arguments.config)?;
    // The probe forks: it comes before anything that could start a thread.
    if config.runtime == RuntimeKind::Embedded && probe::probe().tier == Tier::None {
        return Err(CliError::infra(
            "this machine gives no user namespaces, and without them a server isolates no job",
        )
        .hint("`danube doctor` says why, and what to do"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::infra)?;
    runtime.block_on(serve(&config))?;
    Ok(ExitCode::from(ExitClass::Success.code()))
}

async fn serve(config: &ServerConfig) -> Result<(), CliError> {
    let mut stops = Stops::listen().map_err(CliError::infra)?;
    let place = Place::at(config.data_dir.clone());
    instance::refuse_a_second(&place)?;
    let jobs = jobs(config, &place).await?;
    let mut seat = tokio::select! {
        seat = Seat::take(&jobs, &place) => seat?,
        () = stops.next() => return Ok(()),
    };
    let mut local = start(config, &place, jobs).await?;
    let mut follower = Follower::new(local.master.clone(), config.config.clone());
    follower.look().await;
    let mut config_followed = tokio::spawn(follower.follow());
    let _announced = Announced::write(Kind::Serve, place.dir(), &local.url, &local.token)?;
    tracing::info!("Danube is at {}; `danube login` gives a link for a browser", local.url);
    systemd::notify(systemd::READY);
    let ended = tokio::select! {
        () = stops.next() => Ok(()),
        ended = local.ended() => ended,
        lost = seat.lost() => Err(lost),
        died = &mut config_followed => Err(CliError::infra(format!("the configuration is followed no more: {died:?}"))),
    };
    config_followed.abort();
    systemd::notify(systemd::STOPPING);
    let left = match ended {
        Ok(()) => leave(&mut local).await,
        failed => failed,
    };
    local.close().await;
    seat.leave().await;
    left
}

async fn start(config: &ServerConfig, place: &Place, jobs: Jobs) -> Result<Local, CliError> {
    let api_token = credentials::api_token(config.credentials.as_deref())?;
    tracing::info!("{}", needs::git_version()?);
    let listening = TcpListener::bind(config.listen).await;
    let listener = listening.map_err(|error| {
        CliError::config(format!("listen = \"{}\": {error}", config.listen)).hint("name another port in danube.toml")
    })?;
    local::start(Settings {
        dir: place.master(),
        place: place.clone(),
        terms: Terms::Strangers,
        jobs,
        limits: needs::limits(config.limits.jobs, config.limits.jobs_per_pipeline),
        listener,
        hosts: Vec::new(),
        api_token,
    })
    .await
}

/// What runs jobs.
async fn jobs(config: &ServerConfig, place: &Place) -> Result<Jobs, CliError> {
    match config.runtime {
        RuntimeKind::Embedded => {
            let python = needs::python()?;
            tracing::info!("python {} is {}", python.version, python.path.display());
            Ok(Jobs::Here { python, warm: config.limits.warm })
        }
        RuntimeKind::Kubernetes => {
            let cluster = Cluster::connect(&config.kubernetes, place.images()).await?;
            Ok(Jobs::Cluster(Box::new(cluster)))
        }
    }
}

/// Stops without ending a job.
async fn leave(local: &mut Local) -> Result<(), CliError> {
    let open = jobs::open(local.master.store().read()).await.map_err(CliError::infra)?;
    let waiting = open.iter().filter(|job| job.waits).count();
    tracing::info!("stopping: {}", rest(open.len() - waiting, waiting));
    local.stop(Stop::Leave);
    let ended = tokio::time::timeout(PATIENCE, local.ended()).await;
    ended.unwrap_or_else(|_| Err(CliError::infra("the jobs' part did not stop: it is abandoned; its jobs run on")))
}

/// What becomes of the jobs.
fn rest(running: usize, waiting: usize) -> String {
    let count = |count: usize| if count == 1 { "1 job".to_owned() } else { format!("{count} jobs") };
    let waits = if waiting == 0 { String::new() } else { format!("; {} in the queue kept", count(waiting)) };
    match running {
        0 => format!("no job is running{waits}"),
        1 => format!("1 job runs on by itself, for up to an hour; the next `danube serve` takes it up{waits}"),
        _ => format!(
            "{running} jobs run on by themselves, for up to an hour; the next `danube serve` takes them up{waits}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_stops_it_is_told_what_becomes_of_the_jobs() {
        assert_eq!(rest(0, 0), "no job is running");
        assert_eq!(rest(0, 1), "no job is running; 1 job in the queue kept");
        assert_eq!(rest(1, 0), "1 job runs on by itself, for up to an hour; the next `danube serve` takes it up");
        assert!(rest(3, 2).starts_with("3 jobs run on") && rest(3, 2).ends_with("; 2 jobs in the queue kept"));
    }
}
