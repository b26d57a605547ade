//! A job's live stream. A reader is a cursor: what it has been told. Whatever rows and log files have beyond it is told
//! next, one event at a time and only when there is room to send it. So a reader that stops costs one event, one that
//! comes back goes on exactly where it stopped, and a restart of the master changes nothing.

mod board;
mod cursor;
mod event;
mod output;
mod pieces;
mod reader;
mod told;

pub(crate) use board::{Board, Boards, Facts};
pub(crate) use cursor::{Cursor, Told, short_hash};
pub(crate) use event::{HEARTBEAT, OPENING, event};
pub(crate) use reader::Reader;
