//! Secrets of `danube run`: from the environment or a file, never from the command line, which every user can read.

use std::collections::BTreeMap;

use crate::error::CliError;

/// One secret at most (product.md S2).
const LONGEST: usize = 64 * 1024;
const FORMS: &str = "write --secret NAME, --secret NAME=env:VAR or --secret NAME=@FILE";

/// Reads all secrets that were asked for.
pub fn read(asked: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    asked.iter().map(|text| one(text)).collect()
}

fn one(text: &str) -> Result<(String, String), CliError> {
    let (name, source) = text.split_once('=').unwrap_or((text, ""));
    if !is_name(name) {
        return Err(CliError::config(format!("`{name}` cannot be a secret's name: letters, digits and _")).hint(FORMS));
    }
    let value = match (source.strip_prefix('@'), source.strip_prefix("env:")) {
        (Some(file), _) => from_file(name, file)?,
        (_, Some(variable)) => from_environment(name, variable)?,
        _ if source.is_empty() && !text.contains('=') => from_environment(name, name)?,
        _ => {
            let message =
                format!("the secret {name}: a value on the command line can be read by every user of this machine");
            return Err(CliError::config(message).hint(FORMS));
        }
    };
    if value.len() > LONGEST {
        return Err(CliError::config(format!("the secret {name} is larger than {LONGEST} bytes")));
    }
    Ok((name.to_owned(), value))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn from_environment(name: &str, variable: &str) -> Result<String, CliError> {
    match std::env::var(variable) {
        Ok(value) => Ok(value),
        Err(_) => {
            Err(CliError::config(format!("the secret {name}: the environment has no text in {variable}")).hint(FORMS))
        }
    }
}

fn from_file(name: &str, file: &str) -> Result<String, CliError> {
    let read = std::fs::read_to_string(file);
    read.map_err(|error| CliError::config(format!("the secret {name}: {file}: {error}")).hint(FORMS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_the_command_line_is_refused_and_not_repeated() {
        let error = one("TOKEN=hunter2hunter2").expect_err("refused");
        assert!(!error.message().contains("hunter2"), "{}", error.message());
        one("TOKEN=").expect_err("an empty value is a value");
    }

    #[test]
    fn a_secret_comes_from_a_file() {
        let dir = tempfile::tempdir().expect("folder");
        let file = dir.path().join("key");
        std::fs::write(&file, "line one\nline two\n").expect("written");
        let (name, value) = one(&format!("KEY=@{}", file.display())).expect("read");
        assert_eq!((name.as_str(), value.as_str()), ("KEY", "line one\nline two\n"));
        one("KEY=@/nowhere").expect_err("missing");
        one("KEY=env:DANUBE_TEST_SURELY_UNSET").expect_err("unset");
        one("a-b").expect_err("a name");
    }
}
