"""Runs in a worker process: the export strategies, and which decisions the model's code takes on data."""
