"""Worker side: finish and write ONNX files, run them, and measure the effects of summation and rounding on their outputs."""
