"""Backends that Triton runs by path: they are copied into the server's folder and import nothing of tritonize."""
