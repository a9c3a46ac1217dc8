"""From a PyTorch model to an ONNX file that is proven against it: `climb` tries one export strategy after another.

`ladder.py` is the loop, `exporter.py` one export, `worker/` the exporters themselves and what they record about the model's code.
"""
