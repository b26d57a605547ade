"""What of the machine a cluster could have changed, as it is at one moment."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import control_groups
from settings import states

# Settings that count, or that change by themselves.
VOLATILE = (
    "kernel.random.", "kernel.ns_last_pid", "kernel.pty.nr", "kernel.perf_event_max_sample_rate", "kernel.sched_domain", "kernel.tainted",
    "fs.dentry-state", "fs.file-nr", "fs.inode-", "fs.aio-nr", "fs.quota.", "fs.mqueue.queues", "net.netfilter.nf_conntrack_count",
)
# A part of Kubernetes writes into one of these when nobody stops it.
WATCHED = ("/etc", "/opt", "/run", "/var", "/usr/libexec", "/usr/local", "/root")


@dataclass
class Machine:
    """One look; two of them tell what happened in between."""

    sysctls: dict[str, str]
    mounts: set[str]
    interfaces: set[str]
    groups: set[str]
    files: set[str]

    def differences(self, later: "Machine") -> list[str]:
        """In words; empty if nothing that one of this run's clusters could do was done. Others come and go as they like."""
        changed = [f"{name}: {old} → {later.sysctls.get(name)}" for name, old in self.sysctls.items() if later.sysctls.get(name) != old]
        for what in ("mounts", "interfaces", "groups", "files"):
            changed += [f"{what}: {new}" for new in sorted(getattr(later, what) - getattr(self, what)) if not another_s(new)]
        return changed


def another_s(trace: str) -> bool:
    """Whether it belongs to a cluster that this run of the tests has not made."""
    others = {path.parent.name: path.read_text() for path in states().glob("[!.]*/index") if not path.parent.name.startswith(f"t{os.getpid()}")}
    if trace.startswith("danube-k"):
        return trace.removeprefix("danube-k") in others.values()
    if trace == str(states() / "lock"):
        return bool(others)
    named = re.search(r"danube-cluster[-/]\.?([a-z0-9-]+)", trace)
    return bool(named) and not named[1].startswith(f"t{os.getpid()}")


def look() -> Machine:
    interfaces = set(os.listdir("/sys/class/net"))
    return Machine(sysctls(), set(Path("/proc/self/mounts").read_text().splitlines()), interfaces, groups(), files())


def sysctls() -> dict[str, str]:
    """All that concern more than one interface."""
    said = subprocess.run(["sysctl", "--all"], capture_output=True, text=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}).stdout
    pairs = (line.split(" = ", 1) for line in said.splitlines() if " = " in line)
    return {name: value for name, value in pairs if not name.startswith(VOLATILE) and ".danube-k" not in name}


def groups() -> set[str]:
    """The outermost two levels of every hierarchy, but for groups that others' tests may make meanwhile."""
    found = set()
    for hierarchy, _ in control_groups.hierarchies():
        for path in [*hierarchy.glob("*/"), *hierarchy.glob("*/*/")]:
            if any(word in str(path) for word in ("kube", "pod", "cluster", "containerd", "k8s")):
                found.add(str(path))
    return found


def files() -> set[str]:
    """To a depth at which programs make folders of their own."""
    found = set()
    for top in WATCHED:
        for folder, inner, names in os.walk(top):
            if folder.count("/") - top.count("/") >= 3:
                inner.clear()
            found.update(os.path.join(folder, name) for name in inner + names if suspect(os.path.join(folder, name)))
    return found


def suspect(path: str) -> bool:
    """Others write too: what is told apart is what Kubernetes, containerd, CNI, etcd or this folder would write."""
    return any(word in path for word in ("kube", "containerd", "/cni", "etcd", "danube-cluster/t", "danube-k", "danube-cluster/lock", "runc", "/pods", "xtables"))
