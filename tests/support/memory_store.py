"""A `remote.Store` on fsspec's filesystem in memory, with a clock of its own and a kill before a chosen write."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fsspec.implementations.memory import MemoryFileSystem

from tritonize.remote.store import Entry, Store

_numbers = itertools.count()


class Killed(BaseException):
    """The process ended here; nothing after it runs, so a store that raised it once refuses everything."""


class _Shared:
    """What a store and the one beside it share."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.now = 1000.0
        self.tick = 1.0
        self.modified: dict[str, float] = {}
        self.written: list[str] = []
        self.writes_left: int | None = None
        self.transferred = 0
        """Bytes that were read."""
        self.after_write: Callable[[], None] = lambda: None


class MemoryStore(Store):
    """Every write takes `tick` seconds of the store's time."""

    def __init__(self, root: str | None = None, shared: _Shared | None = None) -> None:
        root = f"/bucket{next(_numbers)}/models" if root is None else root
        super().__init__(MemoryFileSystem(skip_instance_cache=True), root, address=f"memory:/{root}")
        object.__setattr__(self, "shared", shared or _Shared())

    def __getattr__(self, name: str) -> object:
        return getattr(self.__dict__["shared"], name)

    def __setattr__(self, name: str, value: object) -> None:
        shared = self.__dict__.get("shared")
        setattr(shared, name, value) if shared is not None and hasattr(shared, name) else super().__setattr__(name, value)

    def beside(self, suffix: str) -> MemoryStore:
        return MemoryStore(self._root + suffix, self.__dict__["shared"])

    def claims(self) -> list[str]:
        return sorted(self.beside(".push").entries("m"))

    def entries(self, under: str = "") -> dict[str, Entry]:
        with self.lock:
            found = super().entries(under)
        return {path: replace(entry, modified=self.modified[self._at(path)]) for path, entry in found.items()}

    def raw(self, name: str) -> None:
        """List an object with a name that a filesystem would not take, as S3 does."""
        found = self._files.find

        def find(top: str, **options: object) -> dict[str, object]:
            return {**found(top, **options), f"{self._root}/{name}": {"name": name, "size": 1, "type": "file"}}

        self._files.find = find
        self.modified[self._at(name)] = self.now

    def read(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        content = super().read(path, start, end)
        self.transferred += len(content)
        return content

    def read_all(self, paths: Sequence[str]) -> dict[str, bytes]:
        content = super().read_all(paths)
        self.transferred += sum(map(len, content.values()))
        return content

    def create(self, path: str, content: bytes | Path) -> bool:
        with self.lock:
            self._count()
            return super().create(path, content) and self._wrote(path)

    def replace(self, path: str, content: bytes) -> None:
        with self.lock:
            self._count()
            super().replace(path, content)
            self._wrote(path)

    def remove(self, paths: object) -> None:
        for path in paths:  # type: ignore[attr-defined]
            with self.lock:
                self._count()
                super().remove([path])
                self.after_write()

    def _count(self) -> None:
        if self.writes_left is not None and threading.current_thread() is threading.main_thread():
            if self.writes_left == 0:
                raise Killed
            self.writes_left -= 1

    def _wrote(self, path: str) -> bool:
        self.now += self.tick
        self.modified[self._at(path)] = self.now
        self.written.append(path)
        self.after_write()
        return True
