-- Jobs, their attempts, and what each attempt did. Times are milliseconds since the Unix epoch on this machine's clock.

CREATE TABLE meta (
    one   INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL -- +1 per opening; shims refuse a lower one (docs/protocol.md, rule 7)
) STRICT;
INSERT INTO meta (one, epoch) VALUES (1, 0);

-- Apart from the jobs, so that a number is never given twice, not even after old jobs were deleted.
CREATE TABLE run_numbers (
    pipeline TEXT    NOT NULL PRIMARY KEY,
    last     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    id             TEXT    NOT NULL PRIMARY KEY,
    pipeline       TEXT    NOT NULL,
    number         INTEGER NOT NULL,
    source_dir     TEXT,
    source_ref     TEXT,
    source_sha     TEXT,
    source_dirty   INTEGER NOT NULL CHECK (source_dirty IN (0, 1)),
    trigger        TEXT    NOT NULL,
    actor          TEXT,
    params         TEXT    NOT NULL CHECK (json_valid(params)),
    spec           TEXT    NOT NULL CHECK (json_valid(spec)),
    status         TEXT    NOT NULL CHECK (status IN
                   ('pending', 'scheduling', 'running', 'success', 'failure', 'timeout', 'cancelled')),
    reason_kind    TEXT,
    reason_message TEXT,
    created_ms     INTEGER NOT NULL,
    started_ms     INTEGER,
    finished_ms    INTEGER,
    UNIQUE (pipeline, number),
    CHECK ((finished_ms IS NULL) = (status IN ('pending', 'scheduling', 'running'))),
    CHECK ((reason_kind IS NULL) = (reason_message IS NULL))
) STRICT;
CREATE INDEX jobs_unfinished ON jobs (created_ms) WHERE finished_ms IS NULL;

CREATE TABLE attempts (
    job              TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number           INTEGER NOT NULL CHECK (number > 0),
    nonce            TEXT    NOT NULL,
    status           TEXT    NOT NULL CHECK (status IN
                     ('pending', 'scheduling', 'running', 'success', 'failure', 'timeout', 'cancelled')),
    coordinator_step TEXT, -- the step id under which the danubefile runs
    budget_ms        INTEGER NOT NULL, -- what was left of the deadline at anchor_ms
    anchor_ms        INTEGER NOT NULL,
    started_ms       INTEGER NOT NULL,
    finished_ms      INTEGER,
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE containers (
    job     TEXT    NOT NULL,
    attempt INTEGER NOT NULL,
    name    TEXT    NOT NULL,
    role    TEXT    NOT NULL CHECK (role IN ('coordinator', 'worker')),
    image   TEXT    NOT NULL,
    PRIMARY KEY (job, attempt, name),
    FOREIGN KEY (job, attempt) REFERENCES attempts (job, number) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE steps (
    job             TEXT    NOT NULL,
    attempt         INTEGER NOT NULL,
    number          INTEGER NOT NULL, -- in order of start; names the log's files
    step_id         TEXT    NOT NULL UNIQUE,
    spec_hash       BLOB    NOT NULL,
    name            TEXT    NOT NULL,
    group_path      TEXT    NOT NULL CHECK (json_valid(group_path)),
    container       TEXT    NOT NULL,
    image           TEXT    NOT NULL,
    checked         INTEGER NOT NULL CHECK (checked IN (0, 1)), -- a failure raises in the danubefile
    try             INTEGER NOT NULL,
    tries           INTEGER NOT NULL,
    location        TEXT,
    started_ms      INTEGER NOT NULL,
    -- How it ended: all null until then.
    cause           TEXT,
    exit_code       INTEGER,
    signal          INTEGER,
    message         TEXT,
    finished_ms     INTEGER,
    duration_ms     INTEGER,
    bytes           INTEGER,
    sha256          BLOB,
    -- What of its output is durable (docs/logs.md): one commit writes all four.
    consumed_offset INTEGER NOT NULL DEFAULT 0,
    raw_len         INTEGER NOT NULL DEFAULT 0,
    idx_len         INTEGER NOT NULL DEFAULT 0,
    hash_state      BLOB,
    status          TEXT    NOT NULL CHECK (status IN ('running', 'success', 'failure', 'timeout', 'cancelled', 'infra')),
    PRIMARY KEY (job, attempt, number),
    FOREIGN KEY (job, attempt) REFERENCES attempts (job, number) ON DELETE CASCADE,
    CHECK ((finished_ms IS NULL) = (status = 'running'))
) STRICT;

CREATE TABLE egress (
    job     TEXT    NOT NULL,
    attempt INTEGER NOT NULL,
    seq     INTEGER NOT NULL, -- the place in the runtime's own list, which is told again from the first on
    at_ms   INTEGER NOT NULL,
    name    TEXT    NOT NULL,
    port    INTEGER,
    verdict TEXT    NOT NULL,
    PRIMARY KEY (job, attempt, seq),
    FOREIGN KEY (job, attempt) REFERENCES attempts (job, number) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
