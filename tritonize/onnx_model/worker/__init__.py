"""Runs in a worker process: finish and write ONNX files, run them, measure what their sums and weights do."""
