"""etcd, the API server, the controller manager and the scheduler, with the authorizers of a real cluster."""

from pathlib import Path

from processes import launch
from settings import Cluster


def etcd(cluster: Cluster) -> None:
    """In memory: nothing of it must outlive the cluster, and a disk's syncs would only make tests slower."""
    launch(
        cluster, "etcd", "etcd", "--name=only", "--data-dir=/run/etcd",
        "--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
        "--initial-cluster=only=http://127.0.0.1:2380", "--logger=zap", "--log-level=warn",
    )


def api_server(cluster: Cluster) -> None:
    keys = cluster.certificates
    launch(
        cluster, "kube-apiserver", "kube-apiserver",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={cluster.address}", "--secure-port=6443",
        f"--service-cluster-ip-range={cluster.services}",
        f"--tls-cert-file={keys}/server.crt", f"--tls-private-key-file={keys}/server.key",
        f"--client-ca-file={keys}/ca.crt",
        f"--kubelet-client-certificate={keys}/to-kubelet.crt", f"--kubelet-client-key={keys}/to-kubelet.key",
        f"--kubelet-certificate-authority={keys}/ca.crt", "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer={cluster.api}",
        f"--service-account-key-file={keys}/accounts.pub", f"--service-account-signing-key-file={keys}/accounts.key",
        "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--anonymous-auth=false",
        "--shutdown-delay-duration=0s", "--event-ttl=1h", "--profiling=false",
    )


def controller_manager(cluster: Cluster) -> None:
    """With its usual 20 requests a second the first pod would come 3 s later."""
    keys, own = cluster.certificates, _reach(cluster, "kube-controller-manager")
    launch(
        cluster, "kube-controller-manager", "kube-controller-manager", *own,
        f"--root-ca-file={keys}/ca.crt", f"--service-account-private-key-file={keys}/accounts.key",
        f"--cluster-signing-cert-file={keys}/ca.crt", f"--cluster-signing-key-file={keys}/ca.key",
        "--use-service-account-credentials=true", "--leader-elect=false", "--bind-address=127.0.0.1",
        "--kube-api-qps=500", "--kube-api-burst=1000", "--node-monitor-period=1s", "--cert-dir=/run/kube-controller-manager",
    )


def scheduler(cluster: Cluster) -> None:
    launch(
        cluster, "kube-scheduler", "kube-scheduler", *_reach(cluster, "kube-scheduler"),
        "--leader-elect=false", "--bind-address=127.0.0.1", "--cert-dir=/run/kube-scheduler",
    )


def _reach(cluster: Cluster, part: str) -> list[str]:
    path: Path = cluster.certificates / f"{part}.kubeconfig"
    return [f"--kubeconfig={path}", f"--authentication-kubeconfig={path}", f"--authorization-kubeconfig={path}"]
