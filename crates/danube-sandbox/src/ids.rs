//! Which user and group ids a job's processes have, inside and out.
//!
//! A job has two nested user namespaces. The *outer* one belongs to the keeper: its id 0 is the caller, its ids
//! 1 to 65536 are the range that tenants get. The *inner* one belongs to a container: its ids 0 to 65535 are the
//! outer 1 to 65536. So the keeper may hand files to tenants, while no tenant has the caller's id, nor any right
//! over what the outer namespace owns (the network). With a single id both namespaces know that one only.

use serde::{Deserialize, Serialize};

/// Ids a container sees: 0 to 65535.
pub const RANGE: u32 = 65_536;

/// The first id of the range that root maps jobs to, unless configured otherwise. It lies far above what people,
/// services and `/etc/subuid` use on common systems (up to 600 100 000).
pub const DEFAULT_BASE: u32 = 1_000_000_000;

/// One line of a `uid_map`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdLine {
    /// First id in the namespace.
    pub inside: u32,
    /// First id in the parent namespace.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Where the tenants' ids come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The caller is root: a fixed unprivileged range.
    Root,
    /// An ordinary user with a range in `/etc/subuid` and `/etc/subgid`.
    Subuid,
    /// An ordinary user without: the caller's own id is the only one.
    Single,
    /// No user namespaces: plain processes of the caller.
    None,
}

/// The ids of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// Where they come from.
    pub tier: Tier,
    /// The caller.
    pub caller: (u32, u32),
    /// First user and group id of the range on the host; unused with a single id.
    pub base: (u32, u32),
}

impl Ids {
    /// Whether a container has 65536 ids, so that `chown`, `su` and `apt` work in it.
    #[must_use]
    pub fn has_range(&self) -> bool {
        matches!(self.tier, Tier::Root | Tier::Subuid)
    }

    /// The first id on the host that an image's files may have: files unpacked for other ids cannot be used.
    #[must_use]
    pub fn first(&self) -> u32 {
        if self.has_range() { self.base.0 } else { self.caller.0 }
    }

    /// The keeper's maps, users then groups.
    #[must_use]
    pub fn outer(&self) -> [Vec<IdLine>; 2] {
        let lines = |caller, base| {
            let mut lines = vec![IdLine { inside: 0, outside: caller, count: 1 }];
            if self.has_range() {
                lines.push(IdLine { inside: 1, outside: base, count: RANGE });
            }
            lines
        };
        [lines(self.caller.0, self.base.0), lines(self.caller.1, self.base.1)]
    }

    /// A container's maps, users then groups. `user` is who its steps are when there is one id only.
    #[must_use]
    pub fn inner(&self, user: (u32, u32)) -> [Vec<IdLine>; 2] {
        if self.has_range() {
            let line = vec![IdLine { inside: 0, outside: 1, count: RANGE }];
            return [line.clone(), line];
        }
        [user.0, user.1].map(|inside| vec![IdLine { inside, outside: 0, count: 1 }])
    }

    /// What the keeper calls a container's user and group.
    #[must_use]
    pub fn in_keeper(&self, (user, group): (u32, u32)) -> (u32, u32) {
        if self.has_range() { (user.saturating_add(1), group.saturating_add(1)) } else { (0, 0) }
    }
}

/// The text of a `uid_map` or `gid_map`.
#[must_use]
pub fn map_text(lines: &[IdLine]) -> String {
    lines.iter().map(|line| format!("{} {} {}\n", line.inside, line.outside, line.count)).collect()
}

/// The range that a file in the form of `/etc/subuid` gives to a user, if it is large enough.
#[must_use]
pub fn sub_range(file: &str, name: &str, id: u32) -> Option<u32> {
    let id = id.to_string();
    let ranges = file.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let (first, count): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (owner == name || owner == id).then_some((first, count))
    });
    ranges.filter(|(_, count)| *count >= RANGE).map(|(first, _)| first).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_never_has_the_callers_id_when_there_is_a_range() {
        let ids = Ids { tier: Tier::Subuid, caller: (1001, 1001), base: (100_000, 100_000) };
        let [inner, _] = ids.inner((1000, 1000));
        let [outer, _] = ids.outer();
        assert_eq!(map_text(&outer), "0 1001 1\n1 100000 65536\n");
        assert_eq!(map_text(&inner), "0 1 65536\n");
        assert_eq!(ids.in_keeper((1000, 1000)), (1001, 1001));
    }

    #[test]
    fn with_one_id_the_images_user_is_the_caller() {
        let ids = Ids { tier: Tier::Single, caller: (1001, 100), base: (0, 0) };
        assert_eq!(ids.inner((70, 71)).map(|lines| map_text(&lines)), ["70 0 1\n", "71 0 1\n"]);
        assert_eq!(ids.in_keeper((70, 71)), (0, 0));
    }

    #[test]
    fn a_sub_range_must_be_the_users_and_large_enough() {
        let file = "# none\nother:1:65536\ndan:5:10\ndan:100000:65536\n1001:7:70000\n";
        assert_eq!(sub_range(file, "dan", 9), Some(100_000));
        assert_eq!(sub_range(file, "nobody", 1001), Some(7));
        assert_eq!(sub_range(file, "nobody", 1), None);
    }
}
