"""Builds what Debian does not have, or has too old: Kubernetes, containerd, runc; and prints Cilium's definitions. Each once per version, kept in the cache."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import needs
from settings import CONTAINERD, HERE, KUBERNETES, RUNC, cache

PARTS = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubelet", "kubectl")


@dataclass(frozen=True)
class Source:
    """One Go module of this folder, and how its programs are built."""

    folder: str
    packages: tuple[str, ...]
    cgo: bool = False
    tags: str = ""
    linker: str = ""

    @property
    def key(self) -> str:
        """Of everything that decides what is built."""
        digest = hashlib.sha256(repr(self).encode())
        for path in sorted((HERE / self.folder).iterdir()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return f"{self.folder}-{digest.hexdigest()[:16]}"

    @property
    def built(self) -> Path:
        return cache() / self.key


def set_version(package: str) -> str:
    """The linker's words for a version as Kubernetes has it."""
    major, minor, _ = KUBERNETES.split(".")
    values = {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "0" * 40,
        "buildDate": "1970-01-01T00:00:00Z",
    }
    return " ".join(f"-X {package}.{name}={value}" for name, value in values.items())


_containerd = "github.com/containerd/containerd/v2"
SOURCES = (
    Source("runc", ("github.com/opencontainers/runc",), cgo=True, tags="seccomp netgo osusergo",
           linker=f"-linkmode external -extldflags -static -X main.version={RUNC}"),
    Source("containerd", tuple(f"{_containerd}/cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")),
           tags="no_btrfs no_devmapper no_zfs", linker=f"-X {_containerd}/version.Version=v{CONTAINERD}"),
    Source("cilium-crds", (".",)),
    Source("kubernetes", (".",), linker=f"{set_version('k8s.io/component-base/version')} {set_version('k8s.io/client-go/pkg/version')}"),
)


def folders() -> list[Path]:
    """Where the programs are; none of them need exist."""
    return [source.built for source in SOURCES]


def missing() -> list[Source]:
    """What is not in the cache."""
    return [source for source in SOURCES if not source.built.exists()]


def build(say: Callable[[str], None]) -> None:
    """Fills the cache. What stands there was whole when it got its name."""
    wanted = missing()
    if wanted:
        needs.to_build_programs()
    for source in wanted:
        began = time.monotonic()
        say(f"building {source.folder}")
        build_one(source)
        say(f"built {source.folder} in {time.monotonic() - began:.0f} s")


def build_one(source: Source) -> None:
    unfinished = cache() / f".{source.key}.{os.getpid()}"
    unfinished.mkdir(parents=True)
    try:
        command = ["go", "build", "-mod=readonly", "-trimpath", "-tags", source.tags, "-ldflags", f"-s -w {source.linker}"]
        environment = {**os.environ, "CGO_ENABLED": "1" if source.cgo else "0"}
        subprocess.run([*command, "-o", f"{unfinished}/", *source.packages], cwd=HERE / source.folder, env=environment, check=True)
        if source.folder == "kubernetes":
            for part in PARTS:
                (unfinished / part).symlink_to("kubernetes")
        unfinished.rename(source.built)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def path() -> str:
    """PATH with the programs first."""
    return ":".join([*map(str, folders()), os.environ.get("PATH", "/usr/bin:/bin"), "/usr/sbin:/sbin"])
