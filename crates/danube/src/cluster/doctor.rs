//! `danube doctor --cluster` and `danube doctor egress`.

use std::io::Write;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;

use danube_config::server::KubernetesConfig;
use danube_core::egress::{EgressMode, EgressPolicy, EgressRule};
use danube_kube::Access;
use danube_kube::doctor::verdict::Verdict;
use danube_kube::doctor::{self, Canary, Fact, Place};
use serde::Serialize;

use super::{Way, ask, code};
use crate::cli::DoctorArgs;
use crate::cli::cluster::{EgressArgs, WhereArgs};
use crate::error::CliError;
use crate::settings;

#[derive(Serialize)]
struct Report {
    /// Of the canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    facts: Vec<Fact>,
}

/// What the cluster offers and lacks. Exit code 3 when something is not good.
pub fn doctor(arguments: &DoctorArgs) -> Result<ExitCode, CliError> {
    let images = [arguments.shim_image.clone(), arguments.coordinator_image.clone()];
    let (way, place) = subject(&arguments.place, arguments.config.as_deref(), images)?;
    let facts = ask(&way, async |client| doctor::look(&client, &place).await)?;
    let good = facts.iter().all(|fact| fact.good);
    print(&Report { verdict: None, facts }, arguments.json)?;
    Ok(code(good))
}

/// What a job can reach. Exit code 3 unless it is what its list says, and nothing else.
pub fn egress(arguments: &EgressArgs) -> Result<ExitCode, CliError> {
    let images = [None, arguments.coordinator_image.clone()];
    let (way, place) = subject(&arguments.place, arguments.config.as_deref(), images)?;
    let canary = canary(arguments)?;
    let (verdict, facts) = ask(&way, async |client| doctor::egress(&client, &place, &canary).await)?;
    print(&Report { verdict: Some(verdict), facts }, arguments.json)?;
    Ok(code(verdict.is_good()))
}

/// Which cluster, which part of it and which images: as they were typed, or as danube.toml has them.
fn subject<'a>(
    typed: &'a WhereArgs,
    config: Option<&Path>,
    [shim_image, coordinator_image]: [Option<String>; 2],
) -> Result<(Way<'a>, Place), CliError> {
    let Some(config) = config else {
        let (namespace, instance) = (typed.namespace.clone(), typed.instance.clone());
        return Ok((Way::Typed(typed), Place { namespace, instance, shim_image, coordinator_image }));
    };
    let told = settings::read(config)?.kubernetes;
    let way = Way::Server(Access { kubeconfig: told.kubeconfig, context: told.context });
    let KubernetesConfig { namespace, instance, shim_image, coordinator_image, .. } = told;
    Ok((way, Place { namespace, instance, shim_image, coordinator_image }))
}

fn canary(arguments: &EgressArgs) -> Result<Canary, CliError> {
    let rules: Result<Vec<EgressRule>, _> = arguments.allowed.iter().map(|text| text.parse()).collect();
    let rules = rules.map_err(CliError::config)?;
    let first = rules.iter().find(|rule| !rule.name.contains('*'));
    Ok(Canary {
        allowed_addresses: first.map(|rule| addresses(&rule.name)).unwrap_or_default(),
        allowed: EgressPolicy { mode: EgressMode::Enforce, rules },
        other: Some((arguments.other.clone(), addresses(&arguments.other))),
    })
}

/// As this machine knows them: one of each kind. None where it cannot ask, and then they are not tried.
fn addresses(name: &str) -> Vec<IpAddr> {
    let found: Vec<IpAddr> = (name, 443).to_socket_addrs().into_iter().flatten().map(|address| address.ip()).collect();
    let first = |wanted: fn(&&IpAddr) -> bool| found.iter().find(wanted).copied();
    first(|address| address.is_ipv4()).into_iter().chain(first(|address| address.is_ipv6())).collect()
}

fn print(report: &Report, json: bool) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let written = if json {
        serde_json::to_writer(&mut out, report).map_err(std::io::Error::other).and_then(|()| writeln!(out))
    } else {
        let line = |fact: &Fact| {
            let mark = if fact.good { "ok  " } else { "less" };
            writeln!(out, "{mark} {:<18} {}", fact.name, fact.words)
        };
        let facts = report.facts.iter().try_for_each(line);
        facts.and_then(|()| report.verdict.map_or(Ok(()), |verdict| writeln!(out, "{}", verdict.words())))
    };
    written.map_err(CliError::infra)
}
