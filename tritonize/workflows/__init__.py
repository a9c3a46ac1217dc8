"""One module per job that a user starts: `run`, `build`, `verify`, `diff`, `golden`, `compare_models`, `locate`, `doctor`.

Only this folder sets the order of the stages. Start reading at `run.py`.
"""
