"""The builder's timing cache as a file that many builds share: read before a build, merged after it, under a lock.

What one build measured another need not measure again. The file belongs to one module version, GPU and driver: timings of
others mean nothing, and the builder refuses them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonize.backends.plans.bindings import BuilderConfig


def load(config: BuilderConfig, path: Path) -> None:
    """Hand a builder's configuration what is known, or an empty cache where nothing is, or where it refuses what is there."""
    known = path.read_bytes() if path.is_file() else b""
    for content in (known, b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return


def store(config: BuilderConfig, path: Path) -> str:
    """Merge what a build measured into the file, which others may have written to meanwhile; the SHA-256 of the result."""
    from filelock import FileLock  # here, since most builds have no timing cache

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
