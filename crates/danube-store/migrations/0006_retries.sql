-- Jobs that are tried again, and jobs that give way to newer ones.

ALTER TABLE attempts ADD COLUMN tries INTEGER NOT NULL DEFAULT 1; -- how many there may be of its job, as far as it knew
-- Why it did not succeed.
ALTER TABLE attempts ADD COLUMN reason_kind TEXT;
ALTER TABLE attempts ADD COLUMN reason_message TEXT;

-- Older jobs of its group and pipeline give way to it also when they run.
ALTER TABLE jobs ADD COLUMN supersedes INTEGER NOT NULL DEFAULT 0 CHECK (supersedes IN (0, 1));
ALTER TABLE jobs ADD COLUMN cancel_message TEXT; -- why its end was asked for, where it was not a person who asked
