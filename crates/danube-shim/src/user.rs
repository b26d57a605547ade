//! Whom steps run as: `uid:gid[,supplementary gid…]`.

use std::fmt;

/// A user as numbers. Names are the image's affair: the shim reads no `/etc/passwd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

impl User {
    /// Whoever runs the shim.
    pub fn current() -> Self {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self { uid, gid, groups: Vec::new() }
    }

    /// Whether becoming this user changes nothing.
    pub fn is_current(&self) -> bool {
        let now = Self::current();
        (now.uid, now.gid) == (self.uid, self.gid)
    }

    /// Reads `uid:gid[,gid…]`. 4294967295 means "leave alone" to the kernel and is refused.
    pub fn parse(text: &str) -> Option<Self> {
        let id = |part: &str| part.parse::<u32>().ok().filter(|id| *id != u32::MAX);
        let (uid, groups) = text.split_once(':')?;
        let mut groups = groups.split(',').map(id).collect::<Option<Vec<u32>>>()?.into_iter();
        Some(Self { uid: id(uid)?, gid: groups.next()?, groups: groups.collect() })
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)?;
        self.groups.iter().try_for_each(|group| write!(f, ",{group}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_numbers() {
        let read = User::parse("1000:100,27,44").expect("valid");
        assert_eq!(read, User { uid: 1000, gid: 100, groups: vec![27, 44] });
        assert_eq!(read.to_string(), "1000:100,27,44");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "1000", "1000:", "a:b", "-1:0", "0:4294967295", "1:2,", "1:2:3"] {
            assert_eq!(User::parse(text), None, "{text}");
        }
    }
}
