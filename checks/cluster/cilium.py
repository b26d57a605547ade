"""Cilium's definitions of its network policies, without Cilium: the API server refuses what a real one's would refuse, and
nothing enforces what it takes."""

import os
import subprocess

import programs
from settings import Cluster

KINDS = ("ciliumnetworkpolicies", "ciliumclusterwidenetworkpolicies", "ciliumendpoints")


def define(cluster: Cluster) -> None:
    """Gives them to a cluster that is up, and waits until it knows them."""
    built = next(source.built for source in programs.SOURCES if source.folder == "cilium-crds")
    definitions = subprocess.run([built / "cilium-crds"], check=True, capture_output=True).stdout
    _kubectl(cluster, "apply", "--server-side", "--filename=-", said=definitions)
    names = [f"customresourcedefinition/{kind}.cilium.io" for kind in KINDS]
    _kubectl(cluster, "wait", "--for=condition=Established", "--timeout=60s", *names)


def _kubectl(cluster: Cluster, *words: str, said: bytes = b"") -> None:
    environment = {**os.environ, "PATH": programs.path(), "KUBECONFIG": str(cluster.kubeconfig)}
    subprocess.run(["kubectl", f"--cache-dir={cluster.state}/kubectl", *words], input=said, env=environment, check=True, capture_output=True)
