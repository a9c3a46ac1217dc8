"""An ONNX file: run it in ONNX Runtime (`runtime.py`), compare two (`graph_diff.py`), show it in Netron."""
