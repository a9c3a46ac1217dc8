"""Errors and their messages, result types and small helpers. Every folder may import `core`; it imports no other folder."""
