//! `danube doctor --cluster` and `danube doctor egress`.

use std::io::Write;
use std::net::{IpAddr, ToSocketAddrs};
use std::process::ExitCode;

use danube_core::egress::{EgressMode, EgressPolicy, EgressRule};
use danube_kube::doctor::verdict::Verdict;
use danube_kube::doctor::{self, Canary, Fact, Place};
use serde::Serialize;

use super::{ask, code};
use crate::cli::DoctorArgs;
use crate::cli::cluster::{EgressArgs, WhereArgs};
use crate::error::CliError;

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
    let place = place(&arguments.place, images);
    let facts = ask(&arguments.place, async |client| doctor::look(&client, &place).await)?;
    let good = facts.iter().all(|fact| fact.good);
    print(&Report { verdict: None, facts }, arguments.json)?;
    Ok(code(good))
}

/// What a job can reach. Exit code 3 unless it is what its list says, and nothing else.
pub fn egress(arguments: &EgressArgs) -> Result<ExitCode, CliError> {
    let place = place(&arguments.place, [None, Some(arguments.coordinator_image.clone())]);
    let canary = canary(arguments)?;
    let (verdict, facts) = ask(&arguments.place, async |client| doctor::egress(&client, &place, &canary).await)?;
    print(&Report { verdict: Some(verdict), facts }, arguments.json)?;
    Ok(code(verdict.is_good()))
}

fn place(of: &WhereArgs, [shim_image, coordinator_image]: [Option<String>; 2]) -> Place {
    Place { namespace: of.namespace.clone(), instance: of.instance.clone(), shim_image, coordinator_image }
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
