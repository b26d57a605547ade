-- What lists of runs are narrowed by: without these, what is rare is looked for among all runs of its pipeline. The columns
-- behind the id are those of further filters: they are tried on the index, and no row is read for it.
CREATE INDEX jobs_by_trigger ON jobs (pipeline, trigger, id);
CREATE INDEX jobs_by_actor ON jobs (pipeline, actor, id, trigger) WHERE actor IS NOT NULL;
DROP INDEX jobs_by_branch;
CREATE INDEX jobs_by_branch ON jobs (pipeline, source_ref, id, trigger, actor);
CREATE INDEX jobs_green ON jobs (pipeline, source_ref, id) WHERE status = 'success';
CREATE INDEX jobs_by_commit ON jobs (source_sha, id) WHERE source_sha IS NOT NULL;
