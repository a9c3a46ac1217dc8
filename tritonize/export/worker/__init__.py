"""Runs in a worker process: the export strategies, and the search for branches on data in the model's code."""
