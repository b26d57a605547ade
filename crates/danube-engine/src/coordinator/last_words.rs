//! How a service ended, with what it said last.

use danube_core::runtime::Runtime;
use danube_proto::v1::{End, EndCause};

use super::step::signal_name;
use crate::job::shared::Shared;

/// Lines that are told again with the reason.
const LINES: usize = 50;
/// Characters of each at most.
const LINE: usize = 400;

/// These words, and under them the last lines of the service's log, which is masked.
pub fn of<R: Runtime>(shared: &Shared<R>, number: u32, words: &str) -> String {
    let reader = shared.services.logs.tail(&shared.plan.group.attempt, number).reader();
    let lines = reader.and_then(|reader| reader.last_lines(LINES)).unwrap_or_default();
    with(words, lines.iter().map(|line| String::from_utf8_lossy(&line.text)))
}

fn with<T: AsRef<str>>(words: &str, lines: impl Iterator<Item = T>) -> String {
    let shown = lines.map(|line| {
        let line = line.as_ref().trim_end();
        format!("\n  {}", line.chars().take(LINE).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>())
    });
    let shown: String = shown.collect();
    if shown.is_empty() { format!("{words}; it wrote nothing") } else { format!("{words}; its last lines:{shown}") }
}

/// How its process ended, after its name.
pub fn how(end: &End) -> String {
    let how = match end.cause() {
        EndCause::NotStarted => return format!("could not be started: {}", end.message),
        EndCause::Exited if end.oom => "ran out of memory (set memory=, or let it use less)".to_owned(),
        EndCause::Exited if end.signal != 0 => format!("was ended by signal {}", signal_name(end.signal)),
        EndCause::Exited => format!("ended with exit code {}", end.exit_code),
        EndCause::Orphaned => "was stopped: no engine asked for it for too long".to_owned(),
        EndCause::Evicted => "was stopped: the machine needed its place".to_owned(),
        _ => "ended".to_owned(),
    };
    if end.message.is_empty() { how } else { format!("{how}: {}", end.message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_lines_stand_beneath_the_words() {
        assert_eq!(with("it ended", ["a", "b\x1b[1m\r"].iter()), "it ended; its last lines:\n  a\n  b [1m");
        assert_eq!(with("it ended", [""; 0].iter()), "it ended; it wrote nothing");
        assert!(with("it ended", ["x".repeat(1000)].iter()).len() < 500);
    }

    #[test]
    fn an_end_is_told_in_words() {
        let end = |cause: EndCause, exit_code, signal| End { cause: cause.into(), exit_code, signal, ..End::default() };
        assert_eq!(how(&end(EndCause::Exited, 3, 0)), "ended with exit code 3");
        assert_eq!(how(&end(EndCause::Exited, 137, 9)), "was ended by signal 9 (SIGKILL)");
        assert_eq!(
            how(&End { oom: true, ..end(EndCause::Exited, 137, 9) }),
            "ran out of memory (set memory=, or let it use less)"
        );
        let missing = End { message: "initdb: not found".into(), ..end(EndCause::NotStarted, 127, 0) };
        assert_eq!(how(&missing), "could not be started: initdb: not found");
    }
}
