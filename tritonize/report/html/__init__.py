"""Render a Report with its figures as one HTML file that needs no network and has at most 10 MB."""

from tritonize.report.html.page import LIMIT, render

__all__ = ["LIMIT", "render"]
