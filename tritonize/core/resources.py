"""Find the files that come with tritonize: templates and the backends that Triton runs."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def package() -> Path:
    """The folder of the package itself."""
    return _PACKAGE


def templates() -> Path:
    """The folder of the templates: inside the installed package, or beside it in a checkout."""
    installed = _PACKAGE / "templates"
    return installed if installed.is_dir() else _PACKAGE.parent / "templates"
