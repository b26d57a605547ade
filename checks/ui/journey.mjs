// The first day of somebody who has just got the binary, as they live it: by the terminal and a phone.
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { browser, printed, visitor } from "./world.mjs";

const place = mkdtempSync(path.join(tmpdir(), "danube-journey-"));
const home = path.join(place, "home"), bin = path.join(home, ".local/bin");
/** What a new account has: nothing of the one that runs this but the languages themselves. */
const env = {
  HOME: home, USER: "newcomer", LANG: "C.UTF-8", TERM: "xterm",
  PATH: [bin, path.join(home, ".cargo/bin"), "/usr/local/bin", "/usr/bin", "/bin"].join(":"),
  GIT_CONFIG_COUNT: "2", GIT_CONFIG_KEY_0: "user.name", GIT_CONFIG_VALUE_0: "Ada", GIT_CONFIG_KEY_1: "user.email", GIT_CONFIG_VALUE_1: "ada@example.org",
};
/** Small projects as their languages make them: the files, and how a test of theirs is broken. */
const PROJECTS = {
  rust: {
    needs: "cargo",
    files: {
      "Cargo.toml": '[package]\nname = "leap"\nversion = "0.1.0"\nedition = "2021"\n',
      "src/lib.rs": "pub fn is_leap(year: u32) -> bool {\n    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn centuries() {\n        assert_eq!(super::is_leap(1900), false, \"1900 was none\");\n    }\n}\n",
    },
    breaks: ["src/lib.rs", "year % 100 != 0 || ", "true || "],
    says: /1900 was none/,
  },
  python: {
    needs: "python3",
    files: {
      "pyproject.toml": '[project]\nname = "leap"\nversion = "0.1.0"\n',
      "leap.py": "def is_leap(year: int) -> bool:\n    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)\n",
      "tests/__init__.py": "",
      "tests/test_leap.py": 'import unittest\n\nfrom leap import is_leap\n\n\nclass Leap(unittest.TestCase):\n    def test_centuries(self) -> None:\n        self.assertFalse(is_leap(1900), "1900 was none")\n',
    },
    breaks: ["leap.py", "year % 100 != 0 or ", "True or "],
    says: /1900 was none/,
  },
  node: {
    needs: "node",
    files: {
      "package.json": '{ "name": "leap", "version": "0.1.0", "type": "module", "scripts": { "test": "node --test" } }\n',
      "leap.js": "export const isLeap = (year) => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);\n",
      "leap.test.js": 'import assert from "node:assert";\nimport { test } from "node:test";\nimport { isLeap } from "./leap.js";\n\ntest("centuries", () => assert.equal(isLeap(1900), false, "1900 was none"));\n',
    },
    breaks: ["leap.js", "year % 100 !== 0 || ", "true || "],
    says: /1900 was none/,
  },
};
const LONG = `from danube import pipeline, step


@pipeline(name="long")
def long():
    step.run("for n in $(seq 1 200); do echo line $n; sleep 0.02; done", name="Count")
`;

before(() => {
  mkdirSync(bin, { recursive: true });
  mkdirSync(path.join(home, ".cargo"));
  // The Rust that they have in their home.
  for (const folder of [".rustup", ".cargo/bin"]) {
    const own = path.join(process.env.HOME ?? "/root", folder);
    if (existsSync(own)) symlinkSync(own, path.join(home, folder));
  }
  copyFileSync(process.env.DANUBE_BINARY ?? "", path.join(bin, "danube"));
});
after(() => rmSync(place, { recursive: true, force: true }));

/** What a command says and how it ends. @param {string} folder @param {string[]} words */
function danube(folder, ...words) {
  const done = spawnSync("danube", words, { cwd: folder, env, encoding: "utf8", input: "", timeout: 120000 });
  if (done.error) throw done.error;
  return { code: done.status, said: done.stdout + done.stderr };
}

/** @param {string} name @param {Record<string, string>} files */
function project(name, files) {
  const folder = path.join(home, name);
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    writeFileSync(path.join(folder, file), text);
  }
  execFileSync("git", ["init", "-q", "-b", "main"], { cwd: folder, env });
  execFileSync("git", ["add", "."], { cwd: folder, env });
  execFileSync("git", ["commit", "-qm", "A start"], { cwd: folder, env });
  return folder;
}

/** @param {string} folder @param {string} file @param {string} from @param {string} to */
function edit(folder, file, from, to) {
  const at = path.join(folder, file), text = readFileSync(at, "utf8");
  assert.ok(text.includes(from), `${file} has ${from}`);
  writeFileSync(at, text.replace(from, to));
}

for (const [name, { needs, files, breaks, says }] of Object.entries(PROJECTS)) {
  test(`${name}: init, run, a broken test, its words, and mended`, (t) => {
    if (spawnSync(needs, ["--version"], { env }).status !== 0) return t.skip(`no ${needs} here`);
    const folder = project(name, files), [file, right, wrong] = breaks;
    const made = danube(folder, "init");
    assert.equal(made.code, 0, made.said);
    const first = danube(folder, "run");
    assert.equal(first.code, 0, `what init writes passes: ${first.said}`);
    edit(folder, file, right, wrong);
    const broken = danube(folder, "run");
    assert.equal(broken.code, 1, broken.said);
    assert.match(broken.said, says, "the last lines say what is wrong");
    edit(folder, file, wrong, right);
    const mended = danube(folder, "run");
    assert.equal(mended.code, 0, mended.said);
  });
}

/** `danube dev` as a terminal would have it. @param {string} folder @param {string[]} more */
async function dev(folder, ...more) {
  const data = path.join(home, "data");
  const running = spawn("danube", ["dev", "--data-dir", data, "--port", "0", ...more], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  const link = await printed(running, /open (http:\S+)/);
  const { url, token } = JSON.parse(readFileSync(path.join(data, "dev.json"), "utf8"));
  const get = async (/** @type {string} */ where) => (await fetch(url + where, { headers: { Authorization: `Bearer ${token}` } })).text();
  const end = async (/** @type {NodeJS.Signals} */ signal) => {
    running.kill(signal);
    if (running.exitCode === null && running.signalCode === null) await new Promise((resolve) => running.once("exit", resolve));
  };
  return { link, url, get, end };
}

/** Asks until the answer fits; node's test has a limit of its own. @template T @param {() => Promise<T>} ask @param {(answer: T) => boolean} fits */
async function until(ask, fits) {
  for (;;) {
    const answer = await ask();
    if (fits(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test("danube dev: on a phone the first screen says what failed and why", { timeout: 120000 }, async () => {
  const folder = path.join(home, "python"), { breaks: [file, right, wrong] } = PROJECTS.python;
  edit(folder, file, right, wrong);
  const master = await dev(folder), chrome = await browser();
  try {
    const jobs = await until(async () => JSON.parse(await master.get("/api/v1/jobs")).jobs, ([job]) => job?.finished_ms);
    const phone = await visitor(chrome, master, { viewport: { width: 320, height: 640 }, hasTouch: true, colorScheme: "dark" });
    const page = await phone.newPage();
    await page.goto(master.link);
    await page.getByText("failed · script").first().waitFor();
    await page.goto(`${master.url}/jobs/${jobs[0].id}`);
    await page.screenshot({ path: path.join(process.env.DANUBE_UI_PICTURES ?? place, "journey-phone.png") });
    // At the bottom edge there is what can be done about it.
    const edge = (await page.locator(".title .actions").boundingBox())?.y ?? 0;
    for (const words of [/exited with 1/, /1900 was none/]) {
      const box = await page.getByText(words).first().boundingBox();
      assert.ok(box && box.y + box.height <= edge, `${words} at ${JSON.stringify(box)}, the edge at ${edge}`);
    }
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    assert.deepEqual(phone.complaints, []);
  } finally {
    await chrome.close();
    await master.end("SIGINT");
    edit(folder, file, wrong, right);
  }
});

test("a kill in the middle of a step costs no line of its log", { timeout: 120000 }, async () => {
  const folder = project("long", { "danubefile.py": LONG });
  const first = await dev(folder);
  const [{ id }] = await until(async () => JSON.parse(await first.get("/api/v1/jobs")).jobs.filter((/** @type {any} */ job) => job.pipeline === "long"), (jobs) => jobs.length > 0);
  const before = await until(() => first.get(`/api/v1/jobs/${id}/log.txt`), (text) => text.includes("line 50\n"));
  assert.ok(!before.includes("line 200\n"), "it is in the middle");
  await first.end("SIGKILL");
  const second = await dev(folder, "--no-run");
  try {
    const job = await until(async () => JSON.parse(await second.get(`/api/v1/jobs/${id}`)), (found) => found.finished_ms);
    assert.equal(job.status, "success", JSON.stringify(job));
    const raw = await second.get(`/api/v1/jobs/${id}/steps/1/raw`);
    assert.equal(raw, Array.from({ length: 200 }, (_, n) => `line ${n + 1}\n`).join(""));
  } finally {
    await second.end("SIGINT");
  }
});
