"""A cluster from nothing to a Ready node, in the order in which things need each other."""

import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import certificates
import claims
import control_groups
import control_plane
import images
import namespaces
import needs
import network
import node
import processes
import programs
import registry
import take_down
from api import Api
from images import Image
from settings import Broken, Cluster, cache

Say = Callable[[str], None]


def build(say: Say) -> list[Image]:
    """Everything that a cluster is made of, from the cache where it is there."""
    needs.to_run()
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        programs.build(say)
        return images.make(say)


def make_images(say: Say) -> list[Image]:
    """The images alone, which need no cluster."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return images.make(say)


def up(cluster: Cluster, say: Say) -> dict[str, str]:
    """Brings it up; answers what a test needs to know. Nothing is left when that fails."""
    made = build(say)
    claims.take(cluster)
    try:
        namespaces.make(cluster)
        network.link(cluster)
        write_images(cluster, made)
        inner = [*namespaces.entering(cluster), sys.executable, "-I", str(namespaces.ENTRY), "inside", cluster.name]
        if subprocess.run(inner, cwd="/").returncode:
            raise Broken(f"{cluster.name} did not come up\n{processes.last_words(cluster)}")
        facts = tell(cluster, made)
        (cluster.state / "facts").write_text("".join(f"{name}={value}\n" for name, value in facts.items()))
        return facts
    except BaseException:
        take_down.down(cluster)
        raise


def write_images(cluster: Cluster, made: list[Image]) -> None:
    (cluster.state / "images.json").write_text(json.dumps({image.name: str(image.folder) for image in made}))


def read_images(cluster: Cluster) -> list[Image]:
    """The images that the cluster was started with."""
    return [Image(name, Path(folder)) for name, folder in json.loads((cluster.state / "images.json").read_text()).items()]


def inside(cluster: Cluster, say: Say) -> None:
    """The rest, in the namespaces."""
    began = time.monotonic()
    control_groups.make(cluster)
    control_groups.join(cluster, "parts")
    network.inside(cluster)
    certificates.make(cluster)
    control_plane.etcd(cluster)
    control_plane.api_server(cluster)
    node.containerd(cluster)
    registry.start(cluster)
    made = read_images(cluster)
    with ThreadPoolExecutor(2) as beside:
        stored = [beside.submit(preload, cluster, made), beside.submit(push, cluster, made)]
        api = Api(cluster)
        wait(cluster, api.ready, "kube-apiserver")
        for start in (control_plane.controller_manager, control_plane.scheduler, node.kubelet, node.proxy):
            start(cluster)
        account(api)
        for seen in api.watch("/api/v1/nodes", f"metadata.name={cluster.node}"):
            if is_ready(seen):
                break
        say(f"node Ready after {time.monotonic() - began:.1f} s")
        for done in stored:
            done.result()
    say(f"images in place after {time.monotonic() - began:.1f} s")


def preload(cluster: Cluster, made: list[Image]) -> None:
    """The sandbox's image first: without it no pod starts."""
    wait(cluster, cluster.containerd_socket.exists, "containerd")
    for image in sorted(made, key=lambda image: image.name != "pause"):
        registry.preload(cluster, image)


def push(cluster: Cluster, made: list[Image]) -> None:
    wait(cluster, lambda: registry.answers(cluster), "registry")
    for image in made:
        registry.push(cluster, image)


def wait(cluster: Cluster, happened: Callable[[], bool], part: str, patience: float = 300) -> None:
    """Until it has, or cannot any more because the part, or what it stands on, has ended."""
    until = time.monotonic() + patience
    standing_on = processes.PARTS[: processes.PARTS.index(part) + 1] if part == "kube-apiserver" else (part,)
    while not happened():
        fallen = [name for name in processes.fallen(cluster) if name in standing_on]
        if fallen == ["kube-apiserver"] and processes.gave_up(cluster):
            processes.start(cluster, part)
        elif fallen:
            # Others end because it did.
            first, *others = fallen
            raise Broken(f"{first} ended while {part} was waited for{'; so did ' if others else ''}{', '.join(others)}")
        if time.monotonic() > until:
            raise Broken(f"{part} did not come up within {patience:.0f} s")
        time.sleep(0.03)


def again(cluster: Cluster, part: str) -> None:
    """Starts a part that was ended. The API server serves when this returns. Run inside."""
    processes.start(cluster, part)
    if part == "kube-apiserver":
        wait(cluster, Api(cluster).ready, part)


def account(api: Api) -> None:
    """Made by hand: until the controller comes to it, 4 s later, every pod would be refused."""
    status, said = api.raw("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    if status not in (201, 404, 409):
        raise Broken(f"the default service account: {status} {said[:300]!r}")


def is_ready(seen: dict) -> bool:
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in seen["status"].get("conditions", []))


def tell(cluster: Cluster, made: list[Image]) -> dict[str, str]:
    """What a test must know."""
    facts = {
        "CLUSTER": cluster.name,
        "KUBECONFIG": str(cluster.kubeconfig),
        "KUBECTL": str(next(source.built for source in programs.SOURCES if source.folder == "kubernetes") / "kubectl"),
        "NODE": cluster.node,
        "NODE_ADDRESS": cluster.address,
        "API_SERVER": cluster.api,
        "REGISTRY": cluster.registry,
        "CA": str(cluster.certificates / "ca.crt"),
        "LOGS": str(cluster.state / "logs"),
    }
    return facts | {f"IMAGE_{image.name.upper()}": registry.reference(cluster, image) for image in made if image.name != "pause"}
