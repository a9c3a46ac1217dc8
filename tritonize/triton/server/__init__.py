"""Servers as running processes. Only `embedded` so far: the Triton of nvidia-pytriton, in an environment of its own."""
