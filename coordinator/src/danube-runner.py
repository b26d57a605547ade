"""Starts a danubefile: `python3 -I -S -B danube-runner.py`, in any working directory.

Modules come from the standard library, then from this folder, then from the job's read-only copy of the source, and
from nowhere else: hostile steps write to `/workspace` while this runs.
"""

import os
import sys


def start() -> None:
    if not (sys.flags.isolated and sys.flags.no_site and sys.flags.dont_write_bytecode):
        sys.exit("danube: the runner must be started as `python3 -I -S -B danube-runner.py`")
    sdk = os.path.dirname(os.path.abspath(__file__))
    sys.path += [sdk, os.environ.get("DANUBE_SOURCE", "/danube/src")]

    from danube._runner import main

    main()


if __name__ == "__main__":
    start()
