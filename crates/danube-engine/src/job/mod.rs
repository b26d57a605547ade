//! One job, from its row to its end: the plan ([`plan`]), the task that feeds events to the pure machine and performs
//! its effects ([`task`], [`effects`]), and what its tasks share ([`shared`]).

pub mod delivery;
pub(crate) mod effects;
pub mod isolation;
pub mod plan;
pub mod progress;
pub mod room;
mod runner;
pub mod shared;
pub mod task;

pub use plan::Plan;
pub use progress::Progress;
pub use shared::Services;
pub use task::{Order, run};
