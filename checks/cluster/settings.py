"""Where things are, and which versions: what the other parts of checks/cluster agree on."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

KUBERNETES = "1.34.4"
CONTAINERD = "2.1.9"
RUNC = "1.3.6"
SUITE = "bookworm"

# Inside the cluster's namespaces these are fresh tmpfs, so nothing of ours may lie there.
COVERED = ("/run", "/var/lib", "/var/log")


class Unable(Exception):
    """This machine cannot run a cluster; the text says why and what to do."""


class Broken(Exception):
    """A cluster that should work does not; the text says what was seen."""


def cache() -> Path:
    """Builds and images, by what they were made of. Safe to delete at any time."""
    named = os.environ.get("DANUBE_CLUSTER_CACHE")
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "danube-cluster"
    return Path(named).resolve() if named else default


def states() -> Path:
    """One folder for each cluster that stands."""
    return Path(os.environ.get("DANUBE_CLUSTER_STATE") or "/var/tmp/danube-cluster").resolve()


@dataclass(frozen=True)
class Cluster:
    """A cluster by its name: every path, address and machine-wide name it uses."""

    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,19}", self.name):
            raise Unable(f"{self.name!r} is no name for a cluster: at most 20 of a-z, 0-9 and -")

    @property
    def state(self) -> Path:
        return states() / self.name

    @property
    def handle(self) -> Path:
        """Holds the process whose death ends the cluster."""
        return self.state / "handle"

    @property
    def index(self) -> int:
        """Tells clusters apart in addresses and names of interfaces."""
        return int((self.state / "index").read_text())

    @property
    def node(self) -> str:
        return f"danube-{self.name}"

    @property
    def control_group(self) -> str:
        """Below every hierarchy; the cluster's only ones."""
        return f"danube-cluster-{self.name}"

    @property
    def interface(self) -> str:
        """The machine's end of the link to the cluster."""
        return f"danube-k{self.index}"

    @property
    def gateway(self) -> str:
        return f"10.250.{self.index}.1"

    @property
    def address(self) -> str:
        return f"10.250.{self.index}.2"

    @property
    def pods(self) -> str:
        return f"10.251.{self.index}.0/24"

    @property
    def services(self) -> str:
        return f"10.252.{self.index}.0/24"

    @property
    def first_service(self) -> str:
        """Where pods find the API server."""
        return f"10.252.{self.index}.1"

    @property
    def api(self) -> str:
        return f"https://{self.address}:6443"

    @property
    def registry(self) -> str:
        return f"{self.address}:5000"

    @property
    def certificates(self) -> Path:
        return self.state / "certificates"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def containerd_socket(self) -> Path:
        return self.state / "containerd.sock"
