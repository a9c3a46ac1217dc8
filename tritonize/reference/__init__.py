"""What PyTorch answers: the baseline of every comparison (`baseline.py`), and golden files made of it."""
