-- What the pages look for: one branch's runs, and one test's fate over the last runs.
CREATE INDEX jobs_by_branch ON jobs (pipeline, source_ref, id);
CREATE INDEX test_cases_by_name ON test_cases (job, attempt, name);
-- The first line of the commit's message.
ALTER TABLE jobs ADD COLUMN source_title TEXT;
