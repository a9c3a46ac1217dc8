"""A Report and the figures kept of its answers as one HTML file that needs no network and is at most 10 MB."""

from tritonize.report.html.page import LIMIT, render

__all__ = ["LIMIT", "render"]
