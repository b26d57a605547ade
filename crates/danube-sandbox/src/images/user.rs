//! The user that an image runs as: ids, or names looked up in the image's own `/etc/passwd` and `/etc/group`.

use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::error::{ImageError, Result};

/// A user as the kernel and the shell need it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The other groups that the image's `/etc/group` lists the user in.
    pub groups: Vec<u32>,
    /// The name, where the image has one for this id.
    pub name: Option<String>,
    /// The home directory, `/` where the image has none.
    pub home: String,
}

struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

struct Group {
    name: String,
    gid: u32,
    members: String,
}

/// The largest id that Danube maps into a container.
const LAST_ID: u32 = 65535;

/// Finds the user of an image's configuration (`None`: root) in its unpacked root file system.
pub fn find(rootfs: BorrowedFd<'_>, user: Option<&str>) -> Result<User> {
    let text = user.unwrap_or("0");
    let refuse = |why: String| ImageError::User { user: text.to_owned(), why };
    let accounts = accounts(&read(rootfs, "etc/passwd").map_err(refuse)?);
    let groups = groups(&read(rootfs, "etc/group").map_err(refuse)?);
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let account = match user.parse::<u32>() {
        Ok(uid) => accounts.into_iter().find(|account| account.uid == uid).unwrap_or_else(|| nameless(uid)),
        Err(_) => accounts
            .into_iter()
            .find(|account| account.name == user)
            .ok_or_else(|| refuse(format!("the image's /etc/passwd has no user {user:?}")))?,
    };
    let gid = match group {
        None | Some("") => account.gid,
        Some(group) => {
            group_id(group, &groups).ok_or_else(|| refuse(format!("the image's /etc/group has no group {group:?}")))?
        }
    };
    if let Some(id) = [account.uid, gid].into_iter().find(|id| *id > LAST_ID) {
        return Err(refuse(format!("id {id} does not exist in a container; only 0 to {LAST_ID} do")));
    }
    Ok(complete(account, gid, &groups))
}

fn nameless(uid: u32) -> Account {
    Account { name: String::new(), uid, gid: 0, home: "/".to_owned() }
}

fn complete(account: Account, gid: u32, groups: &[Group]) -> User {
    let member = |group: &&Group| !account.name.is_empty() && group.members.split(',').any(|m| m == account.name);
    let others = groups.iter().filter(member).map(|group| group.gid).filter(|id| *id != gid && *id <= LAST_ID);
    let mut others: Vec<u32> = others.collect();
    others.sort_unstable();
    others.dedup();
    User {
        uid: account.uid,
        gid,
        groups: others,
        name: Some(account.name).filter(|name| !name.is_empty()),
        home: account.home,
    }
}

fn group_id(group: &str, groups: &[Group]) -> Option<u32> {
    group.parse().ok().or_else(|| groups.iter().find(|known| known.name == group).map(|known| known.gid))
}

/// A file of the image as text, empty if there is none. The kernel keeps every link of the path within the image.
fn read(rootfs: BorrowedFd<'_>, path: &str) -> std::result::Result<String, String> {
    const LARGEST: u64 = 1 << 20;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file: File = match rustix::fs::openat2(rootfs, path, flags, Mode::empty(), within) {
        Ok(fd) => fd.into(),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
        Err(errno) => return Err(format!("the image's /{path} cannot be opened: {errno}")),
    };
    let failed = |error: std::io::Error| format!("the image's /{path} cannot be read: {error}");
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(format!("the image's /{path} is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("the image's /{path} has more than {LARGEST} bytes"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn accounts(passwd: &str) -> Vec<Account> {
    let account = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields.as_slice() else { return None };
        let home = if home.is_empty() { "/" } else { home };
        Some(Account {
            name: (*name).to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: home.to_owned(),
        })
    };
    passwd.lines().filter_map(account).collect()
}

fn groups(group: &str) -> Vec<Group> {
    let one = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, members] = fields.as_slice() else { return None };
        Some(Group { name: (*name).to_owned(), gid: gid.parse().ok()?, members: (*members).to_owned() })
    };
    group.lines().filter_map(one).collect()
}
