//! On what terms danubefiles are run: on their writer's own machine, or on a server for strangers.

use std::collections::BTreeMap;
use std::path::Path;

use danube_config::danubefile::Danubefile;
use danube_core::egress::{EgressMode, EgressPolicy, EgressRule, parse_rules};
use danube_core::runtime::ImageSource;
use danube_sandbox::images::registry::Reference;
use danube_sandbox::{HomeTools, Images, SandboxConfig};

use super::{DEFAULT_IMAGE, secrets};
use crate::cli::{HowArgs, Isolation, Network};
use crate::error::CliError;

/// On what terms danubefiles are run.
#[derive(Clone, Debug)]
pub enum Terms {
    /// `run` and `dev`: what was typed holds, and the danubefile may use what its writer has on this machine.
    Own(Box<HowArgs>),
    /// `serve`: whoever can push writes the danubefile. It gets no file, program or network of the server.
    Strangers,
}

impl Terms {
    /// Those of what was typed.
    pub fn own(how: &HowArgs) -> Self {
        Self::Own(Box::new(how.clone()))
    }

    /// The secrets that were given.
    pub fn secrets(&self) -> Result<BTreeMap<String, String>, CliError> {
        match self {
            Self::Own(how) => secrets::read(&how.secrets),
            Self::Strangers => Ok(BTreeMap::new()),
        }
    }

    /// What may be reached.
    pub(super) fn egress(&self, danubefile: &Danubefile) -> Result<EgressPolicy, CliError> {
        match self {
            Self::Own(how) => own_egress(how, danubefile),
            Self::Strangers => strangers_egress(danubefile),
        }
    }

    /// Where each known image comes from. A path in the danubefile is relative to it, one that was typed to where it was.
    pub(super) fn images(
        &self,
        dir: &Path,
        danubefile: &Danubefile,
    ) -> Result<BTreeMap<String, ImageSource>, CliError> {
        let mut images = self.given_images()?;
        for known in danubefile.known_images() {
            let name = if known.image.is_empty() { DEFAULT_IMAGE.to_owned() } else { known.image };
            let parsed = ImageSource::parse(&name).based_on(dir);
            images.entry(name).or_insert(parsed);
        }
        for service in danubefile.known_services() {
            let parsed = ImageSource::parse(&service.image).based_on(dir);
            images.entry(service.image).or_insert(parsed);
        }
        images.iter().try_for_each(|(name, source)| self.check_image(name, source, danubefile))?;
        Ok(images)
    }

    fn given_images(&self) -> Result<BTreeMap<String, ImageSource>, CliError> {
        let Self::Own(how) = self else { return Ok(BTreeMap::new()) };
        let here = std::env::current_dir().map_err(CliError::infra)?;
        let given = how.images.iter();
        Ok(given.map(|(name, text)| (name.clone(), ImageSource::parse(text).based_on(&here))).collect())
    }

    fn check_image(&self, name: &str, source: &ImageSource, danubefile: &Danubefile) -> Result<(), CliError> {
        let strangers = matches!(self, Self::Strangers);
        if strangers && name == DEFAULT_IMAGE && danubefile.image.is_none() {
            let message = "a step names no image, and a server has none to begin with";
            return Err(CliError::config(message).hint("name one for all steps: @pipeline(image=\"python:3.13\")"));
        }
        // As it is written: a relative path was completed with the server's own.
        if strangers && let Some(words) = ImageSource::parse(name).refused_by_servers() {
            return Err(CliError::config(words));
        }
        let ImageSource::Reference(text) = source else { return Ok(()) };
        let parsed = text.parse::<Reference>().map(drop);
        parsed.map_err(|error| {
            let error = CliError::config(format!("the image `{name}`: {error}"));
            if strangers {
                return error;
            }
            error.hint(format!("or say where it is on this machine: --image {name}=tar:FILE, oci:DIR or host"))
        })
    }

    /// What of it the runtime must hold to, whatever a danubefile asks for later.
    pub(super) fn settle(&self, config: &mut SandboxConfig) {
        let Self::Own(how) = self else {
            config.images = Images::Registries;
            return;
        };
        config.isolation = match how.isolation {
            Isolation::Namespaces => danube_sandbox::Isolation::Namespaces,
            Isolation::None => danube_sandbox::Isolation::None,
        };
        if !how.no_home_tools {
            config.tools = HomeTools::find();
        }
    }
}

const fn enforce(rules: Vec<EgressRule>) -> EgressPolicy {
    EgressPolicy { mode: EgressMode::Enforce, rules }
}

/// What the danubefile lists, and nothing where it lists nothing. The server's own network is nobody's to list.
fn strangers_egress(danubefile: &Danubefile) -> Result<EgressPolicy, CliError> {
    let rules = danubefile.egress.clone().unwrap_or_default();
    match rules.iter().find(|rule| rule.private) {
        None => Ok(enforce(rules)),
        Some(rule) => {
            let message =
                format!("egress `{rule}`: a server lets no job reach the private addresses of its own network");
            Err(CliError::config(message).hint("leave out the word `private`, or run it with `danube run`"))
        }
    }
}

fn own_egress(how: &HowArgs, danubefile: &Danubefile) -> Result<EgressPolicy, CliError> {
    if how.isolation == Isolation::None {
        return match how.egress {
            None => Ok(EgressPolicy { mode: EgressMode::Host, rules: Vec::new() }),
            Some(_) => Err(CliError::config("--egress cannot be had together with --isolation none")
                .hint("without isolation steps use this machine's own network, which nobody records")),
        };
    }
    if how.network == Network::Host {
        return match how.egress {
            None => Ok(EgressPolicy { mode: EgressMode::Host, rules: Vec::new() }),
            Some(_) => Err(CliError::config("--egress cannot be had together with --network host")),
        };
    }
    // Recording keeps the danubefile's rules: they open further ports, and private addresses.
    let record = || EgressPolicy { mode: EgressMode::Record, rules: danubefile.egress.clone().unwrap_or_default() };
    match (how.egress.as_deref(), &danubefile.egress) {
        (Some("record"), _) | (None, None) => Ok(record()),
        (Some("deny"), _) => Ok(enforce(Vec::new())),
        (None, Some(rules)) => Ok(enforce(rules.clone())),
        (Some(file), _) => egress_of(file),
    }
}

fn egress_of(file: &str) -> Result<EgressPolicy, CliError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        CliError::config(format!("--egress {file}: {error}")).hint("record, deny, or a file with one name per line")
    })?;
    parse_rules(&text)
        .map(enforce)
        .map_err(|error| CliError::config(format!("{file}:{}: {}", error.line, error.source)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn danubefile(arguments: &str, step: &str) -> Danubefile {
        let source =
            format!("from danube import *\n@pipeline({arguments})\ndef build():\n    step.run('true'{step})\n");
        danube_config::danubefile::read("danubefile.py", source.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn egress(arguments: &str) -> Result<String, String> {
        let policy = Terms::Strangers.egress(&danubefile(arguments, "")).map_err(|error| error.message().to_owned())?;
        let rules: Vec<String> = policy.rules.iter().map(ToString::to_string).collect();
        assert_eq!(policy.mode, EgressMode::Enforce, "nothing is open because it is recorded");
        Ok(rules.join(" "))
    }

    #[test]
    fn a_stranger_reaches_nothing_or_the_names_that_it_lists() {
        assert_eq!(egress(""), Ok(String::new()));
        assert_eq!(egress("egress=['pip.example', 'db.example:5432']"), Ok("pip.example db.example:5432".to_owned()));
        let said = egress("egress=['pip.example', 'db.local:5432 private']").expect_err("refused");
        assert!(said.contains("`db.local:5432 private`") && said.contains("private addresses"), "{said}");
    }

    #[test]
    fn a_stranger_gets_images_of_registries_only_wherever_it_names_them() {
        let images = |arguments: &str, step: &str| {
            let found = Terms::Strangers.images(Path::new("/srv/app"), &danubefile(arguments, step));
            found.map(|images| images.into_keys().collect::<Vec<_>>()).map_err(|error| error.message().to_owned())
        };
        assert_eq!(images("image='rust:1'", ", image='node:22'"), Ok(vec!["node:22".to_owned(), "rust:1".to_owned()]));
        for image in ["host", "tar:x.tar", "tar:/etc/shadow", "oci:.", "oci:/var/lib/danube:1"] {
            for (arguments, step) in [
                (format!("image='{image}'"), String::new()),
                ("image='rust:1'".to_owned(), format!(", image='{image}'")),
                (format!("image='rust:1', images=['{image}']"), String::new()),
            ] {
                let said = images(&arguments, &step).expect_err("refused");
                assert!(said.starts_with(&format!("`{image}`: ")), "{arguments} {step}: {said}");
            }
        }
        assert!(images("", "").expect_err("refused").contains("names no image"));
        let service = "); service.start('tar:/etc/shadow', name='db', ready=tcp(1)";
        assert!(images("image='rust:1'", service).expect_err("refused").starts_with("`tar:/etc/shadow`: "));
    }

    #[test]
    fn a_stranger_gets_no_secret_and_no_tool_of_a_home() {
        assert!(Terms::Strangers.secrets().is_ok_and(|secrets| secrets.is_empty()));
        let mut config = SandboxConfig::new("/d".into(), "/s".into(), Vec::new());
        Terms::Strangers.settle(&mut config);
        assert_eq!((config.images, config.tools), (Images::Registries, HomeTools::none()));
    }
}
