"""Runs in a worker process: TensorRT and TensorRT-RTX, which parse, build, serialize and run."""
