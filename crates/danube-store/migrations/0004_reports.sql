-- What tests said (reports.junit), and what the danubefile wrote for people (summary.markdown).

CREATE TABLE test_reports (
    job         TEXT    NOT NULL,
    attempt     INTEGER NOT NULL,
    number      INTEGER NOT NULL, -- in order of the calls, from 1
    call        TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    passed      INTEGER NOT NULL DEFAULT 0,
    failed      INTEGER NOT NULL DEFAULT 0,
    errors      INTEGER NOT NULL DEFAULT 0,
    skipped     INTEGER NOT NULL DEFAULT 0,
    flaky       INTEGER NOT NULL DEFAULT 0,
    duration_ms INTEGER NOT NULL DEFAULT 0, -- of all its cases
    files       INTEGER NOT NULL DEFAULT 0,
    created_ms  INTEGER, -- null while its cases are being written: nobody is shown such a report
    PRIMARY KEY (job, attempt, number),
    UNIQUE (job, attempt, call),
    FOREIGN KEY (job, attempt) REFERENCES attempts (job, number) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE test_cases (
    job         TEXT    NOT NULL,
    attempt     INTEGER NOT NULL,
    report      INTEGER NOT NULL,
    seq         INTEGER NOT NULL, -- in order of the files
    suite       TEXT    NOT NULL,
    class       TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    status      TEXT    NOT NULL CHECK (status IN ('passed', 'failed', 'error', 'skipped', 'flaky')),
    -- What people look at first comes first.
    rank        INTEGER NOT NULL GENERATED ALWAYS AS (CASE status
                WHEN 'failed' THEN 0 WHEN 'error' THEN 0 WHEN 'flaky' THEN 1 WHEN 'skipped' THEN 2 ELSE 3 END) VIRTUAL,
    duration_ms INTEGER,
    message     TEXT,
    details     TEXT, -- the last column: a list of cases never reads it
    PRIMARY KEY (job, attempt, report, seq),
    FOREIGN KEY (job, attempt, report) REFERENCES test_reports (job, attempt, number) ON DELETE CASCADE
) STRICT;
CREATE INDEX test_cases_ranked ON test_cases (job, attempt, rank, report, seq);

CREATE TABLE summaries (
    job     TEXT    NOT NULL,
    attempt INTEGER NOT NULL,
    seq     INTEGER NOT NULL, -- in order of the calls, from 1
    call    TEXT    NOT NULL,
    text    TEXT    NOT NULL, -- empty once a later call has replaced it; the row stays, so that its call is known
    PRIMARY KEY (job, attempt, seq),
    UNIQUE (job, attempt, call),
    FOREIGN KEY (job, attempt) REFERENCES attempts (job, number) ON DELETE CASCADE
) STRICT;
