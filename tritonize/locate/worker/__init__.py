"""Runs in a worker process: tensors inside PyTorch and inside the ONNX graph, and the error that each node adds."""
