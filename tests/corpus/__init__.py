"""Ordinary public models that every change must still export right: `python -m tests.corpus`; see `catalogue.py`."""
