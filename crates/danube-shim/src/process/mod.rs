//! Processes: starting them, hearing of their end, finding and ending what they left behind.

mod child;
pub mod plan;
pub mod reaper;
pub mod signals;
pub mod spawn;
pub mod terminal;
pub mod tree;
