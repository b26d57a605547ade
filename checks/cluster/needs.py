"""What a machine must have, asked before anything is made."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from settings import COVERED, HERE, Unable, cache, states

# The command that tells, and Debian's package that has it.
PROGRAMS = {
    "etcd": "etcd-server",
    "docker-registry": "docker-registry",
    "iptables": "iptables",
    "ip": "iproute2",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "mount": "mount",
}
PLUGINS = Path("/usr/lib/cni")

# To build, not to run.
TOOLS = {"gcc": "gcc", "mmdebstrap": "mmdebstrap"}
BUSYBOX = Path("/usr/bin/busybox")
REGISTRY = Path("/usr/bin/docker-registry")
SECCOMP = Path("/usr/lib/x86_64-linux-gnu/libseccomp.a")
OLDEST_GO = (1, 26)


def found(program: str) -> bool:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None


def lacking(programs: dict[str, str]) -> set[str]:
    return {package for program, package in programs.items() if not found(program)}


def install(packages: set[str]) -> None:
    """Complains about Debian's packages that are not there, with the command that brings them."""
    if packages:
        raise Unable(f"a cluster needs Debian's packages: apt-get install -y --no-install-recommends {' '.join(sorted(packages))}")


def to_run() -> None:
    """Raises `Unable` where no cluster can stand."""
    if os.geteuid() != 0:
        raise Unable("a cluster needs root: it makes network interfaces, mounts and control groups")
    packages = lacking(PROGRAMS)
    if not (PLUGINS / "bridge").exists():
        packages.add("containernetworking-plugins")
    install(packages)
    for place in (states(), cache(), HERE):
        if any(place.is_relative_to(covered) for covered in COVERED):
            raise Unable(f"{place} cannot be seen in a cluster, where {', '.join(COVERED)} are empty; DANUBE_CLUSTER_STATE and DANUBE_CLUSTER_CACHE name other places")
    if not Path("/proc/sys/net/bridge").exists():
        raise Unable("the kernel's module br_netfilter is not loaded: modprobe br_netfilter")
    tried = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True)
    if tried.returncode:
        raise Unable(f"this machine lets root make no namespaces: {tried.stderr.strip()}")


def to_build_programs() -> None:
    """Raises `Unable` where containerd, runc and Kubernetes cannot be built."""
    install(lacking({"gcc": "gcc"}) | (set() if SECCOMP.exists() else {"libseccomp-dev"}))
    asked = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True) if found("go") else None
    version = re.match(r"go(\d+)\.(\d+)", asked.stdout if asked else "")
    if not version or tuple(map(int, version.groups())) < OLDEST_GO:
        raise Unable(f"Kubernetes and containerd are built with Go {OLDEST_GO[0]}.{OLDEST_GO[1]} or later on PATH")


def to_build_images() -> None:
    """Raises `Unable` where the images cannot be made."""
    install(lacking(TOOLS) | (set() if BUSYBOX.exists() else {"busybox-static"}))
