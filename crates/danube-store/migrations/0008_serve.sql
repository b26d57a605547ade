-- What a server has beside `dev`: pipelines that are declared in a configuration repository and build a branch of their
-- own, and deadlines that hold whatever the wall clock is set to.

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

-- A deadline's beginning by the count of the machine since it was started; anchor_ms says it by the wall clock.
ALTER TABLE attempts ADD COLUMN anchor_boot TEXT NOT NULL DEFAULT ''; -- which start of the machine
ALTER TABLE attempts ADD COLUMN anchor_up_ms INTEGER NOT NULL DEFAULT 0;
