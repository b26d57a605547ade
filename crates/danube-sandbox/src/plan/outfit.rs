//! Turns a container's specification into a plan: its root, and what every container has.

use std::path::PathBuf;

use danube_core::egress::EgressMode;
use danube_core::runtime::{ContainerSpec, ImageProgram, ImageSource, Role, shim_env};

use super::{Access, Bind, ContainerPlan, Node, Root, etc, host};
use crate::egress;
use crate::group::folder::{ContainerFolder, GroupFolder};
use crate::group::record::Assignment;
use crate::ids::Ids;
use crate::keeper::wire::Own;

/// Processes and threads of a container unless told otherwise.
pub const PIDS: u32 = 4096;
/// The user of `host` containers where ids are many.
const HOST_USER: (u32, u32) = (1000, 1000);
/// The group that owns `/workspace`: the steps of every image are in it, where ids are many.
pub const WORKSPACE_GROUP: u32 = 1000;
const WORKSPACE: &str = "/workspace";
/// Where `pip install --user`, `cargo install` and `go install` put programs, beneath the fresh home.
const INSTALLED: [&str; 3] = [".local/bin", ".cargo/bin", "go/bin"];
/// Where the coordinator's shim listens for the SDK, and takes its large scripts.
const MAILBOX: &str = "/danube/mailbox.sock";
const OUTBOX: &str = "/danube/outbox";

/// What an image brings, beside the container's own outfit.
#[derive(Debug)]
pub struct Base {
    /// The root.
    pub root: Root,
    /// Who steps are.
    pub user: (u32, u32),
    /// Further groups of theirs.
    pub groups: Vec<u32>,
    /// Their home.
    pub home: PathBuf,
    /// `NAME=value`, with a `PATH`.
    pub env: Vec<String>,
    /// What it runs by itself, as a service.
    pub program: ImageProgram,
    /// Made in the root.
    pub nodes: Vec<Node>,
    /// Mounted into it.
    pub binds: Vec<Bind>,
}

/// The surroundings in which a container is planned.
pub struct Planner<'a> {
    /// What the group is.
    pub assignment: &'a Assignment,
    /// The group's ids.
    pub ids: &'a Ids,
    /// The group's folder.
    pub folder: &'a GroupFolder,
    /// What is planned is made before it is known for which job; then, what its shim starts ahead.
    pub ahead: Option<&'a [String]>,
}

impl Planner<'_> {
    /// The base of the `host` image.
    #[must_use]
    pub fn host(&self, spec: &ContainerSpec) -> Base {
        let config = &self.assignment.config;
        let user = if self.ids.has_range() { HOST_USER } else { self.ids.caller };
        let root = host::root(user, &self.resolv_conf(), spec.name.as_str());
        let mut binds = root.binds;
        let installed = INSTALLED.iter().map(|dir| PathBuf::from(etc::HOME).join(dir));
        let path: Vec<PathBuf> = installed.chain(config.tools.path.iter().cloned()).collect();
        let mut env = vec![format!("PATH={}", joined(&path)), "LANG=C.UTF-8".into()];
        env.push(format!("CARGO_HOME={}/.cargo", etc::HOME));
        env.extend(config.tools.env.iter().cloned());
        binds.extend(config.tools.binds.iter().cloned());
        if spec.role == Role::Coordinator {
            let python = config.python.iter().flat_map(|python| &python.mounts);
            binds.extend(python.map(|dir| Bind::read_only(dir)));
        }
        let (root, nodes) = (Root::Scratch, root.nodes);
        // This machine has no program of its own, and what a service runs was most often built by a step.
        let program = ImageProgram { working_dir: WORKSPACE.into(), ..ImageProgram::default() };
        Base { root, user, groups: Vec::new(), home: etc::HOME.into(), env, program, nodes, binds }
    }

    /// The whole plan of a container on a base.
    #[must_use]
    pub fn outfit(&self, spec: &ContainerSpec, base: Base, folder: &ContainerFolder) -> ContainerPlan {
        let env = self.env(spec, &base);
        let mut nodes = base.nodes;
        if spec.image != ImageSource::Host {
            nodes.extend(etc::network_files(&self.resolv_conf(), spec.name.as_str()));
        }
        // The fresh directories come first: a toolchain may lie beneath one of them.
        let mut binds = fresh(folder);
        if spec.image == ImageSource::Host {
            binds.push(Bind { source: folder.home(), target: base.home.clone(), access: Access::ReadWrite });
        }
        binds.extend(base.binds);
        binds.extend(self.assignment.config.sdk.iter().filter(|_| spec.role == Role::Coordinator).map(|sdk| Bind {
            source: sdk.clone(),
            target: "/danube/sdk".into(),
            access: Access::ReadOnly,
        }));
        if self.ahead.is_none() {
            binds.extend(self.assigned(spec.role));
        }
        let pids = spec.resources.pids.unwrap_or(PIDS);
        let (name, late) = (spec.name.clone(), self.ahead.is_some());
        ContainerPlan { name, root: base.root, nodes, binds, env, user: base.user, pids, late }
    }

    /// What the job brings, by role.
    #[must_use]
    pub fn assigned(&self, role: Role) -> Vec<Bind> {
        let read_only =
            |source: PathBuf, target: &str| Bind { source, target: target.into(), access: Access::ReadOnly };
        let objects = self.assignment.objects().map(|objects| read_only(objects, "/danube/objects"));
        let source = self.assignment.spec.source.as_ref().filter(|_| role == Role::Coordinator);
        let source = source.map(|_| read_only(self.folder.source(), "/danube/src"));
        let workspace = Bind::read_write(&self.folder.workspace(), WORKSPACE);
        [workspace].into_iter().chain(objects).chain(source).collect()
    }

    fn resolv_conf(&self) -> String {
        if self.assignment.spec.egress.mode == EgressMode::Host {
            return std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        }
        egress::RESOLV_CONF.to_owned()
    }

    fn env(&self, spec: &ContainerSpec, base: &Base) -> Vec<String> {
        let assigned = &self.assignment.spec;
        let groups: String = base.groups.iter().map(|group| format!(",{group}")).collect();
        let shared = if self.ids.has_range() { format!(",{WORKSPACE_GROUP}") } else { String::new() };
        let user = format!("{}:{}{groups}{shared}", base.user.0, base.user.1);
        let mut env = base.env.clone();
        env.push(format!("HOME={}", base.home.display()));
        env.push(format!("{}={}", shim_env::ROLE, spec.role.as_str()));
        env.push(format!("{}={user}", shim_env::USER));
        match self.ahead {
            None => {
                env.push(format!("{}={}", shim_env::NONCE, assigned.nonce));
                env.push(format!("{}={}", shim_env::ORPHAN_GRACE, assigned.orphan_grace.as_secs()));
            }
            Some(ready) if spec.role == Role::Coordinator && !ready.is_empty() => {
                let ready = serde_json::to_string(ready).unwrap_or_default();
                env.push(format!("{}={ready}", shim_env::READY));
            }
            Some(_) => {}
        }
        if spec.role == Role::Service {
            let program = serde_json::to_string(&base.program).unwrap_or_default();
            env.push(format!("{}={program}", shim_env::PROGRAM));
        }
        if spec.role == Role::Coordinator {
            env.push(format!("{}={MAILBOX}", shim_env::MAILBOX));
            env.push(format!("{}={OUTBOX}", shim_env::OUTBOX));
        }
        env
    }
}

/// What every container has for itself.
fn fresh(folder: &ContainerFolder) -> Vec<Bind> {
    vec![Bind::read_write(&folder.tmp(), "/tmp"), Bind::read_write(&folder.var_tmp(), "/var/tmp")]
}

/// The container's own directories, with the owners they need.
#[must_use]
pub fn owners(plan: &ContainerPlan, folder: &ContainerFolder) -> Vec<Own> {
    let own = |path: PathBuf, user: (u32, u32), mode: u32| Own { path, user, mode, recursive: false };
    let mut owners = vec![
        own(folder.tmp(), (0, 0), 0o1777),
        own(folder.var_tmp(), (0, 0), 0o1777),
        own(folder.spool(), (0, 0), 0o700),
    ];
    owners.extend(match &plan.root {
        Root::Scratch => [own(folder.home(), plan.user, 0o755), own(folder.home().join(".cargo"), plan.user, 0o755)],
        Root::Overlay { upper, work, .. } => [own(upper.clone(), (0, 0), 0o755), own(work.clone(), (0, 0), 0o700)],
    });
    owners
}

fn joined(path: &[PathBuf]) -> String {
    let dirs: Vec<_> = path.iter().map(|dir| dir.display().to_string()).collect();
    dirs.join(":")
}
