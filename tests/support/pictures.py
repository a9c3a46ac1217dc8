"""Make the pictures of the README from runs of the heart example: `make pictures`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import tritonize
from tests.support import chromium
from tests.support.command import CHECKOUT
from tritonize.core import machine
from tritonize.core.reports import Report

FOLDER = CHECKOUT / "docs" / "pictures"
LIMIT = 300_000
"""Largest size of a picture in bytes."""
SPEC = CHECKOUT / "examples" / "heart" / "heart.yaml"
STRICT = "rtol: 1.0e-7, atol: 5.0e-7"
"""A tolerance that the exported model misses, so that its report shows a failure."""


def main() -> int:
    """Run the example with its own and with a too small tolerance, and photograph both reports."""
    if chromium.PROGRAM is None:
        print(chromium.INSTALL, file=sys.stderr)
        return 1
    machine.describe = lambda: "Linux x86_64, 2 cores"  # the pictures do not depend on the processor
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        passed, failed = (_page(folder, name, strict=strict) for name, strict in (("passed", False), ("failed", True)))
        with chromium.page(folder / "profile") as page:
            page.open(passed, width=1160)
            bottom = page.value("document.querySelector('.top').getBoundingClientRect().bottom + 16")
            _picture(page, "report-passed.png", width=1160, height=bottom)
            page.open(failed, width=390)
            bottom = page.value("document.querySelector('.slices').getBoundingClientRect().bottom + 16")
            _picture(page, "report-failed-phone.png", width=390, height=bottom)
    return 0


def _page(folder: Path, name: str, *, strict: bool) -> Path:
    """The report of a run, as a file."""
    text = SPEC.read_text()
    for file in ("heart.pt", "samples/*.npz"):
        text = text.replace(file, str(SPEC.parent / file))
    text = text.replace("repository: model_repository", f"repository: {folder / name}")
    spec = folder / f"{name}.yaml"
    spec.write_text(text.replace("rtol: 1.0e-4, atol: 9.0e-4", STRICT) if strict else text)
    (report,) = tritonize.run(spec)
    assert report.verdict == name, report
    return _evidence(report) / "report.html"


def _evidence(report: Report) -> Path:
    assert report.location is not None
    return report.location / "evidence"


def _picture(page: chromium.Page, name: str, *, width: float, height: float) -> None:
    """Photograph the upper part of the page."""
    path = FOLDER / name
    page.screenshot(path, {"x": 0, "y": 0, "width": width, "height": round(height)})
    size = path.stat().st_size
    print(f"{path.relative_to(CHECKOUT)}: {width:g} x {height:.0f} pixels, {size / 1000:.0f} kB")
    assert size < LIMIT, f"{name} has {size} bytes"


if __name__ == "__main__":
    sys.exit(main())
