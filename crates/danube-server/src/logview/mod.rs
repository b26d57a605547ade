//! Output as a reader sees it: from bytes to cells, from cells to a shown line, from that to HTML. Pure, and total: any
//! bytes become some line.

mod canvas;
mod cutter;
mod glyph;
mod html;
mod link;
mod needle;
mod row;
mod scan;
mod shown;

pub(crate) use cutter::{Cutter, plain};
pub(crate) use glyph::is_boxed;
use html::{Marks, write};
pub(crate) use needle::{Case, Needle};
pub(crate) use row::{Rows, Times, text};
pub(crate) use scan::scan;
use shown::{Last, Output, Shown};

#[cfg(test)]
mod tests;
