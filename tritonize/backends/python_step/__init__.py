"""The model that Triton's Python backend loads for a Python step; tritonize copies `model.py` into the step's version."""
