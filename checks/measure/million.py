"""Every list and every page of a job, at a master with a million jobs in its database (B6).

The rows are written straight into SQLite: 50 pipelines of which one has a third of the jobs, branches and people of whom
some are seen once, steps for every tenth job and the newest 20 000, reports for every hundredth and the newest 2 000.
`ROWS=n` makes another number of jobs, `REQUESTS=n` asks each route so often, `SEED=n` repeats a choice of jobs. `KEEP=FOLDER`
leaves the data directory there, and uses it when it is there already.
"""

import os
import random
import shutil
import sqlite3
import statistics
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROWS = int(os.environ.get("ROWS", "1000000"))
REQUESTS = int(os.environ.get("REQUESTS", "200"))
PIPELINES = ["bench", *(f"service-{n}" for n in range(1, 50))]
STATUSES = ["success"] * 80 + ["failure"] * 12 + ["timeout"] * 3 + ["cancelled"] * 5
BEGAN_MS = 1_700_000_000_000
# Milliseconds from one job to the next: a million in some 350 days.
APART_MS = 30_000


def job_id(n):
    """As a UUIDv7 of that time would be: sorts by time."""
    stamp = BEGAN_MS + n * APART_MS
    mixed = n * 0x9E3779B97F4A7C15 % (1 << 64)
    return f"{stamp >> 16:08x}-{stamp & 0xFFFF:04x}-7{mixed & 0xFFF:03x}-8{mixed >> 12 & 0xFFF:03x}-{mixed >> 16:012x}"


class History:
    """The rows, made one after the other."""

    def __init__(self, random_, spec):
        self.random, self.spec = random_, spec
        self.numbers = dict.fromkeys(PIPELINES, 0)

    def job(self, n):
        choose = self.random
        pipeline = PIPELINES[0 if n % 3 == 0 else choose.randrange(1, len(PIPELINES))]
        self.numbers[pipeline] += 1
        # One branch, one person and one trigger are seen once, longest ago; one branch is never green.
        kind, first = choose.random(), n == 0
        branch = "once" if first else "main" if kind < 0.6 else "red" if kind < 0.65 else f"feature/{choose.randrange(2000)}"
        status = "failure" if branch == "red" else choose.choice(STATUSES)
        reason = ("script", "RunError: the step failed") if status not in ("success", "cancelled") else (None, None)
        at = BEGAN_MS + n * APART_MS
        actor = "once" if first else f"person-{choose.randrange(30)}"
        trigger = "cron" if first else choose.choice(("manual", "manual", "webhook", "rerun"))
        sha = f"{choose.getrandbits(160):040x}"
        return (job_id(n), pipeline, self.numbers[pipeline], "/src/app", branch, sha, 0, trigger, actor, "{}", self.spec,
                status, *reason, at, at + 40, at + 40 + choose.randrange(20_000, 300_000), f"Change number {n}")

    def steps(self, n):
        for number in range(5):
            failed = number == 4 and n % 8 == 0
            at = BEGAN_MS + n * APART_MS + number * 10_000
            yield (job_id(n), 1, number, f"{n:024x}{number:08x}", b"0" * 32, f"step {number}", "[]", "worker", "host", 1, 1, 1,
                   "danubefile.py:5", at, "exited", int(failed), at + 9000, 9000, 0, b"0" * 32,
                   "failure" if failed else "success")

    def cases(self, n):
        for seq in range(50):
            failed = seq == 3 and n % 8 == 0
            yield (job_id(n), 1, 1, seq, "unit", f"tests.part{seq % 7}", f"test_{seq}", "failed" if failed else "passed", 5)


def marks(columns):
    return f"({columns}) VALUES ({', '.join('?' * (columns.count(',') + 1))})"


JOBS = ("id, pipeline, number, source_dir, source_ref, source_sha, source_dirty, trigger, actor, params, spec, status, "
        "reason_kind, reason_message, created_ms, started_ms, finished_ms, source_title")
STEPS = ("job, attempt, number, step_id, spec_hash, name, group_path, container, image, checked, try, tries, location, "
         "started_ms, cause, exit_code, finished_ms, duration_ms, bytes, sha256, status")
CASES = "job, attempt, report, seq, suite, class, name, status, duration_ms"


def fill(path, seed):
    """Writes the history into the database of a master that does not run."""
    db = sqlite3.connect(path, isolation_level=None)
    for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
        db.execute(f"PRAGMA {setting}")
    db.execute("BEGIN")
    (spec,) = db.execute("SELECT spec FROM jobs LIMIT 1").fetchone()
    history = History(random.Random(seed), spec)
    with_steps = [n for n in range(ROWS) if n % 10 == 0 or n >= ROWS - 20_000]
    with_cases = [n for n in range(ROWS) if n % 100 == 0 or n >= ROWS - 2_000]
    db.execute("DELETE FROM jobs")
    db.executemany(f"INSERT INTO jobs {marks(JOBS)}", map(history.job, range(ROWS)))
    db.execute("INSERT INTO attempts (job, number, nonce, status, budget_ms, anchor_ms, started_ms, finished_ms, reason_kind, "
               "reason_message) SELECT id, 1, 'n', status, 1, created_ms, created_ms, finished_ms, reason_kind, reason_message FROM jobs")
    for n in with_steps:
        db.executemany(f"INSERT INTO steps {marks(STEPS)}", history.steps(n))
    for n in with_cases:
        db.execute("INSERT INTO test_reports (job, attempt, number, call, name, passed, failed, files, created_ms) "
                   "VALUES (?, 1, 1, 'c', 'unit', ?, ?, 1, 1)", (job_id(n), 49 + bool(n % 8), int(n % 8 == 0)))
        db.executemany(f"INSERT INTO test_cases {marks(CASES)}", history.cases(n))
    db.execute("INSERT OR REPLACE INTO run_numbers SELECT pipeline, max(number) FROM jobs GROUP BY pipeline")
    db.executemany("INSERT OR IGNORE INTO pipelines (name, dir, entry_point, registered_ms) VALUES (?, '/src/app', 'danubefile.py', 1)",
                   [(name,) for name in PIPELINES])
    db.execute("COMMIT")
    db.execute("PRAGMA journal_mode = WAL")
    db.close()


def routes(db, choose):
    """A name for each kind of address, and what makes one of it."""
    def some(query):
        return lambda rows=db.execute(query).fetchall(): choose.choice(rows)

    newest = some("SELECT pipeline, number, id, source_sha FROM jobs ORDER BY id DESC LIMIT 2000")
    anyone = some("SELECT pipeline, number, id, source_sha FROM jobs WHERE rowid % 5003 = 0")
    stepped = some(f"SELECT pipeline, number, id FROM jobs WHERE id IN (SELECT job FROM test_reports LIMIT 2000)")
    red = some("SELECT pipeline, number FROM jobs WHERE source_ref = 'red' LIMIT 2000")
    return {
        "/": lambda: "/",
        "/?state=failing": lambda: "/?state=failing",
        "/queue": lambda: "/queue",
        "/system": lambda: "/system",
        "/search?q=NUMBER": lambda: f"/search?q={anyone()[1]}",
        "/search?q=COMMIT": lambda: f"/search?q={anyone()[3][:choose.choice((4, 8, 40))]}",
        "/search?q=ID": lambda: f"/search?q={anyone()[2]}",
        "/search?q=no such commit": lambda: f"/search?q={choose.getrandbits(32):08x}",
        "/pipelines/P": lambda: f"/pipelines/{choose.choice(PIPELINES)}",
        "/pipelines/P, the largest": lambda: "/pipelines/bench",
        "/pipelines/P?before=": lambda: "/pipelines/{0}?before={2}".format(*anyone()),
        "/pipelines/P?branch=": lambda: f"/pipelines/bench?branch=feature/{choose.randrange(2000)}",
        "/pipelines/P?branch=, one run": lambda: "/pipelines/bench?branch=once",
        "/pipelines/P?trigger=, one run": lambda: "/pipelines/bench?trigger=cron",
        "/pipelines/P?by=, one run": lambda: "/pipelines/bench?by=once",
        "/pipelines/P?branch=&by=, no run": lambda: "/pipelines/bench?branch=main&by=once",
        "/pipelines/P/tests": lambda: f"/pipelines/{choose.choice(PIPELINES)}/tests",
        "/pipelines/P/N, new": lambda: "/pipelines/{0}/{1}".format(*newest()),
        "/pipelines/P/N, any": lambda: "/pipelines/{0}/{1}".format(*anyone()),
        "/pipelines/P/N, branch never green": lambda: "/pipelines/{0}/{1}".format(*red()),
        "/pipelines/P/N/tests": lambda: "/pipelines/{0}/{1}/tests".format(*stepped()),
        "/pipelines/P/N/artifacts": lambda: "/pipelines/{0}/{1}/artifacts".format(*newest()),
        "/jobs/ID": lambda: f"/jobs/{anyone()[2]}",
        "/api/v1/pipelines": lambda: "/api/v1/pipelines",
        "/api/v1/pipelines/P": lambda: f"/api/v1/pipelines/{choose.choice(PIPELINES)}",
        "/api/v1/jobs": lambda: "/api/v1/jobs",
        "/api/v1/jobs?before=": lambda: f"/api/v1/jobs?before={anyone()[2]}",
        "/api/v1/jobs?limit=200": lambda: "/api/v1/jobs?limit=200",
        "/api/v1/jobs?pipeline=": lambda: f"/api/v1/jobs?pipeline={choose.choice(PIPELINES)}",
        "/api/v1/jobs?status=": lambda: f"/api/v1/jobs?status={choose.choice(STATUSES)}",
        "/api/v1/jobs?status=running, none": lambda: "/api/v1/jobs?status=running",
        "/api/v1/jobs?pipeline=&status=&before=": lambda: "/api/v1/jobs?pipeline={0}&status=timeout&before={2}".format(*anyone()),
        "/api/v1/jobs/latest": lambda: "/api/v1/jobs/latest",
        "/api/v1/jobs/ID": lambda: f"/api/v1/jobs/{anyone()[2]}",
        "/api/v1/jobs/ID/tests": lambda: f"/api/v1/jobs/{stepped()[2]}/tests",
        "/api/v1/jobs/ID/tests?q=, none": lambda: f"/api/v1/jobs/{stepped()[2]}/tests?q=nothing",
        "/api/v1/jobs/ID/artifacts": lambda: f"/api/v1/jobs/{anyone()[2]}/artifacts",
        "/api/v1/jobs/ID/summaries": lambda: f"/api/v1/jobs/{anyone()[2]}/summaries",
    }


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """The answer itself is what is measured."""

    def redirect_request(self, *_):
        return None


def ask(master, path):
    """One answer; its milliseconds and bytes."""
    request = urllib.request.Request(master.found["url"] + path, headers={"Authorization": f"Bearer {master.found['token']}"})
    began = time.perf_counter()
    try:
        with urllib.request.build_opener(NoRedirect).open(request) as answer:
            size = len(answer.read())
    except urllib.error.HTTPError as error:
        if error.code not in (302, 303, 307, 308):
            sys.exit(f"{path}: {error.code} {error.read().decode()[:300]}")
        size = 0
    return (time.perf_counter() - began) * 1000, size


def filled(project, bench, seed):
    """The database of a master that does not run, with all its jobs."""
    path, began = project.dir / "data/master/danube.db", time.monotonic()
    if path.exists():
        return path
    running = bench.Master(project)
    running.job()
    running.stop()
    fill(path, seed)
    print(f"B6 {ROWS} jobs, {path.stat().st_size / 1e9:.2f} GB, written in {time.monotonic() - began:.0f} s", flush=True)
    return path


def placed(danube, bench):
    """A project in a folder that goes, or in one that stays."""
    project = bench.Project(danube, "step.run('true')")
    keep = os.environ.get("KEEP")
    if keep and Path(keep).exists():
        project.__exit__()
    elif keep:
        project.dir.rename(keep)
    project.dir = Path(keep or project.dir)
    return project


def started(project, bench):
    began = time.monotonic()
    running = bench.Master(project)
    print(f"B6 a start with them takes {time.monotonic() - began:.2f} s, the master has {bench.pss(running.process.pid):.1f} MB PSS", flush=True)
    return running


def measure(danube, bench):
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"SEED={seed}")
    choose, project = random.Random(seed), placed(danube, bench)
    path = filled(project, bench, seed)
    # The first may change the schema, and finds nothing in memory.
    started(project, bench).stop()
    running = started(project, bench)
    asked(running, routes(sqlite3.connect(f"file:{path}?mode=ro", uri=True), choose))
    took = [running_job(running) for _ in range(20)]
    print(f"B6 a trivial job beside them, wall{'':<15} p50 {statistics.median(took) * 1000:7.1f} ms")
    print(f"B6 the master has {bench.pss(running.process.pid):.1f} MB PSS after that")
    running.stop()
    if "KEEP" not in os.environ:
        shutil.rmtree(project.dir)


def asked(running, paths):
    """Each address so often."""
    for name, make in paths.items():
        ask(running, make())
        took, sizes = zip(*(ask(running, make()) for _ in range(REQUESTS)))
        took = sorted(took)
        slow = "  over 50 ms" if took[int(REQUESTS * 0.99)] > 50 else ""
        print(f"B6 {name:<44} p50 {statistics.median(took):7.1f} ms  p99 {took[int(REQUESTS * 0.99)]:7.1f} ms  "
              f"{statistics.median(sizes) / 1000:6.1f} kB{slow}", flush=True)


def running_job(master):
    began = time.monotonic()
    master.job()
    return time.monotonic() - began
