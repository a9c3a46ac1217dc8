"""Copy a model repository from a store into a local folder, as much of it as a command reads: `Depth`.

What is not copied is a file of the right size without content (a hole), so that sizes are right and reading it costs no transfer.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, overload

from tritonize.core import errors, onnx_graph
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.core.messages import remote as wording
from tritonize.remote.store import Entry, Store

SMALL = 2**20
"""Largest file in bytes that is copied whole for `Depth.HEADERS`; lint hashes files up to this size."""
_PIECE = 2**16
_DESCRIBING = ("config.pbtxt", "evidence/manifest.json", "evidence/config.pbtxt")


class Depth(enum.Enum):
    """How much of a repository is copied."""

    MANIFESTS = enum.auto()
    """Configurations and other small files beside the versions, and manifests."""
    HEADERS = enum.auto()
    """Also small files, and of larger ones what lint reads: both ends, and of ONNX files the graph. No weights."""
    ALL = enum.auto()


def mirror(store: Store, folder: Path, models: Sequence[str] = (), *, depth: Depth) -> None:
    """Copy a repository, or some models of it.

    Args:
        store: the repository.
        folder: a folder that is empty or does not exist.
        models: names of the models; all models if empty. A model that does not exist is left out.
        depth: how much is copied.

    Raises:
        UsageError: the bucket does not exist, or nothing is at the address.
        RepositoryError: the store refuses a request, has a name that leads out of the folder, or a file and a folder of one name.
    """
    found = {path: entry for each in models or ("",) for path, entry in store.entries(each).items()}
    if not found and not (models and store.entries()):
        raise UsageError.of(wording.EMPTY, where=store.address)
    folder.mkdir(parents=True, exist_ok=True)
    _make_holes(store, folder, found)
    for batch in _batches(path for path in found if _is_whole(path, found[path], depth)):
        _copy(store, folder, batch, found=found)
    if depth is Depth.HEADERS:
        for path, entry in found.items():
            if not _is_whole(path, entry, depth):
                _copy_header(store, folder / path, path, size=entry.bytes)


def _is_whole(path: str, entry: Entry, depth: Depth) -> bool:
    if depth is Depth.MANIFESTS:
        beside = path.count("/") == 1 and entry.bytes <= SMALL  # labels
        variant = path.endswith(".pbtxt") and path.split("/")[1:-1] == ["configs"]
        return beside or ((variant or path.endswith(_DESCRIBING)) and entry.bytes <= 32 * SMALL)
    return depth is Depth.ALL or entry.bytes <= SMALL


def _make_holes(store: Store, folder: Path, found: Mapping[str, Entry]) -> None:
    """Create every file with its size and without content."""
    for path, entry in found.items():
        target = folder / path
        try:
            with errors.storage_errors(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    file.truncate(entry.bytes)
        except RepositoryError as error:
            if target.is_dir() or any(above.is_file() for above in target.parents):
                raise RepositoryError.of(wording.FILE_AND_FOLDER, where=f"{store.address}/{path}") from error
            raise


def _batches(paths: Iterable[str], most: int = 200) -> Iterator[list[str]]:
    batch: list[str] = []
    for path in paths:
        batch.append(path)
        if len(batch) == most:
            yield batch
            batch = []
    if batch:
        yield batch


def _copy(store: Store, folder: Path, paths: Sequence[str], *, found: Mapping[str, Entry]) -> None:
    """Copy small files together, and large ones one by one to the disk."""
    small = [path for path in paths if found[path].bytes <= SMALL]
    for path, content in store.read_all(small).items():
        (folder / path).write_bytes(content)
    for path in paths:
        if found[path].bytes > SMALL:
            store.download(path, folder / path)


def _copy_header(store: Store, target: Path, path: str, *, size: int) -> None:
    """Copy both ends of a file, and of an ONNX file every piece that a reader of its graph looks at."""
    with target.open("r+b") as file:
        pieces = _Pieces(store, path, size=size, into=file)
        pieces[0]
        pieces[size - 1]
        if target.suffix == ".onnx":
            with contextlib.suppress(ValueError, IndexError):  # lint reports a file that is not valid
                onnx_graph.parse(pieces)


class _Pieces:
    """An object's content for `core.onnx_graph`: a piece is transferred when it is looked at, and written into a file."""

    def __init__(self, store: Store, path: str, *, size: int, into: BinaryIO) -> None:
        self._store, self._path, self._size, self._into = store, path, size, into
        self._here: dict[int, bytes] = {}

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, place: int, /) -> int: ...
    @overload
    def __getitem__(self, place: slice, /) -> bytes: ...
    def __getitem__(self, place: int | slice, /) -> int | bytes:
        if isinstance(place, int):
            if not 0 <= place < self._size:
                raise IndexError(place)
            return self._piece(place // _PIECE)[place % _PIECE]
        start, end, _ = place.indices(self._size)
        if start >= end:
            return b""
        first, last = start // _PIECE, (end - 1) // _PIECE
        whole = b"".join(self._piece(number) for number in range(first, last + 1))
        return whole[start - first * _PIECE : end - first * _PIECE]

    def _piece(self, number: int) -> bytes:
        if number not in self._here:
            start = number * _PIECE
            content = self._store.read(self._path, start, min(start + _PIECE, self._size))
            self._here[number] = content
            self._into.seek(start)
            self._into.write(content)
        return self._here[number]
