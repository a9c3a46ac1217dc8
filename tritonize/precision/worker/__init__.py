"""Runs in a worker process: which nodes change their type, the rewritten graph, and its emulation in float32."""
