-- Services: rows of `steps` like any, in containers of their own.

ALTER TABLE steps ADD COLUMN kind TEXT NOT NULL DEFAULT 'step' CHECK (kind IN ('step', 'service'));
ALTER TABLE steps ADD COLUMN ready_ms INTEGER; -- when a service became ready; its call is answered, or about to be

-- A column's condition cannot be changed where it stands.
CREATE TABLE containers_new (
    job     TEXT    NOT NULL,
    attempt INTEGER NOT NULL,
    name    TEXT    NOT NULL,
    role    TEXT    NOT NULL CHECK (role IN ('coordinator', 'worker', 'service')),
    image   TEXT    NOT NULL,
    PRIMARY KEY (job, attempt, name),
    FOREIGN KEY (job, attempt) REFERENCES attempts (job, number) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
INSERT INTO containers_new (job, attempt, name, role, image) SELECT job, attempt, name, role, image FROM containers;
DROP TABLE containers;
ALTER TABLE containers_new RENAME TO containers;
