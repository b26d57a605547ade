-- One pipeline's jobs with one status, newest first: without it those of every pipeline, or with every status, are read.
CREATE INDEX jobs_by_pipeline_and_status ON jobs (pipeline, status, id);
