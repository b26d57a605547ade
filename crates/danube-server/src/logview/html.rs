//! A shown line as HTML. All that can come out are `<span>`, `<i>`, `<mark>` with classes of a closed set, `<a>` with an
//! address of the web, and escaped text: nothing of a job's is markup, and nothing has a style of its own.

use std::fmt::Write as _;
use std::ops::Range;

use danube_core::ansi::{Attribute, Style};

use super::link;
use super::shown::{Linked, Run, Shown};

/// What is marked in a line, by places in its text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    /// What was searched for.
    pub hits: Vec<Range<usize>>,
    /// Where the masker hid a secret.
    pub masked: Vec<Range<usize>>,
}

/// What surrounds a part of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Around<'a> {
    link: Option<&'a Linked<'a>>,
    is_hit: bool,
    is_masked: bool,
}

/// Appends a line's HTML.
pub(super) fn write(shown: &Shown, marks: &Marks, out: &mut String) {
    let links = shown.links();
    let mut writer = Writer { out, around: Around::default() };
    let mut at = 0;
    for run in &shown.runs {
        while at < run.end {
            let (link, link_edge) = find(&links, |link| &link.range, at);
            let (hit, hit_edge) = find(&marks.hits, |range| range, at);
            let (masked, masked_edge) = find(&marks.masked, |range| range, at);
            let end = [link_edge, hit_edge, masked_edge].into_iter().fold(run.end, usize::min);
            let around = Around { link, is_hit: hit.is_some(), is_masked: masked.is_some() };
            writer.part(&shown.text[at..end], run, around);
            at = end;
        }
    }
    writer.surround(Around::default());
}

/// Appends a text with what would be markup escaped.
fn escape(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&#39;",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

/// What is at a place, and where that changes next. What is looked for in is in order, and nothing overlaps.
fn find<T>(all: &[T], range: impl Fn(&T) -> &Range<usize>, at: usize) -> (Option<&T>, usize) {
    match all.get(all.partition_point(|one| range(one).end <= at)) {
        None => (None, usize::MAX),
        Some(next) if range(next).start > at => (None, range(next).start),
        Some(here) => (Some(here), range(here).end),
    }
}

struct Writer<'a, 'o> {
    out: &'o mut String,
    around: Around<'a>,
}

impl<'a> Writer<'a, '_> {
    fn part(&mut self, text: &str, run: &Run, around: Around<'a>) {
        if around != self.around {
            self.surround(around);
        }
        let tag = if run.boxed { "i" } else { "span" };
        let classes = Classes { style: run.style, boxed: run.boxed };
        let is_tagged = classes.open(tag, self.out);
        escape(text, self.out);
        if is_tagged {
            self.close(tag);
        }
    }

    /// Closes what is open, and opens what comes: links outside, then hits, then what was hidden.
    fn surround(&mut self, next: Around<'a>) {
        let was = std::mem::replace(&mut self.around, next);
        let same_link = was.link == next.link;
        if was.is_masked {
            self.close("i");
        }
        if was.is_hit {
            self.close("mark");
        }
        if !same_link {
            if was.link.is_some() {
                self.close("a");
            }
            if let Some(link) = next.link {
                self.open_link(link);
            }
        }
        if next.is_hit {
            self.out.push_str("<mark>");
        }
        if next.is_masked {
            self.out.push_str("<i class=\"m\" title=\"a secret was hidden here\">");
        }
    }

    fn open_link(&mut self, link: &Linked<'_>) {
        self.out.push_str("<a href=\"");
        escape(link.address, self.out);
        if !link.names_host {
            // The style sheet shows it after the text.
            self.out.push_str("\" data-h=\"");
            escape(link::host(link.address), self.out);
        }
        self.out.push_str("\" rel=\"noopener noreferrer nofollow\">");
    }

    fn close(&mut self, tag: &str) {
        // Writing to memory cannot fail.
        let _ = write!(self.out, "</{tag}>");
    }
}

/// The classes of a part: `f0` to `f255`, `b0` to `b255`, `s1` to `s9` as the sequences' numbers, `u` for a box.
struct Classes {
    style: Style,
    boxed: bool,
}

impl Classes {
    /// Opens a tag with them; false if there is nothing to say.
    fn open(&self, tag: &str, out: &mut String) -> bool {
        if !self.boxed && self.style == Style::default() {
            return false;
        }
        let before = out.len();
        // Writing to memory cannot fail.
        let _ = write!(out, "<{tag} class=\"");
        let start = out.len();
        self.write(out);
        if out.len() == start {
            out.truncate(before);
            return false;
        }
        out.pop();
        out.push_str("\">");
        true
    }

    fn write(&self, out: &mut String) {
        let style = self.style;
        if self.boxed {
            out.push_str("u ");
        }
        let (fg, bg) = if style.is(Attribute::Inverse) { (style.bg(), style.fg()) } else { (style.fg(), style.bg()) };
        // On a colour, text is black or white, whichever is read better: the class of what is behind says which.
        let _ = match (bg, fg) {
            (Some(colour), _) => write!(out, "b{colour} "),
            (None, _) if style.is(Attribute::Inverse) => write!(out, "s7 "),
            (None, Some(colour)) => write!(out, "f{colour} "),
            (None, None) => Ok(()),
        };
        for (attribute, class) in [
            (Attribute::Bold, "s1 "),
            (Attribute::Dim, "s2 "),
            (Attribute::Italic, "s3 "),
            (Attribute::Underline, "s4 "),
            (Attribute::Strike, "s9 "),
        ] {
            if style.is(attribute) {
                out.push_str(class);
            }
        }
    }
}
