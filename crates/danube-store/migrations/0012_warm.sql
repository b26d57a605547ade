-- How many pods are kept ready for a pipeline's next jobs, on a cluster.
ALTER TABLE pipelines ADD COLUMN warm INTEGER NOT NULL DEFAULT 0;
