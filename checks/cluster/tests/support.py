"""A cluster as a test sees it: by the front door, which is `run`, and by the API."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable

from api import Api
from namespaces import ENTRY
from settings import Broken, Cluster

PODS = "/api/v1/namespaces/default/pods"


def front_door(*words: str, **options) -> subprocess.CompletedProcess:
    """`checks/cluster/run WORDS…`, to its end."""
    return subprocess.run([sys.executable, "-I", ENTRY, *words], capture_output=True, text=True, **options)


class Standing:
    """A cluster that is up, with a name that no other run of the tests has."""

    def __init__(self, suffix: str) -> None:
        self.name = f"t{os.getpid()}{suffix}"
        self.cluster = Cluster(self.name)
        done = front_door("up", "--name", self.name)
        if done.returncode:
            raise AssertionError(f"up: exit code {done.returncode}\n{done.stderr}")
        self.told = done.stderr
        self.facts = dict(line.split("=", 1) for line in done.stdout.splitlines())
        self.api = Api(self.cluster)

    def down(self) -> None:
        done = front_door("down", self.name)
        if done.returncode:
            raise AssertionError(f"down: exit code {done.returncode}\n{done.stderr}")

    def image(self, name: str) -> str:
        return self.facts[f"IMAGE_{name.upper()}"]

    def start(self, name: str, container: dict, **spec) -> dict:
        """Creates a pod of one container; whatever it does, it does it once."""
        container = {"name": "only", "image": self.image("busybox")} | container
        own = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False}
        return self.api.ask("POST", PODS, {"metadata": {"name": name}, "spec": {**own, "containers": [container], **spec}})

    def until(self, name: str, happened: Callable[[dict], object]) -> dict:
        """The pod, as soon as what is waited for is true of it."""
        for seen in self.api.watch(PODS, f"metadata.name={name}"):
            if happened(seen):
                return seen
        raise AssertionError("the watch ended")

    def running(self, name: str) -> dict:
        return self.until(name, lambda pod: pod["status"].get("phase") == "Running")

    def settled(self, name: str) -> None:
        """After the kubelet was started anew: when it has learned of the pod again, until which it knows no container of it."""
        known = f"/api/v1/nodes/{self.facts['NODE']}/proxy/pods"
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with contextlib.suppress(OSError, Broken):
                if any(pod["metadata"]["name"] == name for pod in self.api.ask("GET", known).get("items") or []):
                    return
            time.sleep(0.1)
        raise AssertionError(f"the kubelet has not learned of {name} in 120 s")

    def log(self, name: str) -> str:
        """What its container has written."""
        return self.api.raw("GET", f"{PODS}/{name}/log")[1].decode()

    def output(self, name: str, container: dict, **spec) -> str:
        """Runs a pod to its end; what it wrote."""
        self.start(name, container, **spec)
        ended = self.until(name, lambda pod: pod["status"].get("phase") in ("Succeeded", "Failed"))
        said = self.log(name)
        if ended["status"]["phase"] != "Succeeded":
            raise AssertionError(f"{ended['status']}\n{said}")
        return said

    def kubectl(self, *words: str, **options) -> subprocess.CompletedProcess:
        return front_door("kubectl", self.name, *words, **options)
