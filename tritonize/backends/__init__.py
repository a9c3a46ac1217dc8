"""Python-based Triton backends. They are copied into the server's backend directory and import nothing from tritonize."""
