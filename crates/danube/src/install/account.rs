//! The account of the server: a user and a group without a shell or a password.

use std::fs;

use super::changes::{Changes, Kind};
use super::files;
use super::target::{Target, has, is_root, run};
use crate::error::CliError;

/// What the user and the group are called.
pub const NAME: &str = "danube";
/// Its home, where registries' passwords are looked for, and where all its data is.
pub const HOME: &str = "/var/lib/danube";
/// By what systemd makes the account.
pub const SYSUSERS: &str = "/etc/sysusers.d/danube.conf";
const SYSUSERS_TEXT: &str = "u danube - \"Danube\" /var/lib/danube /usr/sbin/nologin\n";

/// A line of /etc/passwd.
#[derive(Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's and the group's number.
    pub ids: (u32, u32),
    /// Whether it is one as we make it: then it may be removed.
    pub is_ours: bool,
}

/// Finds the account, or makes it. None where only the start of that system can.
pub fn ensure(target: &Target, changes: &mut Changes) -> Result<Option<Account>, CliError> {
    files::ensure(&target.at(SYSUSERS), SYSUSERS_TEXT, changes)?;
    if let Some(account) = find(target) {
        return Ok(Some(account));
    }
    if !(target.is_here() || is_root() && target.at("/etc/passwd").exists()) {
        return Ok(None);
    }
    changes.apply(Kind::Make, "the account danube", || make(target))?;
    Ok(find(target))
}

fn make(target: &Target) -> Result<(), CliError> {
    if has("systemd-sysusers") {
        return run("systemd-sysusers", target.option("--root").into_iter().chain(["danube.conf".to_owned()]));
    }
    if !has("useradd") {
        return Err(CliError::config("neither systemd-sysusers nor useradd is here to make the account danube")
            .hint("make the user and the group danube by hand, then run this again"));
    }
    let group = if has_group(target) { ["--gid", NAME].as_slice() } else { &["--user-group"] };
    let fixed =
        ["--system", "--no-create-home", "--home-dir", HOME, "--shell", "/usr/sbin/nologin", "--comment", "Danube"];
    let words = fixed.iter().chain(group).map(|word| (*word).to_owned()).chain(root_words(target));
    run("useradd", words.chain([NAME.to_owned()]))
}

/// shadow's programs want it in two words.
fn root_words(target: &Target) -> Vec<String> {
    target.option("").map_or(Vec::new(), |root| vec!["--root".to_owned(), root.trim_start_matches('=').to_owned()])
}

/// The account, if it is there.
pub fn find(target: &Target) -> Option<Account> {
    parse(&fs::read_to_string(target.at("/etc/passwd")).unwrap_or_default())
}

fn parse(passwd: &str) -> Option<Account> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(NAME))?;
    let fields: Vec<&str> = line.split(':').collect();
    let [_, _, user, group, _, home, shell] = fields[..] else { return None };
    let is_ours = home == HOME && (shell.ends_with("/nologin") || shell.ends_with("/false"));
    Some(Account { ids: (user.parse().ok()?, group.parse().ok()?), is_ours })
}

fn has_group(target: &Target) -> bool {
    let groups = fs::read_to_string(target.at("/etc/group")).unwrap_or_default();
    groups.lines().any(|line| line.split(':').next() == Some(NAME))
}

/// Removes the file for systemd, and its folder, which Debian does not have by itself.
pub fn forget(target: &Target, changes: &mut Changes) -> Result<(), CliError> {
    let path = target.at(SYSUSERS);
    files::remove(&path, changes)?;
    if let Some(folder) = path.parent().filter(|_| !changes.is_dry()) {
        // One with something in it stays.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

/// Removes the account, if it is one as we make it.
pub fn remove(target: &Target, changes: &mut Changes) -> Result<(), CliError> {
    let Some(account) = find(target) else { return Ok(()) };
    if !account.is_ours {
        changes.keep("the account danube", "it is not as `danube install` makes it");
        return Ok(());
    }
    changes.apply(Kind::Remove, "the account danube", || {
        let words = |last: &str| root_words(target).into_iter().chain([last.to_owned()]).collect::<Vec<_>>();
        run("userdel", words(NAME))?;
        if has_group(target) { run("groupdel", words(NAME)) } else { Ok(()) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_account_like_ours_may_be_removed() {
        let account = |line: &str| parse(&format!("root:x:0:0::/root:/bin/sh\n{line}\n"));
        let ours = "danube:x:998:997:Danube:/var/lib/danube:/usr/sbin/nologin";
        assert_eq!(account(ours), Some(Account { ids: (998, 997), is_ours: true }));
        for others in [ours.replace("/var/lib", "/srv"), ours.replace("/usr/sbin/nologin", "/bin/bash")] {
            assert_eq!(account(&others), Some(Account { ids: (998, 997), is_ours: false }));
        }
        assert_eq!(account("danube-test:x:1:1::/var/lib/danube:/bin/false"), None);
        assert_eq!(account("danube:x:998"), None);
    }
}
