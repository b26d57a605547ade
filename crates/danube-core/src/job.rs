//! A job's status and the reasons for its end, with their words.
