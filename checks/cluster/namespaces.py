"""The cluster's own namespaces. One process holds them: when it dies the kernel ends everything inside."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from settings import COVERED, HERE, Broken, Cluster, cache

ENTRY = HERE / "run"
# The holder writes its own number before it makes anything, so there is no instant at which it could be lost.
HOLD = 'echo $$ >"$1" && shift && exec "$@"'
UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "--uts", "--ipc", "--propagation", "private")


def make(cluster: Cluster) -> None:
    """Starts the holder and waits until its namespaces stand."""
    with (cluster.state / "holder.log").open("wb") as log:
        subprocess.Popen(
            ["sh", "-c", HOLD, "sh", cluster.handle, *UNSHARE, sys.executable, "-I", ENTRY, "hold", cluster.name],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
        )
    until = time.monotonic() + 60
    while not (cluster.state / "held").exists():
        if time.monotonic() > until:
            raise Broken(f"the namespaces of {cluster.name} did not come up: {(cluster.state / 'holder.log').read_text()}")
        time.sleep(0.01)


def hold(cluster: Cluster) -> None:
    """PID 1 inside: makes the view of the file system, then only buries the dead."""
    see(cluster)
    subprocess.run(["hostname", cluster.node], check=True)
    (cluster.state / "held").touch()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        try:
            os.wait()
        except ChildProcessError:
            # Nobody is there yet. A child that comes wakes this, as it ends.
            signal.sigtimedwait({signal.SIGCHLD}, 0.2)


def see(cluster: Cluster) -> None:
    """The whole machine read-only, but for the cluster's own folder and fresh places where programs insist on writing."""

    def mount(*arguments: str | Path) -> None:
        subprocess.run(["mount", *arguments], check=True)

    mount("--bind", cluster.state, cluster.state)
    mount("-o", "remount,bind,ro", "/")
    for place in COVERED:
        mount("-t", "tmpfs", "-o", "mode=755", "none", place)
    mount("--make-rshared", "/")


def holder(cluster: Cluster) -> int | None:
    """The process that holds the namespaces, from outside. A number that was given to somebody else meanwhile does not count."""
    with contextlib.suppress(OSError, ValueError):
        process = int(cluster.handle.read_text())
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        if words[0] in (b"sh", b"unshare") and cluster.name.encode() in words and os.fsencode(ENTRY) in words:
            return process
    return None


def first(cluster: Cluster) -> int | None:
    """PID 1 of the namespaces, by its number outside."""
    process = holder(cluster)
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        return int(children[0]) if children else None
    return None


def entering(cluster: Cluster) -> list[str]:
    """The words that run a command inside."""
    target = first(cluster)
    if target is None:
        raise Broken(f"there is no cluster {cluster.name}")
    return ["nsenter", "--target", str(target), "--net", "--mount", "--pid", "--uts", "--ipc", "--"]


def holders(cluster: Cluster) -> list[int]:
    """Whoever holds the namespaces or is about to: also one that was born as its parent was killed, before it asked to go with it."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
            if words[-4:-1] == [os.fsencode(ENTRY), b"hold", cluster.name.encode()]:
                found.append(int(process))
    return found


def end(cluster: Cluster, patience: float = 20, burial: float = 3) -> None:
    """Kills the holder, and waits until everything inside is gone: the kernel ends PID 1 of a namespace after all others."""
    inner = first(cluster)

    def killed() -> bool:
        left = holders(cluster)
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        return not left and (inner is None or dead(inner))

    if not happens(killed, patience):
        raise Broken(f"{cluster.name} does not end: process {inner or holders(cluster)} is still there")
    # Its number is given back when the machine's own PID 1 asks for its exit code. Some never ask.
    happens(lambda: inner is None or not Path(f"/proc/{inner}").exists(), burial)


def happens(what: Callable[[], bool], patience: float) -> bool:
    """Waits for it; whether it came."""
    until = time.monotonic() + patience
    while not what():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def dead(process: int) -> bool:
    """Also when nobody has asked for its exit code yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True
