//! The job line: job task, shim session, coordinator requests, logs.
