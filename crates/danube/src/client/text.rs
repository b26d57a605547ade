//! The words of tables and pages, and output that a terminal can bear.

use std::io::{self, IsTerminal, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use danube_core::job::headline;

use super::api::Job;
use crate::view::{Paint, Tone, duration, printable};

/// Bytes of an unfinished line that are kept; a longer one is shown in parts.
const LONGEST_PART: usize = 64 * 1024;
/// Figures of a commit.
const COMMIT: usize = 10;

/// Colours on a terminal, unless NO_COLOR is set.
pub fn paint() -> Paint {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    Paint { colors: wanted && io::stdout().is_terminal() }
}

/// This machine's clock.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A status with its mark.
pub fn status(job: &Job) -> (String, Tone) {
    let (mark, tone) = match job.status.as_str() {
        "success" => ("✔", Tone::Good),
        "failure" | "timeout" => ("✘", Tone::Bad),
        "cancelled" => ("■", Tone::Note),
        "running" | "scheduling" => ("▶", Tone::Bold),
        _ => ("·", Tone::Dim),
    };
    let asked = if job.cancel_requested && !job.is_over() { ", stopping" } else { "" };
    (format!("{mark} {}{asked}", job.status), tone)
}

/// What it was made of: `main 1a2b3c4d5e, changed`.
pub fn source(job: &Job) -> String {
    let sha = job.sha.as_deref().map(|sha| sha.chars().take(COMMIT).collect::<String>());
    let parts: Vec<&str> = [job.reference.as_deref(), sha.as_deref()].into_iter().flatten().collect();
    let changed = if job.dirty && job.sha.is_some() { ", changed" } else { "" };
    format!("{}{changed}", parts.join(" "))
}

/// How long it took so far.
pub fn took(job: &Job, now_ms: i64) -> String {
    job.took_ms(now_ms).map_or(String::new(), duration)
}

/// How long ago something was: `3 min ago`. Clocks differ, so the future is now.
pub fn ago(ms: i64, now_ms: i64) -> String {
    let seconds = (now_ms - ms).max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// Why it does not run yet, or did not succeed.
pub fn why(job: &Job) -> String {
    match (&job.waiting, &job.reason) {
        (Some(waiting), _) => format!("{} in the queue: {}", ordinal(waiting.position), waiting.reason),
        (None, Some(reason)) => headline(&reason.message).to_owned(),
        (None, None) => String::new(),
    }
}

/// `1st`, `22nd`, `113th`.
fn ordinal(number: u64) -> String {
    let end = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}

/// Passes lines on without what would move a terminal's cursor.
pub struct Lines<W: Write> {
    out: W,
    colors: bool,
    unfinished: Vec<u8>,
}

impl<W: Write> Lines<W> {
    /// `colors` keeps the colours.
    pub fn new(out: W, colors: bool) -> Self {
        Self { out, colors, unfinished: Vec::new() }
    }

    /// Passes on whole lines.
    pub fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unfinished.extend_from_slice(bytes);
        let lines = std::mem::take(&mut self.unfinished);
        let mut at = 0;
        for end in memchr::memchr_iter(b'\n', &lines) {
            self.line(&lines[at..end], b"\n")?;
            at = end + 1;
        }
        self.unfinished.extend_from_slice(&lines[at..]);
        if self.unfinished.len() > LONGEST_PART { self.finish() } else { self.out.flush() }
    }

    /// Passes on what has no line end.
    pub fn finish(&mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.unfinished);
        self.line(&rest, b"")?;
        self.out.flush()
    }

    fn line(&mut self, line: &[u8], end: &[u8]) -> io::Result<()> {
        let shown = printable(line, self.colors);
        self.out.write_all(&shown)?;
        if self.colors && shown.contains(&0x1b) {
            self.out.write_all(b"\x1b[0m")?;
        }
        self.out.write_all(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let words = |seconds: i64| ago(0, seconds * 1000);
        assert_eq!(
            [-5, 0, 59, 60, 3599, 3600, 172_799, 172_800].map(words),
            ["0 s ago", "0 s ago", "59 s ago", "1 min ago", "59 min ago", "1 h ago", "47 h ago", "2 d ago"]
        );
    }

    #[test]
    fn places_in_a_queue() {
        assert_eq!(
            [1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 112].map(ordinal),
            ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "101st", "112th"]
        );
    }

    #[test]
    fn lines_lose_only_what_moves_the_cursor_however_they_arrive() {
        let text = b"a\x1b[2Jb\n\x1b[31mred\x1b[0m\nlast\x07";
        for size in 1..text.len() {
            let mut out = Vec::new();
            let mut lines = Lines::new(&mut out, false);
            text.chunks(size).for_each(|piece| lines.feed(piece).unwrap());
            lines.finish().unwrap();
            assert_eq!(String::from_utf8_lossy(&out), "ab\nred\nlast", "{size}");
        }
    }
}
