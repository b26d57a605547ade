"""The link between the machine and a cluster. There is no way from inside to anywhere else: no forwarding, no NAT."""

import subprocess
from pathlib import Path

import namespaces
import programs
from settings import Cluster

# Which the pods hang on.
BRIDGE = "cni0"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, env={"PATH": programs.path()})


def link(cluster: Cluster) -> None:
    """The machine's end, and the other one moved inside. The kubelet refuses loopback as a node's address."""
    inside = namespaces.first(cluster)
    ip("link", "add", cluster.interface, "type", "veth", "peer", "name", "eth0", "netns", str(inside))
    ip("address", "add", f"{cluster.gateway}/30", "dev", cluster.interface)
    ip("link", "set", cluster.interface, "up")


def inside(cluster: Cluster) -> None:
    """Run in the namespaces: their own addresses and settings, which are theirs alone."""
    ip("link", "set", "lo", "up")
    ip("address", "add", f"{cluster.address}/30", "dev", "eth0")
    ip("link", "set", "eth0", "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    Path("/proc/sys/net/bridge/bridge-nf-call-iptables").write_text("1")
    # The machine would send its answers to a pod's address to its own default route.
    subprocess.run(["iptables", "-A", "FORWARD", "-i", BRIDGE, "-o", "eth0", "-j", "REJECT"], check=True, env={"PATH": programs.path()})


def exists(interface: str) -> bool:
    return Path(f"/sys/class/net/{interface}").exists()


def unlink(cluster: Cluster) -> None:
    """The kernel removes the link with the namespace, but in its own time."""
    if exists(cluster.interface):
        subprocess.run(["ip", "link", "delete", cluster.interface], capture_output=True, env={"PATH": programs.path()})
