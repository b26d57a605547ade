-- Pipelines are declared in a configuration repository, and build a branch of their own.

ALTER TABLE pipelines ADD COLUMN branch TEXT; -- what a job builds when nothing else was asked for; none: the files as they stand

-- Each commit of the configuration repository that was applied, in order.
CREATE TABLE config_commits (
    seq        INTEGER NOT NULL PRIMARY KEY,
    sha        TEXT    NOT NULL,
    repository TEXT    NOT NULL,
    branch     TEXT    NOT NULL,
    changes    TEXT    NOT NULL, -- JSON: the names that were added, changed and removed
    applied_ms INTEGER NOT NULL
) STRICT;
