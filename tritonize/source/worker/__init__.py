"""Runs in a worker process: load the user's model and call it by named tensors."""
