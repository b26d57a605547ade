//! A line as it is shown: its text, and how each part of it looks.

use std::ops::Range;

use danube_core::ansi::{Parser, Style};

use super::canvas::{Canvas, Cell, Glyph};
use super::link;

/// Output of one line, as much of it as is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Output<'a> {
    /// The style that it begins with.
    pub style: Style,
    /// Its bytes without the line end; of a longer line those at its beginning.
    pub text: &'a [u8],
    /// What a longer line wrote over itself last.
    pub last: Option<Last<'a>>,
}

/// The last state of a line that is longer than what is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Last<'a> {
    /// The style that it begins with.
    pub style: Style,
    /// Its bytes.
    pub text: &'a [u8],
    /// How often the line was begun anew in what is left out.
    pub rewrites: u64,
}

/// A line as it is shown.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Its text: what a browser shows, selects and copies.
    pub text: String,
    /// How often it was written over.
    pub rewrites: u64,
    /// There is more of it.
    pub is_cut: bool,
    pub(super) runs: Vec<Run>,
    pub(super) links: Vec<String>,
}

/// A part of a line that looks the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Where it ends in the text.
    pub end: usize,
    pub style: Style,
    /// Of the line's links, from 1; 0 is none.
    pub link: u16,
    /// The number of a character that is not shown itself.
    pub boxed: bool,
}

/// A part of a line that leads somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Linked<'a> {
    pub range: Range<usize>,
    pub address: &'a str,
    /// Its text says which host it leads to.
    pub names_host: bool,
}

impl Shown {
    /// What is shown of a line.
    pub(crate) fn new(output: Output<'_>) -> Self {
        let (mut canvas, mut parser) = (Canvas::new(output.style), Parser::default());
        canvas.write(&mut parser, output.text);
        if let Some(last) = output.last {
            parser = Parser::default();
            canvas.start_over(last.style, last.rewrites);
            canvas.write(&mut parser, last.text);
        }
        canvas.finish(&mut parser);
        Self::from_canvas(canvas)
    }

    pub(super) fn from_canvas(canvas: Canvas) -> Self {
        let mut shown = Self { rewrites: canvas.rewrites, is_cut: canvas.is_cut, ..Self::default() };
        let mut rest = canvas.cells.as_slice();
        while let Some((cell, after)) = rest.split_first() {
            rest = after;
            match cell.glyph {
                Glyph::Char(c) => shown.add_char(c, cell, &canvas.marks),
                Glyph::Boxed(c) => {
                    let more = after.iter().take_while(|next| next.glyph == cell.glyph).count();
                    rest = &after[more..];
                    shown.add_boxed(c, more + 1, cell);
                }
                Glyph::Rest => {}
            }
        }
        Self { links: canvas.links, ..shown }
    }

    fn add_char(&mut self, c: char, cell: &Cell, marks: &[String]) {
        self.text.push(c);
        if let Some(marks) = usize::from(cell.marks).checked_sub(1).and_then(|place| marks.get(place)) {
            self.text.push_str(marks);
        }
        self.add_run(cell, false);
    }

    /// The number of a character; of many that are the same, it and how many.
    fn add_boxed(&mut self, c: char, count: usize, cell: &Cell) {
        self.text.push_str(&format!("U+{:04X}", u32::from(c)));
        if count > 1 {
            self.text.push_str(&format!(" ×{count}"));
        }
        // Never joined with the box before it.
        self.runs.push(Run { end: self.text.len(), style: cell.style, link: cell.link, boxed: true });
    }

    fn add_run(&mut self, cell: &Cell, boxed: bool) {
        let run = Run { end: self.text.len(), style: cell.style, link: cell.link, boxed };
        match self.runs.last_mut() {
            Some(last) if Run { end: run.end, ..*last } == run => last.end = run.end,
            _ => self.runs.push(run),
        }
    }

    /// Its links, in order: those that sequences made, and the addresses in its text.
    pub(super) fn links(&self) -> Vec<Linked<'_>> {
        let mut links = self.made_links();
        let is_free = |range: &Range<usize>| self.runs_in(range.clone()).all(|run| run.link == 0 && !run.boxed);
        let found = link::find(&self.text).into_iter().filter(is_free);
        links.extend(found.map(|range| Linked { address: &self.text[range.clone()], names_host: true, range }));
        links.sort_by_key(|link| link.range.start);
        links
    }

    fn made_links(&self) -> Vec<Linked<'_>> {
        let (mut made, mut start) = (Vec::new(), 0);
        for runs in self.runs.chunk_by(|a, b| a.link == b.link) {
            let range = start..runs.last().map_or(start, |run| run.end);
            start = range.end;
            let place = runs.first().and_then(|run| usize::from(run.link).checked_sub(1));
            if let Some(address) = place.and_then(|place| self.links.get(place)) {
                made.push(Linked { names_host: link::names_host(&self.text[range.clone()], address), address, range });
            }
        }
        made
    }

    fn runs_in(&self, range: Range<usize>) -> impl Iterator<Item = &Run> {
        let first = self.runs.partition_point(|run| run.end <= range.start);
        let last = self.runs.partition_point(|run| run.end < range.end);
        self.runs.iter().take(last + 1).skip(first)
    }
}
