//! PID 1 of every container of a job.
fn main() {}
