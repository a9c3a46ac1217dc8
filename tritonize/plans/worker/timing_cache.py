"""The builder's timing cache as a file that several builds share, so that no build repeats the measurements of another.

It is read before a build and merged after it, under a lock. Each file belongs to one module version, GPU and driver, since the
builder rejects timings from another one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonize.backends.plans.bindings import BuilderConfig


def load(config: BuilderConfig, path: Path) -> None:
    """Give the configuration the timings of the file, or an empty cache if there is no file or the builder rejects it."""
    known = path.read_bytes() if path.is_file() else b""
    for content in (known, b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return


def store(config: BuilderConfig, path: Path) -> str:
    """Merge the timings of a build into the file, which other builds may have changed meanwhile; return the file's SHA-256."""
    from filelock import FileLock  # imported late, since most builds have no timing cache

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock")):
        cache = config.get_timing_cache()
        known = config.create_timing_cache(path.read_bytes()) if path.is_file() else None
        if known is not None and known.combine(cache, False):
            cache = known
        content = bytes(cache.serialize())
        staged = path.with_name(f"{path.name}.new")
        staged.write_bytes(content)
        staged.replace(path)
    return hashlib.sha256(content).hexdigest()
