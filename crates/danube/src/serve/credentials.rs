//! Credentials that an operator puts into a folder, each a file that only Danube's user can read.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::CliError;

/// The file with a token for programs.
const API_TOKEN: &str = "api-token";
/// A shorter token can be guessed.
const SHORTEST: usize = 32;
/// A longer one is a mistake.
const LONGEST: u64 = 4096;

/// Who else may have which rights to a file of an operator's: none.
const OTHERS: u32 = 0o077;
/// The same of a file of systemd's. It gives the file to root and the right to read it to the service's user by an access
/// control list, whose mask stands where a group's rights stand: 0440, and no group can read it.
const OTHERS_OF_SYSTEMD: u32 = 0o037;

/// The token for programs, where there is one: in the folder that danube.toml names, else in the one that systemd gives.
pub fn api_token(folder: Option<&Path>) -> Result<Option<String>, CliError> {
    let given = || std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    match folder {
        Some(folder) => token_in(folder, OTHERS),
        None => given().map_or(Ok(None), |folder| token_in(&folder, OTHERS_OF_SYSTEMD)),
    }
}

fn token_in(folder: &Path, others: u32) -> Result<Option<String>, CliError> {
    let path = folder.join(API_TOKEN);
    let wrong = |what: String| CliError::config(format!("{}: {what}", path.display()));
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && folder.is_dir() => return Ok(None),
        file => file.map_err(|error| wrong(error.to_string()))?,
    };
    let mode = file.metadata().map_err(|error| wrong(error.to_string()))?.mode();
    if mode & others != 0 {
        return Err(wrong("others can read it".to_owned()).hint(format!("chmod 600 {}", path.display())));
    }
    let mut text = String::new();
    file.by_ref().take(LONGEST).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
    let token = text.trim();
    if token.len() < SHORTEST || token.contains(|c: char| !c.is_ascii_graphic()) {
        let error = wrong(format!("a token is {SHORTEST} characters or more of one line, without spaces"));
        return Err(error.hint("make one: openssl rand -hex 32"));
    }
    Ok(Some(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn of(text: &str, mode: u32) -> Result<Option<String>, String> {
        given(text, mode, OTHERS)
    }

    fn given(text: &str, mode: u32, others: u32) -> Result<Option<String>, String> {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join(API_TOKEN);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        token_in(dir.path(), others).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_token_is_long_and_nobody_elses_to_read() {
        let token = TOKEN;
        assert_eq!(of(&format!("{token}\n"), 0o400), Ok(Some(token.to_owned())));
        for (text, mode, why) in
            [(token, 0o644, "others"), ("short", 0o600, "32"), (&token.replace('a', " "), 0o600, "spaces")]
        {
            let said = of(text, mode).expect_err("refused");
            assert!(said.contains(why) && !said.contains(token), "{said}");
        }
    }

    #[test]
    fn systemds_own_file_shows_the_mask_of_an_access_control_list_as_a_groups_right() {
        assert_eq!(given(TOKEN, 0o440, OTHERS_OF_SYSTEMD), Ok(Some(TOKEN.to_owned())));
        for mode in [0o444, 0o460, 0o442] {
            assert!(given(TOKEN, mode, OTHERS_OF_SYSTEMD).expect_err("refused").contains("others"), "{mode:o}");
        }
        assert!(of(TOKEN, 0o440).expect_err("refused").contains("others"), "an operator's file has no such list");
    }

    #[test]
    fn a_folder_without_one_gives_none_and_no_folder_is_an_error() {
        let dir = tempfile::tempdir().expect("folder");
        assert_eq!(api_token(Some(dir.path())).ok(), Some(None));
        assert!(api_token(Some(&dir.path().join("nowhere"))).is_err());
    }
}
