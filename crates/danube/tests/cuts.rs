//! The streams between the engine and its containers are cut fifty times at random: the job is as if nothing had been.
#![cfg(feature = "failpoints")]

mod support;

use std::collections::BTreeMap;

use support::{Project, Ran, seed};

/// Streams that die in the disturbed run.
const CUTS: usize = 50;

/// Several steps, some beside each other, captures, much output, a script that goes by file; each leaves a mark.
const BODY: &str = r#"step.run('echo one >> marks; echo first', name='one')
value = step.run('echo two >> marks; echo captured', name='captured', capture=True).stdout
assert value == 'captured\n', repr(value)
step.parallel(
    step.call('echo three >> marks; yes "$(printf %04000d 7)" | head -c 100000000', name='much'),
    step.call('echo four >> marks; seq 1 100000', name='numbers'),
    step.call('echo five >> marks; seq 1 20 | while read n; do echo "slow $n"; sleep 0.02; done', name='slow'),
    lambda: [step.run(f'echo six-{n} >> marks; echo {n}', name=f'small {n}', capture=True) for n in range(10)],
)
step.run('echo seven >> marks\n' + '# a long script\n' * 330000 + 'echo long', name='script')
step.run('yes 1234567 | head -c 20000001 > large', name='large')
artifacts.upload('large')
artifacts.download('large', 'back')
step.run('cmp large back && echo same', name='same')
step.run('sort marks', name='marks')
step.run('echo end; exit 7', name='fails', check=False)
"#;

/// Exit code, size and hash of each step by its name, and what the marks say.
fn facts(ran: &Ran) -> BTreeMap<String, String> {
    let job = ran.job();
    let steps = job["steps"].as_array().expect("steps");
    let fact = |step: &serde_json::Value| {
        let name = step["name"].as_str().expect("a name").to_owned();
        (name, format!("{} {} {}", step["exit_code"], step["bytes"], step["sha256"]))
    };
    steps.iter().map(fact).collect()
}

#[test]
fn fifty_cuts_change_nothing() {
    let undisturbed = Project::pipeline(BODY);
    let wanted = undisturbed.run(&["--json"]).expect(0);
    let cut = Project::pipeline(BODY);
    let mut command = cut.command(&["--json"]);
    command.env("DANUBE_CUT_SEED", seed().to_string()).env("DANUBE_CUT_COUNT", CUTS.to_string());
    let ran = Ran::of(command.output().expect("danube starts")).expect(0);
    assert_eq!(facts(&ran), facts(&wanted));
    assert_eq!(facts(&ran).len(), 20, "{:?}", facts(&ran));
    let cuts = ran.stderr.lines().filter(|line| line.starts_with("cut: ")).count();
    assert_eq!(cuts, CUTS, "{}", ran.stderr);
}
