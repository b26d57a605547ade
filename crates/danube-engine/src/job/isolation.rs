//! What holds a container's first process, compared with what was asked for: runtimes that do not know how to map user
//! ids, or to filter system calls, leave it out and say nothing.

use danube_core::machine::Event;
use danube_core::runtime::{GroupFailure, Role, Runtime};
use danube_proto::v1::{InfoReply, InfoRequest};
use serde::{Deserialize, Serialize};

use super::shared::Shared;
use crate::shim::link::Link;

/// What is asked of the isolation of a job's containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// Nothing: whoever makes them sees to it.
    #[default]
    Nothing,
    /// No job runs in a container that is held by less than was asked for.
    Require,
}

/// Capabilities that a worker may hold, by their numbers: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID,
/// SETPCAP, NET_BIND_SERVICE, SYS_CHROOT, SETFCAP. A coordinator holds none.
const WORKER: [u32; 11] = [0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31];
/// System calls are filtered (`Seccomp:` in /proc/1/status).
const FILTERED: &str = "2";

/// Waits until every container that was made with the job answers, and looks at each: until then `/workspace` may still
/// belong to nobody.
///
/// # Errors
/// The event that ends the job, when one is held by less than was asked for.
pub async fn of_group<R: Runtime>(shared: &Shared<R>) -> Result<(), Event> {
    let looks = shared.plan.group.containers.iter().map(|spec| async {
        match shared.link(&spec.name) {
            Some(link) => of_container(shared, &link, spec.name.as_str(), spec.role).await,
            None => Ok(()),
        }
    });
    let failed = |message| Event::GroupFailed(GroupFailure::Infra, message);
    futures_util::future::try_join_all(looks).await.map(drop).map_err(failed)
}

/// Looks at one container, once it answers.
///
/// # Errors
/// In words, when it is held by less than was asked for.
pub async fn of_container<R: Runtime>(shared: &Shared<R>, link: &Link, name: &str, role: Role) -> Result<(), String> {
    // One that is gone is the business of whoever uses it, and runs nothing.
    let Ok(info) = link.call(|mut client| async move { client.info(InfoRequest {}).await }).await else {
        return Ok(());
    };
    if shared.plan.isolation == Demand::Nothing {
        return Ok(());
    }
    let lacks = lacks(role, &info);
    if lacks.is_empty() {
        return Ok(());
    }
    let place = shared.services.runtime.whereabouts(&shared.plan.group.attempt).await;
    Err(words(name, &lacks, &place))
}

fn words(name: &str, lacks: &[String], place: &str) -> String {
    let lacks = lacks.join("; ");
    let place = if place.is_empty() { "where it runs".to_owned() } else { place.to_owned() };
    format!(
        "the container {name} is isolated by less than was asked for, so nothing was run in it: {lacks}. That is up to \
         {place}: user namespaces for pods need Linux 6.3, containerd 2.0 and runc 1.2, or newer; or say isolation = \
         \"off\" and run jobs with what the node gives"
    )
}

/// What holds a container less than was asked for, each in words.
fn lacks(role: Role, info: &InfoReply) -> Vec<String> {
    let mut lacks = Vec::new();
    if !is_mapped(&info.uid_map) {
        lacks.push("user ids are not mapped, so root in it is root of the node".to_owned());
    }
    if info.seccomp != FILTERED {
        lacks.push("system calls are not filtered".to_owned());
    }
    if info.no_new_privs != "1" {
        lacks.push("programs in it can gain privileges".to_owned());
    }
    let allowed = if role == Role::Coordinator { 0 } else { WORKER.iter().fold(0, |mask, bit| mask | 1_u64 << bit) };
    match u64::from_str_radix(info.cap_eff.trim(), 16) {
        Ok(held) if held & !allowed == 0 => {}
        Ok(held) => lacks.push(format!("it holds capabilities that nobody gave it (mask {:x})", held & !allowed)),
        Err(_) => lacks.push("it does not say which capabilities it holds".to_owned()),
    }
    lacks
}

/// Whether no id in the container is the node's root: each line is an id inside, one outside, and how many follow.
fn is_mapped(uid_map: &str) -> bool {
    let outside = |line: &str| line.split_whitespace().nth(1).and_then(|id| id.parse::<u64>().ok());
    let lines: Vec<Option<u64>> = uid_map.lines().filter(|line| !line.trim().is_empty()).map(outside).collect();
    !lines.is_empty() && lines.iter().all(|id| id.is_some_and(|id| id > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a pod of this design has it.
    fn good() -> InfoReply {
        InfoReply {
            uid_map: "         0  131072      65536\n".to_owned(),
            seccomp: "2".to_owned(),
            no_new_privs: "1".to_owned(),
            cap_eff: "00000000800405fb".to_owned(),
            ..InfoReply::default()
        }
    }

    fn found(change: impl Fn(&mut InfoReply)) -> Vec<String> {
        let mut info = good();
        change(&mut info);
        lacks(Role::Worker, &info)
    }

    #[test]
    fn a_container_as_it_was_asked_for_lacks_nothing() {
        assert_eq!(lacks(Role::Worker, &good()), [""; 0]);
        assert_eq!(lacks(Role::Coordinator, &InfoReply { cap_eff: "0".to_owned(), ..good() }), [""; 0]);
    }

    #[test]
    fn each_thing_that_is_missing_is_said() {
        for map in ["0 0 4294967295", "", "0 131072 65536\n65536 0 1", "nonsense"] {
            let said = found(|info| info.uid_map = map.to_owned());
            assert!(said.len() == 1 && said[0].contains("root of the node"), "{map:?}: {said:?}");
        }
        assert!(found(|info| info.seccomp = "0".to_owned())[0].contains("not filtered"));
        assert!(found(|info| info.no_new_privs = "0".to_owned())[0].contains("gain"));
        assert!(found(|info| info.cap_eff = "000001ffffffffff".to_owned())[0].contains("nobody gave it"));
        assert!(found(|info| info.cap_eff = String::new())[0].contains("does not say"));
        assert_eq!(lacks(Role::Coordinator, &good()).len(), 1, "a coordinator holds none");
    }

    #[test]
    fn the_words_name_the_container_and_the_node() {
        let said = words("worker", &["a".to_owned()], "the node n1 (containerd://1.7.0)");
        assert!(said.contains("worker") && said.contains("containerd://1.7.0") && said.contains("isolation"), "{said}");
    }
}
