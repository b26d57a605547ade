"""A real registry inside the cluster, with the cluster's own certificate: pods pull from it by digest."""

import http.client
import json
import socket
import ssl
import subprocess
import tarfile
from pathlib import Path

import programs
from images import Image
from layout import MANIFEST
from node import SANDBOX_IMAGE
from processes import launch
from settings import Broken, Cluster

CONFIG = """version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {state}/registry}}
  delete: {{enabled: true}}
http:
  addr: {address}
  tls: {{certificate: {keys}/registry.crt, key: {keys}/registry.key}}
"""
# containerd reads this file for each pull.
HOST = """server = "https://{address}"
ca = "{keys}/ca.crt"

[host."https://{address}"]
  capabilities = ["pull", "resolve"]
  ca = "{keys}/ca.crt"
"""


def start(cluster: Cluster) -> None:
    config = cluster.state / "registry.yml"
    config.write_text(CONFIG.format(state=cluster.state, address=cluster.registry, keys=cluster.certificates))
    hosts = cluster.state / "registries" / cluster.registry
    hosts.mkdir(parents=True)
    (hosts / "hosts.toml").write_text(HOST.format(address=cluster.registry, keys=cluster.certificates))
    launch(cluster, "registry", "docker-registry", "serve", config)


def reference(cluster: Cluster, image: Image) -> str:
    """What a pod says to get exactly this image."""
    return f"{cluster.registry}/{image.name}@{image.digest}"


def answers(cluster: Cluster) -> bool:
    """Whether it listens."""
    try:
        socket.create_connection((cluster.address, 5000), 5).close()
    except OSError:
        return False
    return True


def push(cluster: Cluster, image: Image) -> None:
    """Uploads what is not there, blob by blob, then the manifest under the tag `latest`."""
    trust = ssl.create_default_context(cafile=cluster.certificates / "ca.crt")
    connection = http.client.HTTPSConnection(cluster.registry, context=trust, timeout=60)
    blobs = image.folder / "blobs" / "sha256"
    manifest = (blobs / image.digest.removeprefix("sha256:")).read_bytes()
    content = json.loads(manifest)
    for blob in (content["config"], *content["layers"]):
        _upload(connection, image.name, blobs / blob["digest"].removeprefix("sha256:"))
    _ask(connection, "PUT", f"/v2/{image.name}/manifests/latest", manifest, {"Content-Type": MANIFEST})
    connection.close()


def _upload(connection: http.client.HTTPSConnection, name: str, blob: Path) -> None:
    place = _ask(connection, "POST", f"/v2/{name}/blobs/uploads/").headers["Location"]
    separator = "&" if "?" in place else "?"
    with blob.open("rb") as data:
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.stat().st_size)}
        _ask(connection, "PUT", f"{place}{separator}digest=sha256:{blob.name}", data, headers)


def _ask(connection: http.client.HTTPSConnection, method: str, path: str, body=None, headers=None) -> http.client.HTTPResponse:
    connection.request(method, path, body=body, headers=headers or {})
    answer = connection.getresponse()
    said = answer.read()
    if answer.status >= 300:
        raise Broken(f"the registry answered {answer.status} to {method} {path}: {said[:300]!r}")
    return answer


def preload(cluster: Cluster, image: Image) -> None:
    """Puts an image into containerd under the name that pods give, so that most pods need not pull."""
    ctr = [*_ctr(cluster), "images"]
    name = SANDBOX_IMAGE if image.name == "pause" else reference(cluster, image)
    importing = subprocess.Popen([*ctr, "import", "--all-platforms", "--digests", "--base-name", f"danube.test/{image.name}", "-"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"PATH": programs.path()})
    assert importing.stdin and importing.stdout
    with tarfile.open(fileobj=importing.stdin, mode="w|") as archive:
        for part in ("oci-layout", "index.json", "blobs"):
            archive.add(image.folder / part, part)
    importing.stdin.close()
    said = importing.stdout.read().decode()
    if importing.wait():
        raise Broken(f"containerd does not take the image {image.name}: {said}")
    subprocess.run([*ctr, "tag", "--force", f"danube.test/{image.name}@{image.digest}", name], check=True, capture_output=True, env={"PATH": programs.path()})


def _ctr(cluster: Cluster) -> list[str]:
    return ["ctr", "--address", str(cluster.containerd_socket), "--namespace", "k8s.io"]
