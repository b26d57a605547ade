"""Names and numbers of clusters, given out to one at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

import network
from settings import Cluster, Unable, states


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Holds off whoever else makes or removes a cluster on this machine. The file goes with the last cluster, so
    whoever waited for one that is gone by now asks again."""
    while True:
        states().mkdir(parents=True, exist_ok=True, mode=0o711)
        if states().stat().st_uid != 0:
            raise Unable(f"{states()} belongs to somebody else; set DANUBE_CLUSTER_STATE")
        path = states() / "lock"
        try:
            lock = path.open("w")
        except FileNotFoundError:
            continue
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(lock.fileno())):
                yield
                return


def take(cluster: Cluster) -> None:
    """Makes the cluster's folder, with the lowest free number in it, in one step for everyone else."""
    with held():
        if cluster.state.exists():
            raise Unable(f"there is a cluster {cluster.name} already: checks/cluster/run down {cluster.name}")
        taken = {Cluster(path.parent.name).index for path in states().glob("[!.]*/index")}
        free = next(number for number in range(256) if number not in taken and not network.exists(f"danube-k{number}"))
        unfinished = states() / f".{cluster.name}"
        unfinished.mkdir(mode=0o711, exist_ok=True)
        (unfinished / "index").write_text(str(free))
        for folder in ("parts", "logs"):
            (unfinished / folder).mkdir(exist_ok=True)
        unfinished.rename(cluster.state)


def forget_place() -> None:
    """The folder of all clusters goes with the last of them. For whoever holds the lock."""
    with contextlib.suppress(OSError):
        if {path.name for path in states().iterdir()} <= {"lock"}:
            (states() / "lock").unlink(missing_ok=True)
            states().rmdir()
