//! SQLite: migrations, one writer with group commit, a read pool.
