"""Starts the cluster's parts and finds them again. What a part was started with is kept, so that a test can end it and start it anew."""

import contextlib
import json
import os
import select
import signal
import subprocess
from pathlib import Path

import programs
from namespaces import dead
from settings import Broken, Cluster

# Each after what it stands on.
PARTS = ("etcd", "containerd", "registry", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")


def words_of(cluster: Cluster, part: str) -> Path:
    return cluster.state / "parts" / f"{part}.json"


def log_of(cluster: Cluster, part: str) -> Path:
    return cluster.state / "logs" / f"{part}.log"


def define(cluster: Cluster, part: str, *words: str | Path) -> None:
    """Says how a part is started."""
    words_of(cluster, part).write_text(json.dumps([str(word) for word in words]))


def start(cluster: Cluster, part: str) -> None:
    """Starts it in a session of its own. Run inside."""
    command = json.loads(words_of(cluster, part).read_text())
    environment = {"PATH": programs.path(), "HOME": "/run", "TMPDIR": "/run", "GOMEMLIMIT": "1GiB", "OTEL_SDK_DISABLED": "true"}
    with log_of(cluster, part).open("ab") as log:
        started = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True, cwd="/")
    # Whole or not at all: somebody looks at this very moment for parts that have fallen.
    unfinished = words_of(cluster, part).with_suffix(".unfinished")
    unfinished.write_text(str(started.pid))
    unfinished.rename(words_of(cluster, part).with_suffix(".pid"))


def launch(cluster: Cluster, part: str, *words: str | Path) -> None:
    define(cluster, part, *words)
    start(cluster, part)


def running(cluster: Cluster, part: str) -> int | None:
    """Its number inside, if it runs. Run inside."""
    with contextlib.suppress(OSError, ValueError):
        number = int(words_of(cluster, part).with_suffix(".pid").read_text())
        # Not by its command line, which is empty for an instant while a program takes another one's place.
        if not dead(number):
            return number
    return None


def fallen(cluster: Cluster) -> list[str]:
    """Parts that were started and run no more, in the order in which they stand on each other. Run inside."""
    started = [part for part in PARTS if words_of(cluster, part).with_suffix(".pid").exists()]
    return [part for part in started if running(cluster, part) is None]


def gave_up(cluster: Cluster) -> bool:
    """Whether the API server ended because its first minute was not enough for it, as happens on a machine that is too busy.
    Whoever runs one starts it anew then."""
    with log_of(cluster, "kube-apiserver").open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - (64 << 10)))
        return b"PostStartHook" in log.read()


def stop(cluster: Cluster, part: str, how: signal.Signals) -> None:
    """Sends it a signal, and waits until it is gone if it is one that ends it. Run inside."""
    number = running(cluster, part)
    if number is None:
        raise Broken(f"{part} of {cluster.name} does not run")
    if how in (signal.SIGSTOP, signal.SIGCONT):
        os.kill(number, how)
        return
    waiting = os.pidfd_open(number)
    os.kill(number, how)
    select.select([waiting], [], [])
    os.close(waiting)


def last_words(cluster: Cluster, lines: int = 12) -> str:
    """The ends of all logs, for whoever must find out why a cluster did not come up."""
    told = []
    for part in PARTS:
        with contextlib.suppress(OSError):
            end = log_of(cluster, part).read_text(errors="replace").splitlines()[-lines:]
            told.append(f"--- {part}\n" + "\n".join(line[:300] for line in end))
    return "\n".join(told)
