//! What a group stands on: its ids, its keeper, its cgroups.

use rustix::process::Rlimit;

use super::cgroups::Cgroups;
use super::keeper::{Keeper, Started};
use crate::egress::EgressSockets;
use crate::error::SandboxError;
use crate::group::folder::GroupFolder;
use crate::group::record::{self, Traces};
use crate::ids::{Ids, Tier};

/// What containers are made with.
pub struct Ground {
    /// The group's ids.
    pub ids: Ids,
    /// Makes its containers; none without isolation.
    pub keeper: Option<Keeper>,
    /// Where the machine lets us make them.
    pub cgroups: Option<Cgroups>,
    /// The limit of open files that this process found; containers keep it.
    pub open_files: Rlimit,
}

impl Ground {
    /// Takes over the keeper and makes the cgroups. What must be undone outside the folder is written there first of all.
    pub fn lay(
        folder: &GroupFolder,
        name: &str,
        started: Option<Started>,
        open_files: Rlimit,
    ) -> Result<(Self, Option<EgressSockets>), SandboxError> {
        let (ids, keeper, sockets) = match started {
            Some(started) => (started.ids, Some(Keeper::new(started.channel, started.pid)?), started.sockets),
            None => (Ids { tier: Tier::None, caller: caller(), base: (0, 0) }, None, None),
        };
        let cgroups = Cgroups::make(name);
        let paths = cgroups.as_ref().map(Cgroups::paths).unwrap_or_default();
        record::write(&folder.traces(), &Traces { ids, cgroups: paths })?;
        Ok((Self { ids, keeper, cgroups, open_files }, sockets))
    }
}

fn caller() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}
