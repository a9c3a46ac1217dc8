"""One module per job that a user starts: `run`, `build`, `verify`, `diff`, `golden`, `compare_models`, `locate`, `doctor`.

The only folder that knows in which order the capabilities work. `run.py` is the place to start reading.
"""
