"""Triton: `config.pbtxt`, the server (`server/`, `serving.py`), the client (`client/`) and the served comparison."""
