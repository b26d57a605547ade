"""Removes a cluster, whatever state it is in, and says what is there."""

import contextlib
import shutil
import time
from pathlib import Path

import claims
import control_groups
import namespaces
import network
from settings import Broken, Cluster, states


def down(cluster: Cluster) -> None:
    """Ends its processes, then removes what the kernel does not: control groups, the link, the folder."""
    with claims.held():
        namespaces.end(cluster)
        control_groups.remove(cluster)
        with contextlib.suppress(OSError, ValueError):
            network.unlink(cluster)
        remove_folder(cluster.state)
        remove_folder(states() / f".{cluster.name}")
        claims.forget_place()


def remove_folder(folder: Path, patience: float = 10) -> None:
    """A mount goes when the last process that saw it is gone, which may be an instant after its namespace's first."""
    until = time.monotonic() + patience
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except OSError as error:
            if time.monotonic() > until:
                raise Broken(f"{folder} cannot be removed: {error}") from error
            time.sleep(0.02)


def traces(cluster: Cluster) -> list[str]:
    """What is there of it, in words; nothing when it is gone. Also of one whose bring-up was killed."""
    found = []
    if process := namespaces.holder(cluster):
        found.append(f"process {process} holds its namespaces")
    found += [f"control group {group}" for group in control_groups.groups(cluster)[-1:]]
    with contextlib.suppress(OSError, ValueError):
        if network.exists(cluster.interface):
            found.append(f"network interface {cluster.interface}")
    found += [f"folder {folder}" for folder in (cluster.state, states() / f".{cluster.name}") if folder.exists()]
    return found
