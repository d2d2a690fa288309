"""A started plan: processes, readiness, records on disk, keys."""
