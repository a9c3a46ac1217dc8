"""Processes: `processes.py` starts commands, `guard.py` ends them with all their descendants, `workers.py` runs worker tasks."""
