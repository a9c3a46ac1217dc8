"""Processes: `processes.py` starts them, `guard.py` ends them and all that they start, `worker_main.py` is a worker's entry."""
