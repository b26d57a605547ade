//! Tables for people: columns below each other, colours only on a terminal, nothing that could move its cursor.

use std::fmt::Write;

use crate::view::{Paint, Tone, columns, harmless, shortened};

/// Between two columns.
const GAP: usize = 2;
/// The last column is never cut below this.
const LEAST: usize = 16;

/// One field.
pub struct Cell {
    text: String,
    tone: Option<Tone>,
    right: bool,
}

impl Cell {
    /// Plain text.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self { text: harmless(text.as_ref()), tone: None, right: false }
    }

    /// A figure: its end stands below the others' ends.
    pub fn figure(text: impl ToString) -> Self {
        Self { right: true, ..Self::text(text.to_string()) }
    }

    /// In this colour.
    pub fn toned(self, tone: Tone) -> Self {
        Self { tone: Some(tone), ..self }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// Lays out a table with a line of headings. A column without anything in it is left out.
pub fn table(headings: &[&str], rows: Vec<Vec<Cell>>, paint: Paint) -> String {
    let filled = |at: usize| rows.iter().any(|row| !row[at].text.is_empty());
    let kept: Vec<bool> = (0..headings.len()).map(filled).collect();
    let headings: Vec<&str> = headings.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(head, _)| *head).collect();
    let keep = |row: Vec<Cell>| row.into_iter().zip(&kept).filter(|(_, kept)| **kept).map(|(cell, _)| cell).collect();
    let rows = rows.into_iter().map(keep).collect();
    layout(&headings, rows, paint, columns())
}

fn layout(headings: &[&str], rows: Vec<Vec<Cell>>, paint: Paint, columns: Option<usize>) -> String {
    let heads = headings.iter().zip(rows.first().into_iter().flatten());
    let head = heads.map(|(text, below)| Cell { right: below.right, ..Cell::text(text).toned(Tone::Dim) }).collect();
    let rows: Vec<Vec<Cell>> = std::iter::once(head).chain(rows).collect();
    let widest = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(Cell::width).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..headings.len()).map(widest).collect();
    if let (Some(columns), Some((last, before))) = (columns, widths.split_last_mut()) {
        let taken: usize = before.iter().map(|width| width + GAP).sum();
        *last = (*last).min(columns.saturating_sub(taken).max(LEAST));
    }
    rows.iter().map(|row| line(row, &widths, paint)).collect()
}

fn line(row: &[Cell], widths: &[usize], paint: Paint) -> String {
    let mut line = String::new();
    let mut due = 0;
    for (cell, width) in row.iter().zip(widths) {
        let text = shortened(&cell.text, *width);
        let free = width - text.chars().count();
        let (before, after) = if cell.right { (free, 0) } else { (0, free) };
        if !text.is_empty() {
            let painted = cell.tone.map_or(text.clone(), |tone| paint.text(tone, &text));
            let _ = write!(line, "{:1$}{painted}", "", due + before);
            due = 0;
        } else {
            due += before;
        }
        due += after + GAP;
    }
    line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec![Cell::text("✔ success").toned(Tone::Good), Cell::figure(7), Cell::text("größer"), Cell::text("")],
            vec![
                Cell::text("✘ failure").toned(Tone::Bad),
                Cell::figure(1234),
                Cell::text("a\x1b[2J\nb"),
                Cell::text("it fell over its own feet"),
            ],
        ]
    }

    const HEADINGS: [&str; 4] = ["status", "job", "pipeline", "why"];

    #[test]
    fn columns_stand_below_each_other_and_nothing_moves_the_cursor() {
        let text = layout(&HEADINGS, rows(), Paint { colors: false }, None);
        insta::assert_snapshot!(text, @r"
        status      job  pipeline  why
        ✔ success     7  größer
        ✘ failure  1234  a�[2J�b   it fell over its own feet
        ");
    }

    #[test]
    fn the_last_column_gives_way_on_a_narrow_terminal() {
        let text = layout(&HEADINGS, rows(), Paint { colors: false }, Some(50));
        assert!(text.lines().all(|line| line.chars().count() <= 50), "{text}");
        assert!(text.contains("it fell over its own f…"), "{text}");
    }

    #[test]
    fn colours_change_no_width() {
        let text = layout(&HEADINGS, rows(), Paint { colors: true }, None);
        assert!(text.contains("\x1b[32m✔ success\x1b[0m     7  größer"), "{text:?}");
    }
}
