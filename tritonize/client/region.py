"""Regions of POSIX shared memory that tensors are handed to a server in."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import uuid
from typing import Any

import numpy as np

from tritonize import arrays, dtypes, errors, leftovers
from tritonize.arrays import Array

_ALIGNMENT = 64


class Region:
    """A file in /dev/shm, mapped; `close` unmaps and removes it. Python's own class starts a helper process, this one does not.

    Raises:
        ServerError: there is no room for it.
    """

    def __init__(self, prefix: str, size: int) -> None:
        self.name = f"{prefix}{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self.size = size
        """Bytes."""
        path = leftovers.SHARED_MEMORY / self.name
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, size)  # now, or a write would end the process later
                self.buffer = mmap.mmap(descriptor, size)
            finally:
                os.close(descriptor)
        except OSError as error:
            path.unlink(missing_ok=True)
            if error.errno not in (errno.ENOSPC, errno.ENOMEM):
                raise
            raise errors.ServerError(
                "There is not enough shared memory for the tensors.",
                where=str(leftovers.SHARED_MEMORY),
                expected=f"{size / 2**20:,.0f} MiB",
                next_step="enlarge it (in a container: docker run --shm-size=4g), or use the transport grpc",
            ) from error

    @property
    def key(self) -> str:
        """What a server opens it by."""
        return f"/{self.name}"

    def close(self) -> None:
        """Remove it; a server that still maps it keeps what it has."""
        with contextlib.suppress(BufferError):  # an array over it still lives: it is unmapped with that
            self.buffer.close()
        (leftovers.SHARED_MEMORY / self.name).unlink(missing_ok=True)


def layout(sizes: dict[str, int]) -> tuple[dict[str, int], int]:
    """Aligned offsets for tensors of these sizes, and the bytes they take together; all in bytes."""
    offsets, end = {}, 0
    for name, size in sizes.items():
        offsets[name] = end
        end += -(-size // _ALIGNMENT) * _ALIGNMENT
    return offsets, max(end, _ALIGNMENT)


def raw_bytes(array: Array) -> Array:
    """The bytes a tensor is sent as: the array itself, or for text each element behind its length."""
    if array.dtype != object:
        return array.view(np.uint16) if array.dtype == arrays.BFLOAT16 else array
    parts = []
    for item in array.reshape(-1):
        data = item if isinstance(item, bytes) else str(item).encode()
        parts += [len(data).to_bytes(4, "little"), data]
    return np.frombuffer(b"".join(parts), np.uint8)


def copy_out(output: Any, region: Region, offset: int) -> Array:
    """An output that the server left in shared memory, as an array of its own."""
    shape = tuple(output.shape)
    if output.datatype != "BYTES":
        dtype = arrays.numpy_dtype(dtypes.by_client(output.datatype).name)
        return np.ndarray(shape, dtype, region.buffer, offset).copy()
    items, position = [], offset
    for _ in range(int(np.prod(shape, dtype=np.int64))):
        length = int.from_bytes(region.buffer[position : position + 4], "little")
        items.append(region.buffer[position + 4 : position + 4 + length])
        position += 4 + length
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array.reshape(shape)
