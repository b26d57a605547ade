//! The state machine of a job: state and event give state and effects.
