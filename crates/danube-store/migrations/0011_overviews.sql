-- Pages of many jobs read an index and no row but those that they show. A released step is never changed, so indexes of
-- earlier ones are made anew here.

-- How a pipeline does: its newest runs as bars, since when it is red, its branches.
DROP INDEX jobs_by_pipeline;
CREATE INDEX jobs_by_pipeline ON jobs
    (pipeline, id, number, source_ref, status, reason_kind, created_ms, started_ms, finished_ms);

-- Any set of filters has an index of its own: two of them may be common and never meet.
DROP INDEX jobs_by_branch;
DROP INDEX jobs_by_actor;
CREATE INDEX jobs_by_branch ON jobs (pipeline, source_ref, id);
CREATE INDEX jobs_by_actor ON jobs (pipeline, actor, id) WHERE actor IS NOT NULL;
CREATE INDEX jobs_by_branch_and_actor ON jobs (pipeline, source_ref, actor, id) WHERE actor IS NOT NULL;
CREATE INDEX jobs_by_branch_and_trigger ON jobs (pipeline, source_ref, trigger, id);
CREATE INDEX jobs_by_actor_and_trigger ON jobs (pipeline, actor, trigger, id) WHERE actor IS NOT NULL;
CREATE INDEX jobs_by_branch_actor_and_trigger ON jobs (pipeline, source_ref, actor, trigger, id) WHERE actor IS NOT NULL;

-- The step for which a job failed, however many there are.
CREATE INDEX steps_failed ON steps (job, attempt, number)
    WHERE number > 0 AND checked AND status NOT IN ('success', 'running') AND (try = tries OR status = 'infra');
