"""Starts a danubefile: `python3 -I -S -B danube-runner.py`, in any working directory.

Modules come from the standard library, then from this folder, then from the job's read-only copy of the source, and
from nowhere else: hostile steps write to `/workspace` while this runs.
"""

import os
import sys


def start() -> None:
    if not (sys.flags.isolated and sys.flags.no_site and sys.flags.dont_write_bytecode):
        sys.exit("danube: the runner must be started as `python3 -I -S -B danube-runner.py`")
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))

    from danube._runner import main

    if os.environ.pop("DANUBE_WAITS", None):
        wait()
    # Not before: what was not there when it was first looked for stays unseen.
    sys.path.append(os.environ.get("DANUBE_SOURCE", "/danube/src"))
    main()


def wait() -> None:
    """Started ahead, for nobody: waits for where and in which environment it is to go on, or for its end."""
    with open(0, "rb", closefd=False) as told:
        directory, *environment = told.read().split(b"\0")[:-1] or [b""]
    if not directory:
        os._exit(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.environb.clear()
    for pair in environment:
        name, _, value = pair.partition(b"=")
        os.environb[name] = value
    os.chdir(directory)


if __name__ == "__main__":
    start()
