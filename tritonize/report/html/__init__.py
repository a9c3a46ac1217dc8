"""Render a Report and its figures as one HTML file of at most 10 MB that loads nothing over the network."""

from tritonize.report.html.page import LIMIT, render

__all__ = ["LIMIT", "render"]
