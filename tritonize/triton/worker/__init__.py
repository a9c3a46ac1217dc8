"""Runs in a worker process: a user's own configuration template."""
