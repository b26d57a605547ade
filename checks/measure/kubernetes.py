"""Jobs as pods beside bare pods of the same cluster (B2): `DANUBE_CLUSTER_FACTS` names what `checks/cluster/run up` printed.
`PAIRS=n` makes another number of pairs, `STEPS=n` of steps, `MIB=n` of output, `MANY=n` of jobs at once."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PAIRS, STEPS, MIB, MANY = (
    int(os.environ.get(name, usual)) for name, usual in (("PAIRS", "10"), ("STEPS", "20"), ("MIB", "64"), ("MANY", "50"))
)
SPACE = f"danube-bench-{os.getpid()}"
PODS = f"/api/v1/namespaces/{SPACE}/pods"
# Half a processor is what a coordinator has by default; of a worker's default one the node could not hold a pod.
USUAL, SMALL = "500m", "100m"


class Site:
    """A server with one application, whose jobs are pods of a namespace of its own."""

    def __init__(self, danube, bench, facts, cpu):
        sys.path.insert(0, str(bench.ROOT / "checks/cluster"))
        from api import Api
        from settings import Cluster

        self.facts, self.bench, self.cpu, self.dir = facts, bench, cpu, Path(tempfile.mkdtemp(prefix="danube-bench-"))
        self.api = Api(Cluster(facts["CLUSTER"]))
        self.api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": SPACE}})
        while self.api.raw("GET", f"/api/v1/namespaces/{SPACE}/serviceaccounts/default")[0] != 200:
            time.sleep(0.1)
        self.worker = f"{facts['REGISTRY']}/worker:latest"
        shutil.copy(facts["KUBECONFIG"], self.dir / "kubeconfig")
        (self.dir / "kubeconfig").chmod(0o600)
        self.warm(0)
        self.body("step.run('true')")
        (self.dir / "danube.toml").write_text(
            f'data_dir = "{self.dir}/data"\nlisten = "127.0.0.1:0"\nruntime = "kubernetes"\n[config]\nurl = "{self.dir}/config"\nsync_interval = "1s"\n[limits]\njobs = {MANY}\n'
            f'[kubernetes]\nkubeconfig = "{self.dir}/kubeconfig"\nnamespace = "{SPACE}"\nshim_image = "{facts["IMAGE_SHIM"]}"\n'
            f'coordinator_image = "{facts["IMAGE_COORDINATOR"]}"\nenforcement = "off"\nworker_cpu = "{cpu}"\nworker_memory = "128Mi"\n'
            f'coordinator_cpu = "{cpu}"\ncoordinator_memory = "128Mi"\nworkspace = "100Mi"\n')
        environment = os.environ | {"SSL_CERT_FILE": facts["CA"]}
        self.serve = subprocess.Popen([danube, "serve", "--config", self.dir / "danube.toml"], env=environment, stderr=subprocess.DEVNULL)
        while not (self.dir / "data/serve.json").exists():
            time.sleep(0.05)
        self.known = json.loads((self.dir / "data/serve.json").read_text())

    def repository(self, name, files):
        for path, text in files.items():
            (self.dir / name / path).parent.mkdir(parents=True, exist_ok=True)
            (self.dir / name / path).write_text(text)
        who = ["-c", "user.name=b", "-c", "user.email=b@example.com"]
        first = [] if (self.dir / name / ".git").exists() else [["init", "-q", "--initial-branch=main"]]
        for words in (*first, ["add", "-A"], [*who, "commit", "-qm", "bench", "--allow-empty"]):
            subprocess.run(["git", "-C", self.dir / name, *words], check=True)

    def warm(self, count):
        pipeline = "apiVersion: danube.dev/v1\nkind: Pipeline\nmetadata:\n  name: app\nspec:\n" f"  repository: {self.dir}/app\n  warm: {count}\n"
        self.repository("config", {"pipelines/app.yaml": pipeline})

    def body(self, body):
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        self.repository("app", {"danubefile.py": f"from danube import *\nimport time\n\n@pipeline(image='{self.worker}')\ndef build():\n{lines}"})

    def ask(self, method, path):
        request = urllib.request.Request(f"{self.known['url']}/api/v1{path}", method=method, data=b"" if method == "POST" else None,
                                         headers={"Authorization": f"Bearer {self.known['token']}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def job(self):
        """A job to its end."""
        return self.end(self.begin())

    def begin(self):
        return json.loads(self.ask("POST", "/pipelines/app/jobs"))

    def end(self, job):
        while not job.get("finished_ms"):
            time.sleep(0.05)
            job = json.loads(self.ask("GET", f"/jobs/{job['id']}"))
        if job["status"] != "success":
            sys.exit(f"the job failed: {job['reason']}")
        return job

    def raw(self, job, step):
        return self.ask("GET", f"/jobs/{job['id']}/steps/{step}/raw").decode()

    def close(self):
        self.serve.terminate()
        self.serve.wait()
        self.api.ask("DELETE", f"/api/v1/namespaces/{SPACE}")
        while self.api.raw("GET", f"/api/v1/namespaces/{SPACE}")[0] == 200:
            time.sleep(0.1)
        shutil.rmtree(self.dir)


def bare(site, name, like_a_job=False):
    """Seconds from a pod's making to its running: of one container, or of two after an init container, as a job's has them."""
    image = site.facts["IMAGE_WORKER"]
    container = {"name": "only", "image": image, "command": ["sleep", "900"], "resources": {"limits": {"cpu": site.cpu, "memory": "128Mi"}}}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False, "hostUsers": False, "containers": [container]}
    if like_a_job:
        spec["initContainers"] = [container | {"name": "first", "command": ["true"]}]
        spec["containers"] = [container, container | {"name": "second"}]
    started = time.monotonic()
    site.api.ask("POST", PODS, {"metadata": {"name": name}, "spec": spec})
    for seen in site.api.watch(PODS, f"metadata.name={name}"):
        if seen["status"].get("phase") == "Running":
            return time.monotonic() - started


def first_command(site):
    """Seconds from the trigger to what the first command says the time is: it is one machine."""
    started = time.time()
    return float(site.raw(site.job(), 1)) - started


def spread(values):
    return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"


def begin(site):
    site.body("step.run('date +%s.%N')")
    pods, alike, jobs = [], [], []
    for n in range(PAIRS):
        pods.append(bare(site, f"bare-{n}"))
        site.api.raw("DELETE", f"{PODS}/bare-{n}")
        alike.append(bare(site, f"alike-{n}", like_a_job=True))
        site.api.raw("DELETE", f"{PODS}/alike-{n}")
        jobs.append(first_command(site))
    ratio = statistics.median(job / pod for job, pod in zip(jobs, pods))
    print(f"B2 a bare pod with an init container and two others to Running {spread(alike)}")
    print(f"B2 a bare pod to Running {spread(pods)}, trigger to first command {spread(jobs)}, {ratio:.2f} x, {PAIRS} pairs")


def warm(site):
    """Jobs that find a pod that was made ahead; the first makes it known which."""
    site.warm(1)
    time.sleep(3)
    site.job()
    jobs = []
    for _ in range(PAIRS):
        name = stands(site)
        jobs.append(first_command(site))
        if site.api.raw("GET", f"{PODS}/{name}")[0] == 200 and "danube.dev/warm" in site.api.ask("GET", f"{PODS}/{name}")["metadata"]["labels"]:
            sys.exit(f"the pod {name} was not taken")
    site.warm(0)
    time.sleep(3)
    site.job()
    print(f"B2 with a pod made ahead: trigger to first command {spread(jobs)}, {PAIRS} jobs")


def stands(site):
    """The name of the pod that was made ahead, once it runs and the machine is at rest again."""
    while True:
        pods = site.api.ask("GET", f"{PODS}?labelSelector=danube.dev/warm")["items"]
        ready = [pod for pod in pods if pod["status"].get("containerStatuses") and all(one["ready"] for one in pod["status"]["containerStatuses"])]
        if ready:
            time.sleep(2)
            return ready[0]["metadata"]["name"]
        time.sleep(0.1)


def many(site):
    """Jobs at once, from the first trigger to the last end. A small node holds few of their pods; the others wait for it."""
    site.body("step.run('sleep 5')")
    started = time.monotonic()
    jobs = [site.begin() for _ in range(MANY)]
    most, ran = 0.0, 0
    while True:
        ran = max(ran, sum(pod["status"].get("phase") == "Running" for pod in site.api.ask("GET", PODS)["items"]))
        states = [json.loads(site.ask("GET", f"/jobs/{job['id']}")) for job in jobs]
        most = max(most, site.bench.pss(site.serve.pid))
        if all(job.get("finished_ms") for job in states):
            break
        time.sleep(2)
    failed = [job["reason"] for job in states if job["status"] != "success"]
    wall = time.monotonic() - started
    print(f"B2 {MANY} jobs at once: {MANY - len(failed)} succeeded, at most {ran} pods ran at a time, all over after {wall:.0f} s; PSS of the master at most {most:.1f} MB {failed[:2] or ''}")


def memory(site):
    """Of a pod while its step sleeps: all that is Danube's, without the step's own process and the cluster's pause."""
    site.body("step.run('exec sleep 600')")
    job = site.begin()
    while len(json.loads(site.ask("GET", f"/jobs/{job['id']}"))["steps"]) < 2:
        time.sleep(0.1)
    time.sleep(2)
    uid = site.api.ask("GET", PODS)["items"][0]["metadata"]["uid"]
    taken = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if uid not in (process / "cgroup").read_text() or words[0] in (b"sleep", b"/pause"):
                continue
            name = f"{Path(words[0].decode()).name} {words[1].decode() if words[1:2] == [b'bridge'] else ''}".strip()
            taken.setdefault(name, []).append(site.bench.pss(int(process.name)))
        except (FileNotFoundError, ProcessLookupError):
            pass
    site.ask("POST", f"/jobs/{job['id']}/cancel")
    parts = ", ".join(f"{len(sizes)} x {name} {sum(sizes):.1f} MB" for name, sizes in sorted(taken.items()))
    print(f"B4 a job's own processes in its pod: {sum(map(sum, taken.values())):.1f} MB PSS ({parts})")


def steps(site):
    bare(site, "exec")
    kubectl = [site.facts["KUBECTL"], "--kubeconfig", site.dir / "kubeconfig", "-n", SPACE, "exec", "exec", "--", "true"]
    execs = []
    for _ in range(STEPS):
        started = time.monotonic()
        subprocess.run(kubectl, check=True)
        execs.append(time.monotonic() - started)
    site.api.raw("DELETE", f"{PODS}/exec")
    site.body(f"step.run('true')\nbegan = time.monotonic()\nfor _ in range({STEPS}):\n    step.run('true')\n"
              f"step.run('echo ' + str((time.monotonic() - began) / {STEPS}))")
    each = float(site.raw(site.job(), STEPS + 2))
    print(f"B2 one more step.run('true') {each * 1000:.0f} ms; kubectl exec … true {statistics.median(execs) * 1000:.0f} ms")


def output(site):
    site.body(f"step.run('yes 0123456789012345678901234567890123456789012345678901234567890 | head -c {MIB << 20}')")
    job = site.job()
    step = job["steps"][1]
    wall = (step["finished_ms"] - step["started_ms"]) / 1000
    print(f"B2 {MIB} MiB of output, from a step's start to its last byte on the master's disk: {wall:.1f} s, {MIB * 1.048576 / wall:.0f} MB/s")


def measure(danube, bench):
    if "DANUBE_CLUSTER_FACTS" not in os.environ:
        sys.exit("no cluster: checks/cluster/run up --name bench > FILE, then DANUBE_CLUSTER_FACTS=FILE")
    lines = Path(os.environ["DANUBE_CLUSTER_FACTS"]).read_text().splitlines()
    facts = dict(line.split("=", 1) for line in lines)
    for cpu, parts in ((USUAL, (begin, warm, memory, steps, output)), (SMALL, (many,))):
        site = Site(danube, bench, facts, cpu)
        try:
            print(f"PSS of the master, idle: {bench.pss(site.serve.pid):.1f} MB; load {os.getloadavg()[0]:.0f}; containers with {cpu} of CPU")
            for part in parts:
                part(site)
        finally:
            site.close()
