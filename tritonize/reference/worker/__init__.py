"""Runs in a worker process: the model on its samples, again in float64, and whether it is deterministic."""
