"""The cluster's control groups: one folder in every hierarchy of the machine (v1, hybrid or v2), all below one name."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from settings import Broken, Cluster

# What a client of a test may use, in bytes: a runaway one must not take the machine down.
CLIENT_MEMORY = 2 << 30


def hierarchies() -> Iterator[tuple[Path, bool]]:
    """Every mounted hierarchy, once, and whether it is of version 2."""
    seen = set()
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        path = Path(place)
        if kind in ("cgroup", "cgroup2") and (identity := os.stat(path).st_dev) not in seen:
            seen.add(identity)
            yield path, kind == "cgroup2"


def make(cluster: Cluster) -> None:
    """The groups of pods, of Kubernetes itself and of test clients. The kubelet wants its own to exist in every hierarchy."""
    for hierarchy, second in hierarchies():
        top = hierarchy / cluster.control_group
        for group in (top, top / "pods", top / "parts", top / "clients"):
            group.mkdir(exist_ok=True)
            inherit(group)
        limit = top / "clients" / ("memory.max" if second else "memory.limit_in_bytes")
        if limit.exists():
            limit.write_text(str(CLIENT_MEMORY))


def inherit(group: Path) -> None:
    """In a cpuset of version 1 nothing can run until it says where."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        own, above = group / name, group.parent / name
        if own.exists() and above.exists() and not own.read_text().strip():
            own.write_text(above.read_text())


def join(cluster: Cluster, which: str) -> None:
    """Puts this process, and what it becomes, into one of them."""
    for hierarchy, _ in hierarchies():
        (hierarchy / cluster.control_group / which / "cgroup.procs").write_text(str(os.getpid()))


def join_clients(cluster: Cluster) -> None:
    """The group of test clients, whose memory must be limited."""
    groups_of_clients = [hierarchy / cluster.control_group / "clients" for hierarchy, _ in hierarchies()]
    if not any((group / name).exists() for group in groups_of_clients for name in ("memory.max", "memory.limit_in_bytes")):
        raise Broken(f"no control group limits the memory of clients of {cluster.name}; is it up?")
    join(cluster, "clients")


def groups(cluster: Cluster) -> list[Path]:
    """All that are there, the innermost first."""
    found = []
    for hierarchy, _ in hierarchies():
        for folder, _, _ in os.walk(hierarchy / cluster.control_group, topdown=False):
            found.append(Path(folder))
    return found


def processes(cluster: Cluster) -> set[int]:
    """Whoever is still in one of them."""
    found: set[int] = set()
    for group in groups(cluster):
        try:
            found.update(map(int, (group / "cgroup.procs").read_text().split()))
        except OSError:
            continue
    # Number 0 stands for a process of another namespace, and to kill it would be to kill one's own group.
    return found - {0}


def remove(cluster: Cluster, patience: float = 10) -> None:
    """Ends who is left in them (clients from outside of the namespaces), and removes them."""
    until = time.monotonic() + patience
    while left := groups(cluster):
        for process in processes(cluster):
            try:
                os.kill(process, 9)
            except ProcessLookupError:
                continue
        for group in left:
            try:
                group.rmdir()
            except OSError:
                continue
        if time.monotonic() > until:
            raise Broken(f"control groups of {cluster.name} cannot be removed: {groups(cluster)[:3]}")
        time.sleep(0.02)
