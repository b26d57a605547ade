"""Beside Laminar, which runs a job as a plain process: trigger to first command, jobs per hour, CPU per job (B1, B4).

Laminar is Debian's package of the suite bullseye, unpacked into a private folder; `LAMINAR=FOLDER` names one where it was
unpacked before. Both run six jobs at once and take turns. Laminar is asked by its own client, whose start of 1 to 2 ms
counts; Danube over HTTP.
"""

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

BATCH = int(os.environ.get("BATCH", "20"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
AT_ONCE = 6
PACKAGES = ("laminard", "laminarc", "libcapnp-0.7.0")


def unpacked(folder):
    """Downloads the packages with lists and caches of their own, and unpacks them; nothing is installed."""
    root = folder / "root"
    if (root / "usr/sbin/laminard").exists():
        return root
    targets = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)"], check=True, capture_output=True, text=True)
    site = next(line.split()[0] for line in targets.stdout.splitlines() if "security" not in line)
    (folder / "lists/partial").mkdir(parents=True)
    (folder / "cache/archives/partial").mkdir(parents=True)
    (folder / "sources.list").write_text(f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {site} bullseye main\n")
    options = [f"Dir::Etc::sourcelist={folder}/sources.list", "Dir::Etc::sourceparts=-", f"Dir::State::lists={folder}/lists",
               f"Dir::Cache={folder}/cache", "APT::Sandbox::User="]
    apt = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "download", *PACKAGES], check=True, cwd=folder)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, root], check=True)
    return root


class Laminar:
    """A laminard with one job that writes the time of its first command into a file."""

    def __init__(self, root):
        self.dir = Path(tempfile.mkdtemp(prefix="laminar-bench-"))
        self.stamps, self.root = self.dir / "stamps", root
        (self.dir / "home/cfg/jobs").mkdir(parents=True)
        (self.dir / "home/cfg/contexts").mkdir()
        (self.dir / "home/cfg/contexts/default.conf").write_text(f"EXECUTORS={AT_ONCE}\n")
        script = self.dir / "home/cfg/jobs/bench.run"
        script.write_text(f"#!/bin/sh\ndate +%s%N >> {self.stamps}\n")
        script.chmod(0o755)
        self.env = {**os.environ, "LD_LIBRARY_PATH": str(root / "usr/lib/x86_64-linux-gnu"), "LAMINAR_HOME": str(self.dir / "home"),
                    "LAMINAR_BIND_HTTP": f"unix:{self.dir}/http", "LAMINAR_BIND_RPC": f"unix:{self.dir}/rpc",
                    "LAMINAR_HOST": f"unix:{self.dir}/rpc"}
        self.process = subprocess.Popen([root / "usr/sbin/laminard"], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (self.dir / "rpc").exists():
            time.sleep(0.01)

    def client(self, word):
        subprocess.run([self.root / "usr/bin/laminarc", word, "bench"], env=self.env, check=True, stdout=subprocess.DEVNULL)

    def told(self):
        return [int(line) for line in self.stamps.read_text().split()] if self.stamps.exists() else []

    def cpu(self):
        """CPU seconds of laminard and of every job that has ended."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")

    def in_sequence(self, waits):
        for _ in range(BATCH):
            began = time.time_ns()
            self.client("run")
            waits.append((self.told()[-1] - began) / 1e9)

    def in_parallel(self):
        wanted = len(self.told()) + BATCH
        for _ in range(BATCH):
            self.client("queue")
        while len(self.told()) < wanted:
            time.sleep(0.002)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Danube:
    """The same of a master."""

    def __init__(self, master):
        self.master = master

    def cpu(self):
        return self.master.cpu()

    def in_sequence(self, waits):
        for _ in range(BATCH):
            began = time.time_ns()
            job = self.master.job()
            waits.append((int(self.master.ask("GET", f"/jobs/{job}/steps/1/raw")) - began) / 1e9)

    def in_parallel(self):
        for _ in range(BATCH):
            self.master.ask("POST", "/pipelines/bench/jobs")
        while json.loads(self.master.ask("GET", "/pipelines/bench"))["counts"] != {"waiting": 0, "running": 0}:
            time.sleep(0.002)


def timed(subject, action):
    """Wall and CPU seconds of each of a batch's jobs."""
    before, began = subject.cpu(), time.monotonic()
    action()
    wall = time.monotonic() - began
    return wall / BATCH, (subject.cpu() - before) / BATCH


def measure(danube, bench):
    given = os.environ.get("LAMINAR")
    folder = Path(given or tempfile.mkdtemp(prefix="laminar-package-"))
    laminar = Laminar(unpacked(folder))
    bench.BESIDE.add(laminar.process.pid)
    with bench.Project(danube, "step.run('date +%s%N')") as project:
        master = bench.Master(project, "--jobs", str(AT_ONCE))
        subjects = {"Laminar": laminar, "Danube": Danube(master)}
        waits, rows = {name: [] for name in subjects}, {name: [] for name in subjects}
        for subject in subjects.values():
            subject.in_sequence([])
        for _ in range(ROUNDS):
            for name, subject in subjects.items():
                sequence = timed(subject, lambda: subject.in_sequence(waits[name]))
                rows[name].append((*sequence, *timed(subject, subject.in_parallel)))
        sizes = {"Laminar": bench.pss(laminar.process.pid), "Danube": bench.pss(master.process.pid)}
        master.stop()
    laminar.stop()
    if not given:
        shutil.rmtree(folder)
    for name in subjects:
        sequence, cpu, parallel, _ = (statistics.median(column) for column in zip(*rows[name]))
        print(f"{name:<8} trigger to first command {statistics.median(waits[name]) * 1000:6.1f} ms   jobs per hour in sequence {3600 / sequence:9,.0f}, "
              f"queued {3600 / parallel:9,.0f}   CPU per job {cpu * 1000:6.1f} ms   PSS {sizes[name]:.1f} MB", flush=True)
    bench.report("B1 trigger to first command beside Laminar", waits["Laminar"], waits["Danube"])
