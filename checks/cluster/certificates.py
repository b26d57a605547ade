"""One authority for each cluster, and a certificate for everyone who speaks in it, by openssl."""

import base64
import json
import subprocess
from pathlib import Path

from settings import Cluster

DAYS = "30"


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def make(cluster: Cluster) -> None:
    """Writes keys, certificates and the files by which each part reaches the API server."""
    folder = cluster.certificates
    folder.mkdir(mode=0o700)
    key(folder / "ca.key")
    openssl("req", "-x509", "-new", "-key", folder / "ca.key", "-subj", "/CN=danube-cluster", "-days", DAYS, "-out", folder / "ca.crt")
    openssl("genrsa", "-out", folder / "accounts.key", "2048")
    openssl("rsa", "-in", folder / "accounts.key", "-pubout", "-out", folder / "accounts.pub")
    issue(folder, "server", "/CN=kube-apiserver", names(cluster))
    issue(folder, "registry", "/CN=registry", f"IP:{cluster.address},IP:127.0.0.1")
    issue(folder, "to-kubelet", "/O=system:masters/CN=kube-apiserver-to-kubelet")
    issue(folder, "admin", "/O=system:masters/CN=admin")
    issue(folder, "node", f"/O=system:nodes/CN=system:node:{cluster.node}", f"DNS:{cluster.node},IP:{cluster.address}")
    for part in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
        issue(folder, part, f"/CN=system:{part}")
    for who in ("node", "kube-controller-manager", "kube-scheduler", "kube-proxy"):
        kubeconfig(cluster, who, folder / f"{who}.kubeconfig")
    kubeconfig(cluster, "admin", cluster.kubeconfig)


def names(cluster: Cluster) -> str:
    """Every way in which the API server is called."""
    known = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
    return ",".join([*(f"DNS:{name}" for name in known), *(f"IP:{at}" for at in ("127.0.0.1", cluster.address, cluster.first_service))])


def key(path: Path) -> None:
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
    path.chmod(0o600)


def issue(folder: Path, who: str, subject: str, alternatives: str | None = None) -> None:
    key(folder / f"{who}.key")
    request, extensions = folder / f"{who}.csr", folder / f"{who}.ext"
    openssl("req", "-new", "-key", folder / f"{who}.key", "-subj", subject, "-out", request)
    lines = ["keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth,clientAuth"]
    extensions.write_text("\n".join([*lines, *([f"subjectAltName={alternatives}"] if alternatives else [])]))
    authority = ["-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial"]
    openssl("x509", "-req", "-in", request, *authority, "-days", DAYS, "-extfile", extensions, "-out", folder / f"{who}.crt")
    request.unlink()
    extensions.unlink()


def kubeconfig(cluster: Cluster, who: str, path: Path) -> None:
    """Written whole, so that it can be copied to another place."""
    folder = cluster.certificates

    def data(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "danube",
        "clusters": [{"name": "danube", "cluster": {"server": cluster.api, "certificate-authority-data": data("ca.crt")}}],
        "users": [{"name": who, "user": {"client-certificate-data": data(f"{who}.crt"), "client-key-data": data(f"{who}.key")}}],
        "contexts": [{"name": "danube", "context": {"cluster": "danube", "user": who}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(content))
