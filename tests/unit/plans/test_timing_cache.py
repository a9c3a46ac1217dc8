"""The timing cache's file: kept, merged, and safe between builds that end at the same time.

TensorRT-RTX has the calls and does nothing in them, and TensorRT needs a GPU. So the calls are asked of the one, and the merging
is tried on a stand-in whose caches are sets of lines; that TensorRT's own caches merge was not run.
"""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tritonize.plans.worker import timing_cache


class Cache:
    def __init__(self, content: bytes) -> None:
        self.lines = set(content.split())

    def combine(self, other: Cache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.lines |= other.lines
        return True

    def serialize(self) -> bytes:
        return b"\n".join(sorted(self.lines))


class Config:
    """Refuses what another GPU wrote, as the builder does."""

    def __init__(self) -> None:
        self.cache: Cache | None = None

    def create_timing_cache(self, content: bytes) -> Cache | None:
        return None if content.startswith(b"other") else Cache(content)

    def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.cache = cache
        return True

    def get_timing_cache(self) -> Cache:
        assert self.cache is not None
        return self.cache


def build(path: Path, *measured: bytes) -> str:
    config = Config()
    timing_cache.load(config, path)
    config.get_timing_cache().lines.update(measured)
    return timing_cache.store(config, path)


def test_a_build_reads_the_timings_of_the_previous_one(tmp_path):
    path = tmp_path / "timings" / "a.cache"
    first = build(path, b"conv", b"relu")
    assert build(path) == first
    assert build(path, b"softmax") != first
    config = Config()
    timing_cache.load(config, path)
    assert config.get_timing_cache().lines == {b"conv", b"relu", b"softmax"}


def test_simultaneous_builds_merge_their_timings(tmp_path):
    path = tmp_path / "a.cache"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: build(path, b"layer%d" % number), range(40)))
    assert Cache(path.read_bytes()).lines == {b"layer%d" % number for number in range(40)}
    assert not list(tmp_path.glob("*.new"))


def test_a_file_that_the_builder_rejects_is_replaced(tmp_path):
    path = tmp_path / "a.cache"
    path.write_bytes(b"other GPU")
    build(path, b"conv")
    assert path.read_bytes() == b"conv"


def test_the_module_has_the_calls_of_the_stand_in(tmp_path):
    import tensorrt_rtx as trt

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity, message) -> None:
            pass

    logger = Logger()
    builder = trt.Builder(logger)
    config = builder.create_builder_config()
    path = tmp_path / "a.cache"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the module warns so for all its timing caches
        timing_cache.load(config, path)
        first = timing_cache.store(config, path)
        assert timing_cache.store(config, path) == first
    assert path.is_file()
