"""From a float32 ONNX file to float16 or bfloat16: `reduction.py` rewrites it, `comparison.py` compares it with PyTorch."""
