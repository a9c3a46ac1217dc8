"""The GPU test suite: `python -m gpu`, or `make test-gpu`.

It runs on any machine with a GPU and one of the modules `tensorrt` (8.6 and newer) and `tensorrt_rtx`, from a copied tree, with
nothing but Python 3.11 or 3.12 and NumPy beside that; what needs more (PyTorch, ONNX Runtime, tritonize's own packages) is *not
run* where that is missing. Models and PyTorch's answers lie in `models/`; `python -m gpu.make` writes them.
Without a GPU everything is *not run*, and nothing counts as passed.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - a container's Python may be any
    here = f"{sys.executable} is {sys.version.split()[0]}"
    sys.exit(f"The GPU tests need Python 3.11 or newer; {here}. Another is taken by: make test-gpu PYTHON=…")
