//! A group's folder: the engine's side and the monitor's meet in its files only.

pub mod cleanup;
pub mod folder;
pub mod follow;
pub mod journal;
pub mod objects;
pub mod processes;
pub mod record;
