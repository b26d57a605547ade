//! The handlers, one file per group of routes.

pub(crate) mod artifacts;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod jobs;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod pipelines;
pub(crate) mod search;
pub(crate) mod summaries;
pub(crate) mod test_reports;
