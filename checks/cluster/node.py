"""containerd, the kubelet and kube-proxy of the cluster's only node."""

import json
from pathlib import Path

import programs
from needs import PLUGINS
from network import BRIDGE
from processes import launch
from settings import Cluster

SANDBOX_IMAGE = "danube.test/pause:1"

CONTAINERD = """version = 3
root = "{state}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]

[grpc]
  address = "{socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "/run/opt-containerd"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{sandbox}"

[plugins."io.containerd.cri.v1.images".registry]
  config_path = "{state}/registries"

[plugins."io.containerd.cri.v1.runtime"]
  # Root may have no CAP_SYS_RESOURCE here, and then no sandbox would start.
  restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{plugins}"]
  conf_dir = "{state}/cni"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = "{runc}/runc"
  SystemdCgroup = false
"""

# These the kubelet writes for the whole machine. It gets files of its own in their place, which nobody else sees: covered for
# containers too, the kernel would mount no fresh /proc in a user namespace (`hostUsers: false`).
MACHINE_WIDE = (
    "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
    "vm/overcommit_memory", "vm/panic_on_oom",
)
COVER = """set -e
mount --make-private /proc
mount -t tmpfs none /run/sysctl
for name in $1; do
    file=/run/sysctl/$(echo "$name" | tr / -)
    cat "/proc/sys/$name" >"$file"
    mount --bind "$file" "/proc/sys/$name"
done
shift
exec "$@"
"""


def containerd(cluster: Cluster) -> None:
    runc = next(source.built for source in programs.SOURCES if source.folder == "runc")
    config = cluster.state / "containerd.toml"
    config.write_text(CONTAINERD.format(
        state=cluster.state, socket=cluster.containerd_socket, sandbox=SANDBOX_IMAGE, plugins=PLUGINS, runc=runc,
    ))
    pod_network(cluster)
    launch(cluster, "containerd", "containerd", "--config", config)


def pod_network(cluster: Cluster) -> None:
    """A bridge and addresses of this node; published ports."""
    ranges = {"ranges": [[{"subnet": cluster.pods}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/run/cni-addresses"}
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "hairpinMode": True, "ipam": {"type": "host-local", **ranges}}
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    folder = cluster.state / "cni"
    folder.mkdir()
    (folder / "10-pods.conflist").write_text(json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": plugins}))


def kubelet(cluster: Cluster) -> None:
    keys, config = cluster.certificates, cluster.state / "kubelet.json"
    config.write_text(json.dumps({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": cluster.address,
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": f"{keys}/ca.crt"}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{keys}/node.crt",
        "tlsPrivateKeyFile": f"{keys}/node.key",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cluster.control_group}/pods",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "containerRuntimeEndpoint": f"unix://{cluster.containerd_socket}",
        "podLogsDir": f"{cluster.state}/pod-logs",
        "volumePluginDir": "/run/volume-plugins",
        "resolvConf": "",
        "serializeImagePulls": False,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "healthzBindAddress": "127.0.0.1",
        "nodeStatusUpdateFrequency": "2s",
        "singleProcessOOMKill": True,
        "maxPods": 110,
    }))
    Path("/run/sysctl").mkdir()
    private = ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", COVER, "sh", " ".join(MACHINE_WIDE)]
    launch(
        cluster, "kubelet", *private, "kubelet", f"--config={config}", f"--kubeconfig={keys}/node.kubeconfig",
        f"--node-ip={cluster.address}", f"--hostname-override={cluster.node}", f"--root-dir={cluster.state}/kubelet",
        f"--cert-dir={cluster.state}/kubelet/pki",
    )


def proxy(cluster: Cluster) -> None:
    """Connection tracking is the machine's: not one of its settings is touched."""
    config = cluster.state / "kube-proxy.json"
    untouched = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s", "udpTimeout": "0s", "udpStreamTimeout": "0s"}
    config.write_text(json.dumps({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": str(cluster.certificates / "kube-proxy.kubeconfig")},
        "clusterCIDR": cluster.pods,
        "hostnameOverride": cluster.node,
        "oomScoreAdj": 0,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "conntrack": untouched,
    }))
    launch(cluster, "kube-proxy", "kube-proxy", f"--config={config}")
