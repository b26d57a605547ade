-- Files that outlive their job. The bytes are in a file named after the call that brought them.

CREATE TABLE artifacts (
    job        TEXT    NOT NULL,
    attempt    INTEGER NOT NULL,
    name       TEXT    NOT NULL, -- relative, with `/` between its parts
    call       TEXT    NOT NULL,
    size       INTEGER NOT NULL,
    sha256     BLOB    NOT NULL CHECK (length(sha256) = 32), -- made by the master from the bytes it received
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (job, attempt, name),
    FOREIGN KEY (job, attempt) REFERENCES attempts (job, number) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
