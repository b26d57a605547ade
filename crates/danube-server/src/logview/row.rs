//! Lines as rows of a page. Numbers and times are attributes, which a style sheet shows: they cannot be selected, so what
//! is copied is the log's own text.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use danube_engine::logs::Line;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Last, Marks, Needle, Output, Shown, write};

/// Bytes of rows after which lines are shown by their beginnings only: a block must not become too large to load.
const LARGE: usize = 1024 * 1024;
/// Bytes of such a beginning.
const BEGINNING: usize = 128;
const REPLACEMENT: &str = "***";

/// What is shown beside the lines' numbers.
#[derive(Clone, Debug)]
pub(crate) enum Times {
    /// Nothing.
    Off,
    /// The time of day.
    Clock(TimeZone),
    /// Time since a moment: the beginning of the job, or of the step.
    Since(i64),
    /// Time since the line before.
    Delta,
}

/// How rows are made.
pub(crate) struct Rows<'a> {
    pub step: u32,
    pub times: Times,
    pub needle: Option<&'a Needle>,
    /// Lines that an address names, from 1.
    pub chosen: Option<RangeInclusive<u64>>,
}

impl Rows<'_> {
    /// Appends the rows of lines that follow each other; `before` is the time of the line before them.
    pub(crate) fn write(&self, lines: &[Line], before: Option<u64>, out: &mut String) {
        let (start, mut before) = (out.len(), before);
        for line in lines {
            self.row(line, before, out.len() - start > LARGE, out);
            before = Some(line.at_ms);
        }
    }

    fn row(&self, line: &Line, before: Option<u64>, is_short: bool, out: &mut String) {
        let (step, number) = (self.step, line.number + 1);
        let chosen = self.chosen.as_ref().filter(|chosen| chosen.contains(&number));
        out.push_str("<div class=\"l");
        for (class, holds) in [(" e", line.failure), (" d", line.stream == 0), (" k", chosen.is_some())] {
            out.push_str(if holds { class } else { "" });
        }
        // Writing to memory cannot fail.
        let _ = write!(out, "\" id=\"L{step}:{number}\"><a href=\"?l={step}:{number}\" data-n=\"{number}\"");
        if let Some(time) = self.times.of(line, before) {
            let _ = write!(out, " data-t=\"{time}\"");
        }
        // The browser goes to the first chosen line by itself.
        let focus = if chosen.is_some_and(|chosen| *chosen.start() == number) { " autofocus" } else { "" };
        let _ = write!(out, " tabindex=\"-1\" aria-label=\"{number}\"{focus}></a>");
        self.text(line, is_short, out);
        out.push_str("\n</div>");
    }

    fn text(&self, line: &Line, is_short: bool, out: &mut String) {
        let shown = shown(line, is_short);
        let hits = self.needle.map(|needle| needle.ranges(&shown.text)).unwrap_or_default();
        let masked = if line.masked { stars(&shown.text) } else { Vec::new() };
        write(&shown, &Marks { hits, masked }, out);
        let (step, number) = (self.step, line.number + 1);
        if shown.rewrites > 0 {
            let (count, words) = (shown.rewrites, if shown.rewrites == 1 { "state" } else { "states" });
            let _ = write!(
                out,
                "<a class=\"r\" href=\"log.txt?l={step}:{number}&amp;states=1\" data-c=\"↻ {count}\" \
                 aria-label=\"{count} earlier {words} of line {number}\"></a>"
            );
        }
        if shown.is_cut {
            let size = size(line.len);
            let _ = write!(
                out,
                "<a class=\"r\" href=\"log.txt?l={step}:{number}&amp;read=1\" data-c=\"… {size}, show\" \
                 aria-label=\"show line {number}, {size}\"></a>"
            );
        }
    }
}

/// What is shown of a line.
fn shown(line: &Line, is_short: bool) -> Shown {
    let end = if is_short { line.text.len().min(BEGINNING) } else { line.text.len() };
    let last = line.last.as_ref().filter(|last| !is_short && !last.text.is_empty());
    let last = last.map(|last| Last { style: last.style, text: &last.text, rewrites: last.rewrites });
    let shown = Shown::new(Output { style: line.style, text: &line.text[..end], last });
    let is_cut = shown.is_cut || end < line.text.len() || line.cut && last.is_none();
    Shown { is_cut, ..shown }
}

/// What a line shows, without its colours.
pub(crate) fn text(line: &Line) -> String {
    shown(line, false).text
}

fn stars(text: &str) -> Vec<std::ops::Range<usize>> {
    text.match_indices(REPLACEMENT).map(|(at, found)| at..at + found.len()).collect()
}

impl Times {
    fn of(&self, line: &Line, before: Option<u64>) -> Option<String> {
        let at = i64::try_from(line.at_ms).unwrap_or(i64::MAX);
        match self {
            Self::Off => None,
            Self::Clock(zone) => {
                let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::MAX).to_zoned(zone.clone());
                Some(format!("{}.{}", at.strftime("%H:%M:%S"), at.millisecond() / 100))
            }
            Self::Since(start) => Some(span(at.saturating_sub(*start))),
            Self::Delta => {
                let before = before.map_or(at, |before| i64::try_from(before).unwrap_or(at));
                Some(format!("+{}", span(at.saturating_sub(before))))
            }
        }
    }
}

/// `0:04.2`, `1:20.1`, `1:02:03.4`.
fn span(ms: i64) -> String {
    let tenths = ms.max(0) / 100;
    let (hours, minutes, seconds, tenth) = (tenths / 36_000, tenths / 600 % 60, tenths / 10 % 60, tenths % 10);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}.{tenth}")
    } else {
        format!("{minutes}:{seconds:02}.{tenth}")
    }
}

/// `512 B`, `10.4 MB`.
fn size(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, text: &[u8]) -> Line {
        Line { number, at_ms: 80_100, stream: 1, text: text.to_vec(), len: text.len() as u64, ..Line::default() }
    }

    fn row(rows: &Rows<'_>, line: Line) -> String {
        let mut out = String::new();
        rows.write(&[line], Some(80_000), &mut out);
        out
    }

    fn rows(times: Times) -> Rows<'static> {
        Rows { step: 4, times, needle: None, chosen: None }
    }

    #[test]
    fn a_row_has_its_number_and_time_beside_its_text() {
        assert_eq!(
            row(&rows(Times::Since(0)), line(811, b"FAIL \x1b[31mx")),
            "<div class=\"l\" id=\"L4:812\"><a href=\"?l=4:812\" data-n=\"812\" data-t=\"1:20.1\" tabindex=\"-1\" \
             aria-label=\"812\"></a>FAIL <span class=\"f1\">x</span>\n</div>"
        );
        let failing = Line { failure: true, stream: 0, ..line(0, b"x") };
        let chosen = Rows { chosen: Some(1..=2), ..rows(Times::Off) };
        assert_eq!(
            row(&chosen, failing),
            "<div class=\"l e d k\" id=\"L4:1\"><a href=\"?l=4:1\" data-n=\"1\" tabindex=\"-1\" aria-label=\"1\" \
             autofocus></a>x\n</div>"
        );
    }

    #[test]
    fn each_way_to_tell_the_time() {
        let said = |times: Times| times.of(&line(0, b""), Some(80_000)).unwrap_or_default();
        assert_eq!(said(Times::Off), "");
        assert_eq!(said(Times::Clock(TimeZone::UTC)), "00:01:20.1");
        assert_eq!(said(Times::Since(0)), "1:20.1");
        assert_eq!(said(Times::Since(99_999)), "0:00.0", "a clock that was set back");
        assert_eq!(said(Times::Delta), "+0:00.1");
        assert_eq!(span(3_723_400), "1:02:03.4");
    }

    #[test]
    fn what_is_left_out_can_be_opened() {
        let rewritten = row(&rows(Times::Off), line(0, b"1%\r2%\r3%"));
        assert!(
            rewritten.contains("3%<a class=\"r\" href=\"log.txt?l=4:1&amp;states=1\" data-c=\"↻ 2\""),
            "{rewritten}"
        );
        let long = Line { cut: true, len: 10_400_000, ..line(0, &[b'x'; 16384]) };
        let long = row(&rows(Times::Off), long);
        assert!(long.contains("<a class=\"r\" href=\"log.txt?l=4:1&amp;read=1\" data-c=\"… 10.4 MB, show\""));
        assert!(long.len() < 9000);
    }

    #[test]
    fn a_block_of_hostile_lines_stays_small() {
        let hostile: Vec<u8> = (0..8000).flat_map(|n| [1 + (n % 2) as u8]).collect();
        let lines: Vec<Line> = (0..200).map(|number| line(number, &hostile)).collect();
        let mut out = String::new();
        rows(Times::Off).write(&lines, None, &mut out);
        assert_eq!(out.matches("id=\"L4:").count(), 200);
        assert!(out.len() < 3 * LARGE, "{}", out.len());
    }

    #[test]
    fn only_what_was_hidden_is_marked_so() {
        assert!(!row(&rows(Times::Off), line(0, b"a *** b")).contains("class=\"m\""));
        assert!(row(&rows(Times::Off), Line { masked: true, ..line(0, b"a *** b") }).contains("<i class=\"m\""));
    }
}
