"""Triton backends: ONNX models natively, plans in Triton's Python backend. The server gets copies; they do not import tritonize."""
