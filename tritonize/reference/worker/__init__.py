"""Runs in a worker process: the model on its samples, again in float64, and a check that it is deterministic."""
