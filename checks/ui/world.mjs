// A real `danube dev` on a project of its own, with runs that passed, failed, were cancelled, go on and wait.
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";

const DANUBEFILE = `from danube import artifacts, ctx, pipeline, reports, step, summary


@pipeline(
    name="date-picker",
    params={
        "fail": {"default": False, "description": "Let a test fail"},
        "seconds": {"default": 0, "description": "How long the build takes"},
        "target": {"default": "staging", "choices": ["staging", "production"]},
    },
)
def build():
    with step.group("Check"):
        step.run("printf 'all \\\\033[32mwell formed\\\\033[0m\\\\n'", name="Format")
        step.parallel(
            step.call("echo linted", name="Lint"),
            step.call("echo typed", name="Types"),
        )
    step.run(f"for n in $(seq 1 30); do echo compiling module $n; done; sleep {ctx.params['seconds']}", name="Build")
    step.run("mkdir -p dist && echo bytes > dist/app.tar && echo more > dist/notes.txt", name="Pack")
    artifacts.upload("dist/**")
    summary.markdown("# Built\\n\\nFor **" + ctx.params["target"] + "**, see [the notes](https://example.org/notes)\\n\\n| file | bytes |\\n|---|---|\\n| app.tar | 6 |\\n\\n~~~\\nsha256sum dist/*\\n~~~\\n\\n- <script>alert(1)</script>")
    verdict = "fail" if ctx.params["fail"] else "pass"
    ended = step.run(["sh", "tests.sh", verdict], name="Run tests", check=False)
    reports.junit("junit.xml")
    if ended.exit_code:
        step.run("cat tests.log; exit 1", name="Tests")
    step.run(["echo", "<b>deployed</b> to " + ctx.params["target"]], name="Deploy")
`;
const TESTS = `case=""
[ "$1" = fail ] && case='<failure message="expected 2026-03-29T03:00+02:00">at date.test.ts:41\\n&lt;script&gt;</failure>'
cat > junit.xml <<END
<testsuite name="dates"><testcase classname="picker" name="keeps the zone">$case</testcase>
<testcase classname="picker" name="rounds midnight"/><testcase classname="picker" name="leaps"><skipped/></testcase></testsuite>
END
cat > tests.log <<END
$(printf '\\033[31mFAIL\\033[0m') src/date.test.ts
  ● picker › keeps the zone

    Expected: 2026-03-29T03:00+02:00
    Received: 2026-03-29T02:00+01:00

      at src/date.test.ts:41
Tests: 1 failed, 1 skipped, 1 passed, 3 total
END
[ "$1" = pass ]
`;

/** A project, a master and a browser that has come in. */
export async function world({ jobs = 1 } = {}) {
  const dir = mkdtempSync(path.join(tmpdir(), "danube-ui-"));
  const project = path.join(dir, "date-picker"), data = path.join(dir, "data");
  mkdirSync(project);
  const write = (name, text) => writeFileSync(path.join(project, name), text);
  const git = (...args) => execFileSync("git", ["-C", project, "-c", "user.name=Ada", "-c", "user.email=ada@example.org", ...args]);
  write("danubefile.py", DANUBEFILE);
  write("tests.sh", TESTS);
  git("init", "-q", "-b", "main");
  git("add", ".");
  git("commit", "-qm", "Use the new date picker");
  let process_, link, url, token;
  const begin = async (user) => {
    process_ = spawn(process.env.DANUBE_BINARY, ["dev", project, "--data-dir", data, "--port", "0", "--no-run", "--jobs", String(jobs)], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, USER: user },
    });
    link = await printed(process_, /open (http:\S+)/);
    ({ url, token } = JSON.parse(readFileSync(path.join(data, "dev.json"), "utf8")));
  };
  const end = async (signal) => {
    process_.kill(signal);
    await new Promise((resolve) => (process_.exitCode === null && process_.signalCode === null ? process_.once("exit", resolve) : resolve()));
  };
  await begin("ada");
  const api = async (method, where, body) => {
    const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
    const answer = await fetch(url + where, { method, headers, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${where}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  const start = (params = {}, ref = null) => api("POST", "/api/v1/pipelines/date-picker/jobs", { ref, params });
  const ended = async (id) => {
    for (;;) {
      const job = await api("GET", `/api/v1/jobs/${id}`);
      if (job.finished_ms) return job;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  const running = async (id, name = "Build") => {
    for (;;) {
      const job = await api("GET", `/api/v1/jobs/${id}`);
      if (job.steps.some((step) => step.name === name)) return job;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  const commit = (message) => {
    write("notes.txt", message);
    git("add", ".");
    git("commit", "-qm", message);
  };
  /** Another person's master takes over: what runs goes on, and whoever has come in stays in. */
  const handOver = async (user) => {
    await end("SIGKILL");
    rmSync(path.join(data, "dev.json"), { force: true });
    await begin(user);
  };
  const close = async () => {
    await end("SIGINT");
    rmSync(dir, { recursive: true, force: true });
  };
  return { get url() { return url; }, get link() { return link; }, handOver, api, start, ended, running, commit, git, write, close };
}

/** The text that a program prints, once it fits. */
export function printed(program, wanted) {
  return new Promise((resolve, reject) => {
    let text = "";
    const read = (bytes) => {
      text += bytes;
      const found = wanted.exec(text);
      if (found) resolve(found[1]);
    };
    program.stdout.on("data", read);
    program.stderr.on("data", read);
    program.once("exit", (code) => reject(new Error(`danube dev ended with ${code}:\n${text}`)));
  });
}

/** Five runs: passed, failed, failed again on another commit, one that goes on, and one that waits. */
export async function history(house) {
  const passed = await house.start();
  await house.ended(passed.id);
  house.commit("Round midnight <b>up</b>");
  for (const params of [{ fail: "true" }, { fail: "true", target: "production" }]) {
    const job = await house.start(params);
    await house.ended(job.id);
  }
  const running = await house.start({ seconds: "600" });
  await house.running(running.id);
  await house.start({}, "main");
}

/** The system's Chromium. */
export function browser() {
  return chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
}

/** A context that has come in, and notes every request that leaves the origin and every complaint of the browser. */
export async function visitor(chrome, house, options = {}, state = undefined) {
  const context = await chrome.newContext({ ...options, storageState: state });
  context.complaints = [];
  context.on("request", (request) => {
    if (!request.url().startsWith(house.url)) context.complaints.push(`left the origin: ${request.url()}`);
  });
  context.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) context.complaints.push(message.text());
  });
  context.on("weberror", (error) => context.complaints.push(String(error.error())));
  return context;
}
