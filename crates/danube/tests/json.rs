//! docs/json.md is held to what real runs print: every object and field of theirs is in its tables, and every field of
//! its tables is printed by one of them.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use support::Project;

const PAGE: &str = include_str!("../../../docs/json.md");

/// One line of a table.
struct Field {
    kind: String,
    present: String,
}

/// The tables by the names of their sections.
fn tables() -> BTreeMap<String, BTreeMap<String, Field>> {
    let mut tables: BTreeMap<String, BTreeMap<String, Field>> = BTreeMap::new();
    let mut section = String::new();
    for line in PAGE.lines() {
        if let Some(title) = line.strip_prefix("## `") {
            section = title.trim_end_matches('`').to_owned();
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let [_, name, kind, present, _, _] = cells[..]
            && let Some(name) = name.strip_prefix('`')
        {
            let field = Field { kind: kind.to_owned(), present: present.to_owned() };
            tables.entry(section.clone()).or_default().insert(name.trim_end_matches('`').to_owned(), field);
        }
    }
    tables
}

/// Checks objects against the page and notes which of its fields were seen.
struct Checker {
    tables: BTreeMap<String, BTreeMap<String, Field>>,
    seen: BTreeSet<(String, String)>,
}

impl Checker {
    fn object(&mut self, table: &str, object: &Value) {
        let fields = object.as_object().unwrap_or_else(|| panic!("{table}: {object}"));
        let known =
            self.tables.remove(table).unwrap_or_else(|| panic!("docs/json.md has no section `{table}`: {object}"));
        for (name, value) in fields {
            let field = known.get(name).unwrap_or_else(|| panic!("docs/json.md: `{table}` has no `{name}`: {object}"));
            self.value(&field.kind, value, object);
            self.seen.insert((table.to_owned(), name.clone()));
        }
        for (name, field) in &known {
            let due = match field.present.as_str() {
                "always" => true,
                "sometimes" => fields.contains_key(name),
                state => object["state"].as_str().map_or(fields.contains_key("cause"), |is| is == state),
            };
            assert_eq!(fields.contains_key(name), due, "`{name}` of `{table}` ({}): {object}", field.present);
        }
        self.tables.insert(table.to_owned(), known);
    }

    fn value(&mut self, kind: &str, value: &Value, object: &Value) {
        let fits = match kind {
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "boolean" => value.is_boolean(),
            "integer or null" => value.is_u64() || value.is_null(),
            "list of strings" => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
            "list of `job step`" => {
                value.as_array().expect("a list").iter().for_each(|step| self.object("job step", step));
                true
            }
            "list of `test`" => {
                value.as_array().expect("a list").iter().for_each(|test| self.object("test", test));
                true
            }
            "object `reason`" => {
                self.object("reason", value);
                true
            }
            // Texts: one of those that are listed.
            listed => listed.starts_with("`\"") && listed.contains(&format!("`{value}`")),
        };
        assert!(fits, "{value} is no {kind}: {object}");
    }

    fn run(&mut self, project: &Project, arguments: &[&str]) {
        let ran = project.run(&[&["--json"], arguments].concat());
        let events = ran.events();
        for event in &events {
            self.object(event["type"].as_str().expect("a type"), event);
        }
        let jobs = events.iter().filter(|event| event["type"] == "job").count();
        assert!(jobs == 1 && ran.job()["type"] == "job", "the job is told once, last\n{}\n{}", ran.stdout, ran.stderr);
        assert_order(&events);
    }
}

/// A step's lines stand between its two events, and are numbered.
fn assert_order(events: &[Value]) {
    let mut open: BTreeMap<u64, u64> = [(0, 0)].into();
    for event in events {
        let step = event["step"].as_u64().unwrap_or_default();
        match (event["type"].as_str(), event["state"].as_str()) {
            (Some("step"), Some("started")) => assert_eq!(open.insert(step, 0), None, "{event}"),
            (Some("step"), _) => assert!(open.remove(&step).is_some(), "{event}"),
            (Some("log"), _) => {
                let next = open.get_mut(&step).unwrap_or_else(|| panic!("outside of its step: {event}"));
                assert_eq!(event["line"].as_u64(), Some(*next), "{event}");
                *next += 1;
            }
            _ => {}
        }
    }
}

/// A report with what a test's object may have, and a summary.
const TESTED: &str = "step.run('true')
failed = '<testcase classname=\"c\" name=\"n\" time=\"1\"><failure message=\"m\"/></testcase>'
(ctx.workspace / 'r.xml').write_text(f'<testsuite name=\"s\">{failed}<testcase name=\"e\"><error/></testcase></testsuite>')
reports.junit('r.xml')
summary.markdown('# Done')";

#[test]
fn every_line_is_as_the_page_says() {
    let mut checker = Checker { tables: tables(), seen: BTreeSet::new() };
    let varied = Project::pipeline(
        "print('own output')
step.run('echo out; echo err >&2; kill -9 $$', stderr='separate', check=False)
step.run('test $(echo x >> n; wc -l < n) = 2', retries=3)
step.run(['no-such-program'], check=False)
with step.group('group'):
    step.run('getent hosts refused.example || true')
step.run('head -c 3000000 /dev/zero | tr \"\\\\0\" x')
step.run('sleep 1000', timeout=0.2)",
    );
    checker.run(&varied, &["--egress", "deny"]);
    checker.run(&Project::pipeline("step.run('echo x > x')\nartifacts.upload('x')"), &["--keep"]);
    checker.run(&Project::pipeline(TESTED), &[]);
    checker.run(&Project::pipeline("pass"), &[]);
    checker.run(&Project::pipeline("step.run('true', image='tar:missing.tar')"), &[]);
    let all =
        checker.tables.iter().flat_map(|(table, fields)| fields.keys().map(|field| (table.clone(), field.clone())));
    let unseen: Vec<_> = all.filter(|field| !checker.seen.contains(field)).collect();
    assert_eq!(unseen, [], "the page names what nobody prints");
}

#[test]
fn without_a_job_there_is_no_line() {
    let ran = Project::new("this is no python").run(&["--json"]).expect(2);
    assert_eq!(ran.stdout, "");
    let ran = Project::pipeline("step.run('true')").run(&["--json", "--param", "x=1"]).expect(2);
    assert_eq!(ran.stdout, "");
}

#[test]
fn nothing_but_json_is_on_stdout() {
    let project = Project::pipeline(
        "print('{\"type\":\"job\"}')\nstep.run('printf \"\\\\033[31mred\\\\033[0m\\\\n{\\\\\"type\\\\\":1}\\\\n\"')",
    );
    let ran = project.run(&["--json"]).expect(0);
    assert_eq!(ran.lines(1, None), ["\u{1b}[31mred\u{1b}[0m", "{\"type\":1}"]);
    assert_eq!(ran.events().iter().filter(|event| event["type"] == "job").count(), 1);
}
