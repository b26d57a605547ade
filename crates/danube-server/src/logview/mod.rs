//! Output as a reader sees it: from bytes to cells, from cells to a shown line, from that to HTML. Pure, and total: any
//! bytes become some line.

mod canvas;
mod glyph;
mod html;
mod link;
mod shown;

pub(crate) use html::{Marks, escape, write};
pub(crate) use shown::{Last, Output, Shown};

#[cfg(test)]
mod tests;
