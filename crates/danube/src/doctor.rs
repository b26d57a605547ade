//! `danube doctor`: in one line each, what this machine offers, what it costs, and what to do about what is missing.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};

use danube_core::job::ExitClass;
use danube_sandbox::ids::Tier;
use danube_sandbox::probe::{self, Fact};
use serde::Serialize;

use crate::cli::DoctorArgs;
use crate::cli::cluster::DoctorOf;
use crate::error::CliError;
use crate::place::Place;

/// With less free space a job that unpacks an image or builds something larger fails half way.
const LITTLE_SPACE: u64 = 2 << 30;

/// Everything that was found.
#[derive(Serialize)]
struct Report {
    /// Which of the four degrees of isolation jobs get: `root`, `subuid`, `single`, `none`.
    tier: Tier,
    facts: Vec<Line>,
}

/// One line.
#[derive(Serialize)]
struct Line {
    name: &'static str,
    good: bool,
    words: String,
}

/// Runs the command. Exit code 3 when a job could not run isolated, or not at all.
pub fn main(arguments: &DoctorArgs) -> Result<ExitCode, CliError> {
    match &arguments.of {
        Some(DoctorOf::Egress(wanted)) => return crate::cluster::egress(wanted),
        None if arguments.cluster => return crate::cluster::doctor(arguments),
        None => {}
    }
    // The probe forks: it comes before anything that could start a thread.
    let probe = probe::probe();
    let place = Place::find(arguments.data_dir.as_deref())?;
    let mut facts = vec![isolation(probe.tier)];
    facts.extend(probe.facts.into_iter().map(|Fact { name, good, words }| Line { name, good, words }));
    let needs = [python(), git()];
    let able = probe.tier != Tier::None && needs.iter().all(|line| line.good);
    facts.extend(needs);
    facts.push(disk(place.dir()));
    print(&Report { tier: probe.tier, facts }, arguments.json)?;
    Ok(ExitCode::from(if able { ExitClass::Success.code() } else { ExitClass::Infra.code() }))
}

fn print(report: &Report, json: bool) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let written = if json {
        serde_json::to_writer(&mut out, report).map_err(std::io::Error::other).and_then(|()| writeln!(out))
    } else {
        let line = |line: &Line| (if line.good { "ok  " } else { "less" }, line.name, line.words.clone());
        report.facts.iter().map(line).try_for_each(|(mark, name, words)| writeln!(out, "{mark} {name:<16} {words}"))
    };
    written.map_err(CliError::infra)
}

/// Which of the four degrees applies, and what it costs.
fn isolation(tier: Tier) -> Line {
    let words = match tier {
        Tier::Root => "1 of 4, range as root: images may have any user; jobs never have your rights",
        Tier::Subuid => "2 of 4, range of an ordinary user: as 1, and the runner needs no rights of root",
        Tier::Single => {
            "3 of 4, one id: every user of an image is you outside, so setuid, chown and apt fail in steps; the package \
             uidmap and a line in /etc/subuid and /etc/subgid give 2"
        }
        Tier::None => "4 of 4, none: only `danube run --isolation none`, whose steps can do all that you can",
    };
    Line { name: "isolation", good: matches!(tier, Tier::Root | Tier::Subuid), words: words.to_owned() }
}

fn python() -> Line {
    match danube_sandbox::find_python(&std::env::var("PATH").unwrap_or_default()) {
        Ok(python) => {
            let words = format!("{} is {}", python.path.display(), python.version);
            Line { name: "python", good: true, words }
        }
        Err(error) => Line { name: "python", good: false, words: error.to_string() },
    }
}

fn git() -> Line {
    let output = Command::new("git").arg("--version").output();
    match output {
        Ok(output) if output.status.success() => {
            let words = String::from_utf8_lossy(&output.stdout).trim().replace("git version ", "version ");
            Line { name: "git", good: true, words }
        }
        _ => Line { name: "git", good: false, words: "missing: install it (Debian: apt install git)".to_owned() },
    }
}

/// Free space where runs, logs and images are kept, or will be.
fn disk(dir: &Path) -> Line {
    let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let words = match rustix::fs::statvfs(there) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let text = format!("{} MiB free for {}", free >> 20, dir.display());
            if free < LITTLE_SPACE {
                let words = format!("{text}: make room, or choose another place with --data-dir");
                return Line { name: "disk", good: false, words };
            }
            text
        }
        Err(error) => return Line { name: "disk", good: false, words: format!("{}: {error}", there.display()) },
    };
    Line { name: "disk", good: true, words }
}
