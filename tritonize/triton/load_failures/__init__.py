"""Why a server did not load a model: messages of Triton and its backends, with their cause, place and fix.

`lookup.py` searches the tables, which are data: `core.py`, `ensembles.py`, `onnx.py`, `python.py` and `tensorrt.py`.
"""
