-- What a master has beside single runs: the pipelines it knows, jobs that wait for their turn, and who may come in.

CREATE TABLE pipelines (
    name          TEXT    NOT NULL PRIMARY KEY,
    dir           TEXT    NOT NULL, -- the checkout on this machine
    entry_point   TEXT    NOT NULL, -- the danubefile, relative to it
    registered_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE jobs ADD COLUMN rerun_of TEXT REFERENCES jobs (id) ON DELETE SET NULL;
ALTER TABLE jobs ADD COLUMN cancel_ms INTEGER; -- when somebody asked for its end; it holds over a restart
ALTER TABLE jobs ADD COLUMN concurrency TEXT; -- of the jobs with the same one, one runs at a time
CREATE INDEX jobs_by_pipeline ON jobs (pipeline, id);
CREATE INDEX jobs_by_status ON jobs (status, id);
CREATE INDEX jobs_by_rerun ON jobs (rerun_of) WHERE rerun_of IS NOT NULL;

-- Of a cookie only its hash is kept: who reads this file cannot come in by it.
CREATE TABLE sessions (
    token      BLOB    NOT NULL PRIMARY KEY CHECK (length(token) = 32),
    actor      TEXT    NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_expiry ON sessions (expires_ms);
