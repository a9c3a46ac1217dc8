"""Python-based Triton backends; tritonize copies them into the server's backend directory, and they do not import tritonize."""
