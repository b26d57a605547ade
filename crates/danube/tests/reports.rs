//! Reports of tests and summaries: what test runners write is read whatever its dialect, nothing hostile gets through,
//! and people see what failed first.

mod support;

use std::process::Command;

use serde_json::{Value, json};
use support::{Project, Ran};

/// Reports as different test runners write them, by name.
const DIALECTS: [(&str, &str); 7] = [
    ("pytest", include_str!("reports/pytest.xml")),
    ("surefire", include_str!("reports/surefire.xml")),
    ("go", include_str!("reports/go.xml")),
    ("jest", include_str!("reports/jest.xml")),
    ("nextest", include_str!("reports/nextest.xml")),
    ("googletest", include_str!("reports/googletest.xml")),
    ("phpunit", include_str!("reports/phpunit.xml")),
];

const SECRET: &str = "correct-horse-battery";

/// The events of one type.
fn told(ran: &Ran, kind: &str) -> Vec<Value> {
    ran.events().into_iter().filter(|event| event["type"] == kind).collect()
}

/// What a query finds in the last run's database.
fn rows(project: &Project, query: &str) -> Vec<Value> {
    let program = "import json, sqlite3, sys; db = sqlite3.connect(sys.argv[1])
print(json.dumps([list(row) for row in db.execute(sys.argv[2])]))";
    let run = project.runs().pop().expect("a run");
    let output = Command::new("python3").args(["-c", program]).arg(run.join("danube.db")).arg(query).output();
    let output = output.expect("Python starts");
    assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn with_secret(project: &Project, arguments: &[&str]) -> Ran {
    let mut command = project.command(&[&["--secret", "TOKEN"], arguments].concat());
    Ran::of(command.env("TOKEN", SECRET).output().expect("danube starts"))
}

#[test]
fn every_dialect_is_read() {
    let project = Project::pipeline(
        "step.run('true')
for name in ('pytest', 'surefire', 'go', 'jest', 'nextest', 'googletest', 'phpunit'):
    reports.junit(f'{name}.xml', name=name)",
    );
    DIALECTS.iter().for_each(|(name, xml)| project.write(&format!("{name}.xml"), xml));
    let ran = project.run(&["--json"]).expect(0);
    let counts: Vec<Value> = told(&ran, "tests")
        .iter()
        .map(|event| {
            let kinds = ["passed", "failed", "errors", "skipped", "flaky"].map(|kind| event[kind].as_u64());
            assert_eq!(event["tests"].as_u64(), kinds.into_iter().sum());
            json!([event["report"], kinds, event["duration_ms"]])
        })
        .collect();
    assert_eq!(
        json!(counts),
        json!([
            ["pytest", [2, 1, 1, 2, 0], 466],
            ["surefire", [1, 1, 1, 1, 1], 1_203_750],
            ["go", [2, 1, 1, 1, 0], 310],
            ["jest", [2, 1, 0, 1, 0], 27],
            ["nextest", [2, 1, 0, 0, 1], 920],
            ["googletest", [2, 1, 0, 2, 0], 11],
            ["phpunit", [2, 1, 0, 0, 0], 7],
        ])
    );
    assert_eq!(
        json!(rows(&project, "SELECT suite, class, name, status, duration_ms, message FROM test_cases WHERE rank < 2")),
        json!([
            [
                "pytest",
                "tests.test_ranges.TestCaret",
                "test_major",
                "failed",
                12,
                "AssertionError: assert '2.0' in <Range ^1>\n +  where '2.0' = str(<Version 2.0>)"
            ],
            ["pytest", "tests.test_store", "test_reads", "error", 200, "failed on setup with \"OSError: no database\""],
            [
                "org.example.tide.HarborTest",
                "org.example.tide.HarborTest",
                "counts(int)[1]",
                "failed",
                250,
                "expected: <3> but was: <2>"
            ],
            [
                "org.example.tide.HarborTest",
                "org.example.tide.HarborTest",
                "dredges",
                "error",
                2000,
                "Cannot invoke \"Ship.load()\""
            ],
            ["org.example.tide.HarborTest", "org.example.tide.HarborTest", "docks", "flaky", 1000, "timed out"],
            ["example.com/tide/gauge", "example.com/tide/gauge", "TestRead/negative", "failed", 300, "Failed"],
            ["example.com/tide/broken", "example.com/tide/broken", "[build failed]", "error", 0, "Build error"],
            [
                "Buoy",
                "Buoy blinks at night",
                "Buoy blinks at night",
                "failed",
                21,
                "Error: expect(received).toBe(expected) // Object.is equality"
            ],
            [
                "tide-core",
                "tide-core",
                "level::tests::falls",
                "failed",
                750,
                "thread 'level::tests::falls' panicked at src/level.rs:40:9"
            ],
            ["tide-core", "tide-core", "level::tests::stays", "flaky", 100, "the sea was rough"],
            [
                "AnchorTest",
                "AnchorTest",
                "Drags",
                "failed",
                10,
                "anchor_test.cc:10\nExpected equality of these values:\n  1\n  2"
            ],
            [
                "/workspace/phpunit.xml › unit › Tide\\Tests\\ChartTest › Tide\\Tests\\ChartTest::testScales",
                "Tide.Tests.ChartTest",
                "testScales with data set \"large\"",
                "failed",
                2,
                "PHPUnit\\Framework\\ExpectationFailedException"
            ],
        ])
    );
    let details = rows(&project, "SELECT name, details FROM test_cases WHERE details IS NOT NULL AND rank = 0");
    for (name, parts) in [
        ("test_major", &["E       AssertionError", "\n\n--- output ---\n---", "comparing #x1B[31m2.0"][..]),
        (
            "counts(int)[1]",
            &["<3> but was: <2>\n\tat org", "AssertionFailedError: again", "second try\n", "counting ]]> ships"],
        ),
        ("TestRead/negative", &["    gauge_test.go:22: level = -1, want 0\n"]),
        ("level::tests::falls", &["left: 1\n right: 2", "... FAILED", "thread panicked"]),
        ("Drags", &["  1\n  2", "\n\nanchor_test.cc:11\nFailed"]),
    ] {
        let row = details.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("{name}: {details:?}"));
        let text = row[1].as_str().expect("details");
        parts.iter().for_each(|part| assert!(text.contains(part), "{name}: {part:?} is not in {text:?}"));
    }
}

#[test]
fn the_view_has_failures_first_then_numbers_then_the_summary() {
    let project = Project::pipeline(
        "try:
    step.run('exit 1', name='tests')
finally:
    reports.junit('many', name='unit')
    reports.junit('go.xml')
    summary.markdown('# Tides')
    summary.markdown('\\n'.join(f'line {n}' for n in range(60)) + '\\x1b[2J\\x1b]0;title\\x07')",
    );
    let case = |n: usize| {
        format!("<testcase classname='Tide\x1b[2J' name='t{n:02}'><failure message='\n  low {n}\n more'/></testcase>")
    };
    let cases: String = (0..12).map(case).collect();
    project.write("many/a.xml", format!("<testsuite>{cases}<testcase name='ok'/></testsuite>"));
    project.write("many/b.txt", "no report");
    project.write("go.xml", DIALECTS[2].1);
    let ran = project.run(&[]).expect(1).says("Tests\n  ✘ Tide\u{fffd}[2J › t00: low 0\n  ✘ Tide");
    let ran = ran.says("› t09: low 9\n  and 4 more that failed\n  unit: 13 tests, 12 failed  0.0 s\n");
    let ran = ran.says("  go.xml: 5 tests, 2 failed, 1 skipped  0.3 s\nSummary\n  │ # Tides\n  │ line 0\n");
    let ran = ran.says("  │ line 38\n  and 21 lines more: danube run --json has all\n").never_says("line 39");
    ran.never_says("t10").never_says("\x1b[2J").never_says("title");
}

#[test]
fn what_is_not_there_is_an_error_unless_it_may_be_missing() {
    let project = Project::pipeline(
        "step.run('true')
print(reports.junit('*.none', if_missing='ignore'), reports.junit('*.none', if_missing='warn').ok)
try:
    reports.junit('*.none')
except ReportNotFound as error:
    print('none:', error)",
    );
    let ran = project.run(&["--json"]).expect(0);
    assert_eq!(told(&ran, "tests"), Vec::<Value>::new());
    let ran = ran.says("<report: 0 tests> True").says("warning: no file of the workspace matches '*.none'");
    ran.says("none: no file of the workspace matches '*.none'");
}

/// Makes files that are no reports, and asks for them; the SDK's own checks are left out.
const HOSTILE: &str = r#"import os
from danube import _mailbox
def file(name, content):
    with open(ctx.workspace / name, 'wb') as out:
        out.write(content)
file('laughs.xml', b'<?xml version="1.0"?>\n<!DOCTYPE l [\n' + b''.join(b'<!ENTITY l%d "%s">\n' % (n, b'&l%d;' % (n - 1) * 10) for n in range(1, 10)) + b']><testsuites>&l9;</testsuites>')
file('outside.xml', b'<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuite>&x;</testsuite>')
file('deep.xml', b'<testsuite>' * 5_000_000)
file('utf16.xml', '<testsuite/>'.encode('utf-16'))
file('latin.xml', b'<?xml version="1.0" encoding="latin1"?><testsuite/>')
file('cut.xml', b'<testsuite>\n<testcase name="a"/>\n<testcase')
file('half.xml', b'<testsuite>' + b'<testcase name="a"/>' * 1000 + b'</testsuites>')
file('json.xml', b'{"tests": 1}')
file('empty.xml', b'')
file('html.xml', b'<!-- -->\n<html></html>')
file('good.xml', b'<testsuite><testcase name="a"/></testsuite>')
os.mkdir(ctx.workspace / 'folder.xml')
os.mkfifo(ctx.workspace / 'pipe.xml')
os.symlink('/etc/passwd', ctx.workspace / 'link.xml')
os.truncate(os.open(ctx.workspace / 'large.xml', os.O_CREAT | os.O_WRONLY), (64 << 20) + 1)
os.truncate(os.open(ctx.workspace / 'huge.xml', os.O_CREAT | os.O_WRONLY), 1 << 40)
def tried(*paths, name='n'):
    try:
        print(paths[0], 'READ', _mailbox.call('reports.junit', {'paths': list(paths), 'name': name}, os.urandom(16).hex()))
    except DanubeError as error:
        print(paths[0], type(error).__name__, error)
step.run('true')
for path in ('laughs', 'outside', 'deep', 'utf16', 'latin', 'cut', 'half', 'json', 'empty', 'html', 'folder', 'pipe', 'link', 'large', 'huge', 'none'):
    tried(f'{path}.xml')
tried('half.xml', 'good.xml')
tried('good.xml', 'cut.xml')
for path in ('../etc/passwd', '/etc/passwd', 'a/../../b', ''):
    tried(path)
tried(*['good.xml'] * 1001)
tried('good.xml', name='a\nb')
tried('good.xml', name='')
file('odd.xml', b'<testsuite name="\xff\0"><testcase name="a&#0;b\x1b[2J"><failure>\0\xfe</failure></testcase></testsuite>')
tried('odd.xml')"#;

#[test]
fn what_is_hostile_or_broken_is_refused_in_words_and_leaves_nothing() {
    let project = Project::pipeline(HOSTILE);
    let ran = project.run(&["--json"]).expect(0).never_says("root:x:0");
    let said: Vec<String> = ran.lines(0, None);
    let wanted = [
        "laughs.xml ReportInvalid `laughs.xml` is no report of tests: line 2: it has a DTD",
        "outside.xml ReportInvalid `outside.xml` is no report of tests: line 1: it has a DTD",
        "deep.xml ReportInvalid `deep.xml` is no report of tests: line 1: more than 100 elements within each other",
        "utf16.xml ReportInvalid `utf16.xml` is no report of tests: line 1: it is in UTF-16",
        "latin.xml ReportInvalid `latin.xml` is no report of tests: line 1: it is in \"latin1\"",
        "cut.xml ReportInvalid `cut.xml` is no report of tests: line 3: the file ends in the middle of a tag",
        "half.xml ReportInvalid `half.xml` is no report of tests: line 1: </testsuites> where </testsuite> should be",
        "json.xml ReportInvalid `json.xml` is no report of tests: line 1: there is text outside",
        "empty.xml ReportInvalid `empty.xml` is no report of tests: line 1: the file is empty",
        "html.xml ReportInvalid `html.xml` is no report of tests: line 2: <html> is no report of tests",
        "folder.xml UsageError `folder.xml`: ",
        "pipe.xml UsageError `pipe.xml`: ",
        "link.xml UsageError `link.xml`: ",
        "large.xml UsageError `large.xml` is larger than 64 MiB",
        "huge.xml UsageError `huge.xml` is larger than 64 MiB",
        "none.xml ReportNotFound there is no file `none.xml` in the workspace",
        "half.xml ReportInvalid `half.xml`",
        "good.xml ReportInvalid `cut.xml`",
        "../etc/passwd UsageError \"../etc/passwd\" is not a file below /workspace",
        "/etc/passwd UsageError",
        "a/../../b UsageError",
        " UsageError",
        "good.xml UsageError a report has 1 to 1000 files, and these are 1001",
        "good.xml UsageError a report's name is",
        "good.xml UsageError a report's name is",
        "odd.xml READ {'tests': 1, 'passed': 0, 'failed': 1,",
    ];
    for (line, beginning) in said.iter().zip(wanted) {
        assert!(line.starts_with(beginning), "{line:?} is not {beginning:?}");
    }
    assert_eq!(said.len(), wanted.len(), "{said:#?}");
    assert_eq!(rows(&project, "SELECT count(*) FROM test_reports"), [json!([1])], "only the one that was read");
    let odd = rows(&project, "SELECT suite, name, message FROM test_cases");
    assert_eq!(odd, [json!(["\u{fffd}\u{fffd}", "a\u{fffd}b\u{fffd}[2J", "\u{fffd}\u{fffd}"])]);
}

#[test]
fn secrets_are_nowhere_in_reports_and_summaries() {
    let project = Project::pipeline(
        "step.run('true')
token = secrets.get('TOKEN')
text = token.replace('-', '&#45;')
xml = '<testsuite name=\"S\"><testcase classname=\"S\" name=\"S\"><failure message=\"S\">S</failure><system-out>PADS</system-out></testcase></testsuite>'
for n in range(65_490, 65_540, 7):
    (ctx.workspace / f'{n}.xml').write_text(xml.replace('PAD', 'x' * n).replace('S', text))
reports.junit('*.xml', name='of ' + token)
summary.markdown('the token is ' + token)
summary.markdown('x' * 300_000 + token)
for call in (lambda: reports.junit(token), lambda: reports.junit('broken')):
    (ctx.workspace / 'broken').write_text('<' + token + '>')
    try:
        call()
    except DanubeError as error:
        print(error)",
    );
    for arguments in [&[][..], &["--json"]] {
        let ran = with_secret(&project, arguments).expect(0).never_says(SECRET).never_says("correct-horse");
        ran.says("of ***").says("the token is ***");
        assert_eq!(rows(&project, "SELECT count(*) FROM test_cases"), [json!([8])]);
        for table in ["test_reports", "test_cases", "summaries"] {
            for row in rows(&project, &format!("SELECT * FROM {table}")) {
                assert!(!row.to_string().contains("correct-h"), "{table}: {row}");
            }
        }
    }
}

#[test]
fn a_job_keeps_so_many_tests_and_says_when_there_are_more() {
    let project = Project::pipeline(
        "step.run('true')
def write(name, count):
    cases = '<testcase classname=\"c\" name=\"n\" time=\"0.001\"/>' * count
    (ctx.workspace / name).write_text(f'<testsuite>{cases}</testsuite>')
write('most.xml', 99_999)
write('two.xml', 2)
write('one.xml', 1)
print(reports.junit('most.xml'))
for path in ('two.xml', 'one.xml', 'one.xml'):
    try:
        print(path, reports.junit(path))
    except UsageError as error:
        print(path, error)",
    );
    let ran = project.run(&["--json"]).expect(0);
    let full = "a job keeps at most 100000 tests: report fewer, or split the pipeline";
    assert_eq!(
        ran.lines(0, None),
        ["<report: 99999 tests>", &format!("two.xml {full}"), "one.xml <report: 1 tests>", &format!("one.xml {full}")]
    );
    assert_eq!(told(&ran, "tests")[0]["duration_ms"], 99_999);
    assert_eq!(rows(&project, "SELECT count(*) FROM test_cases"), [json!([100_000])]);
}

#[test]
fn reports_that_are_read_beside_each_other_are_all_whole() {
    let project = Project::pipeline(
        "step.run('true')
cases = '<testcase name=\"n\"/>' * 1000
for n in range(8):
    (ctx.workspace / f'{n}.xml').write_text(f'<testsuite>{cases}</testsuite>')
step.parallel(*[lambda n=n: reports.junit(f'{n}.xml') for n in range(8)])",
    );
    let ran = project.run(&["--json"]).expect(0);
    assert_eq!(told(&ran, "tests").len(), 8);
    assert_eq!(rows(&project, "SELECT count(*), count(DISTINCT seq) FROM test_cases"), [json!([8000, 1000])]);
    assert_eq!(rows(&project, "SELECT sum(passed), max(number) FROM test_reports"), [json!([8000, 8])]);
}

#[test]
fn a_summary_is_kept_in_order_and_within_its_limit() {
    let project = Project::pipeline(
        "step.run('true')
summary.markdown('first')
summary.markdown('# Größe\\n', append=False)
summary.markdown('ä' * 200_000)
summary.markdown('last')
for text in ('x' * (1 << 20), 'y' * (700 * 1024)):
    try:
        summary.markdown(text)
    except UsageError as error:
        print('refused:', error)",
    );
    let ran = project.run(&["--json"]).expect(0);
    let refused =
        format!("refused: with this text the job's summary would have {} bytes", (1 << 20) + 10 + 400_000 + 4);
    let ran = ran.says(&refused);
    let texts: Vec<Value> = told(&ran, "summary").iter().map(|event| json!([event["text"], event["append"]])).collect();
    let long = "ä".repeat(200_000);
    assert_eq!(
        texts,
        [json!(["first", true]), json!(["# Größe\n", false]), json!([long, true]), json!(["last", true])]
    );
    let kept = rows(&project, "SELECT seq, text FROM summaries ORDER BY seq");
    assert_eq!(kept, [json!([1, ""]), json!([2, "# Größe\n"]), json!([3, long]), json!([4, "last"])]);
}

#[cfg(feature = "failpoints")]
#[test]
fn killed_while_a_report_is_read_every_test_is_there_once() {
    let body = "step.run('true')
for n in (1, 2):
    cases = ''.join(f'<testcase name=\"{n}.{m}\"/>' for m in range(700))
    (ctx.workspace / f'{n}.xml').write_text(f'<testsuite>{cases}</testsuite>')
print(reports.junit('[12].xml', name='both'))
summary.markdown('done')
reports.junit('1.xml')";
    for failpoint in ["report-received", "report-written", "report-kept", "summary-kept"] {
        let project = Project::pipeline(body);
        let mut command = project.command(&["--json"]);
        let killed = Ran::of(command.env("DANUBE_FAILPOINT", failpoint).output().expect("danube starts"));
        assert_eq!(killed.code, -1, "{failpoint} was not passed\n{}\n{}", killed.stdout, killed.stderr);
        let ran = project.run(&["--resume", "--json"]).expect(0).says("<report: 1400 tests>");
        let reports = told(&ran, "tests").into_iter().map(|event| json!([event["report"], event["tests"]]));
        assert_eq!(reports.collect::<Vec<_>>(), [json!(["both", 1400]), json!(["1.xml", 700])], "{failpoint}");
        assert_eq!(told(&ran, "summary").len(), 1, "{failpoint}");
        let names = rows(&project, "SELECT report, count(*), count(DISTINCT name) FROM test_cases GROUP BY report");
        assert_eq!(names, [json!([1, 1400, 1400]), json!([2, 700, 700])], "{failpoint}");
        let shown = rows(&project, "SELECT number, passed, files FROM test_reports WHERE created_ms > 0");
        assert_eq!(shown, [json!([1, 1400, 2]), json!([2, 700, 1])], "{failpoint}");
        assert_eq!(rows(&project, "SELECT text FROM summaries"), [json!(["done"])], "{failpoint}");
    }
}
