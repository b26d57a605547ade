"""The master's memory: idle, with running jobs, and after them (B4). `JOBS=n` makes another number of them."""

import json
import os
import time

JOBS = int(os.environ.get("JOBS", "100"))


def begun(running, job):
    """Whether its step runs."""
    return len(json.loads(running.ask("GET", f"/jobs/{job}"))["steps"]) > 1


def measure(danube, bench):
    with bench.Project(danube, "step.run('while test -e endless; do sleep 0.5; done')") as project:
        running = bench.Master(project, "--jobs", str(JOBS))
        running.job()
        idle = bench.pss(running.process.pid)
        (project.dir / "project/endless").touch()
        ids = [json.loads(running.ask("POST", "/pipelines/bench/jobs"))["id"] for _ in range(JOBS)]
        while not all(begun(running, job) for job in ids):
            time.sleep(0.2)
        time.sleep(2)
        busy = bench.pss(running.process.pid)
        for job in ids:
            running.ask("POST", f"/jobs/{job}/cancel")
        while not all(json.loads(running.ask("GET", f"/jobs/{job}"))["finished_ms"] for job in ids):
            time.sleep(0.2)
        after = bench.pss(running.process.pid)
        running.stop()
    print(f"B4 PSS of the master: {idle:.1f} MB idle, {busy:.1f} MB with {JOBS} running jobs ({(busy - idle) / JOBS:.2f} MB each), "
          f"{after:.1f} MB after them")
