//! A step: one process tree, its output, its record.

pub mod context;
pub mod end;
pub mod files;
pub mod life;
pub mod output;
pub mod prepare;
pub mod pump;
pub mod record;
pub mod registry;
pub mod request;
pub mod spool;
pub mod supervise;
