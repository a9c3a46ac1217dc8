"""Ordinary public models that every change must still export right: `python -m corpus`; see `catalogue.py`."""
