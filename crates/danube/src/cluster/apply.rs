//! `danube cluster apply`.

use std::io::Write;
use std::process::ExitCode;

use danube_kube::services::apply::{self, How};
use danube_kube::services::{self, Object, Registry, Services};

use super::{Way, ask, code};
use crate::cli::cluster::{ApplyArgs, Part};
use crate::error::CliError;

/// Runs the command. Exit code 3 when an object could not be applied.
pub fn main(arguments: &ApplyArgs) -> Result<ExitCode, CliError> {
    let made = services::objects(&wanted(arguments)).map_err(CliError::config)?;
    let only = arguments.only.map(|part| match part {
        Part::Foundation => services::Part::Foundation,
        Part::Services => services::Part::Services,
    });
    let chosen = made.into_iter().filter(|(part, _)| only.is_none_or(|only| only == *part));
    let objects: Vec<Object> = chosen.map(|(_, object)| object).collect();
    if arguments.print {
        print(&objects)?;
        return Ok(ExitCode::SUCCESS);
    }
    let how = How { dry_run: arguments.dry_run, force: arguments.force };
    ask(&Way::Typed(&arguments.place), async |client| {
        let mut good = true;
        for object in &objects {
            let outcome = apply::apply(&client, object, how).await;
            good &= outcome.is_good();
            say(format_args!("{:<56} {outcome}", object.title()))?;
        }
        if arguments.dry_run {
            say(format_args!("nothing was changed: this was a dry run"))?;
        }
        Ok(code(good))
    })?
}

fn wanted(arguments: &ApplyArgs) -> Services {
    let registry = |image: &String| Registry { image: image.clone(), storage: arguments.registry_storage.clone() };
    Services {
        jobs: arguments.place.namespace.clone(),
        system: arguments.system_namespace.clone(),
        instance: arguments.place.instance.clone(),
        cilium: !arguments.without_cilium,
        registry: arguments.registry_image.as_ref().map(registry),
        dex: arguments.dex_image.clone(),
    }
}

fn print(objects: &[Object]) -> Result<(), CliError> {
    for object in objects {
        say(format_args!("---\n{}", object.yaml().trim_end()))?;
    }
    Ok(())
}

fn say(words: std::fmt::Arguments<'_>) -> Result<(), CliError> {
    writeln!(std::io::stdout(), "{words}").map_err(CliError::infra)
}
