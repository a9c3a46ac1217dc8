"""Regions of POSIX shared memory that a client and a server exchange tensors through."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import secrets
import uuid
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tritonize.core import arrays, errors
from tritonize.core.arrays import Array
from tritonize.core.messages import client as messages
from tritonize.process import cleanup
from tritonize.triton.client import tensors
from tritonize.triton.client.grpc_messages import OutputTensor

_ALIGNMENT = 64
_MARK = "tritonize_region_"
"""Part of the name of every region; no file that a server creates has it."""


class Region:
    """A mapped file in /dev/shm that has a name only until a server has opened it; `close` unmaps it.

    The kernel frees its memory when no process maps it any more, however this process ends. A process that is killed before
    the server has opened the region leaves the name behind. The file is locked until then, so the next process can tell that
    it is unused, and removes it. `multiprocessing.shared_memory` would start a helper process; this class does not.

    Raises:
        ServerError: /dev/shm has too little space for it.
    """

    def __init__(self, prefix: str, size: int) -> None:
        self.name = f"{prefix}{_MARK}{uuid.uuid4().hex[:16]}"
        self.registered = secrets.token_hex(16)
        """Its name at the server. Random and, unlike the file name, invisible to other users, who could name it in requests."""
        self.size = size
        """Bytes."""
        self._path = cleanup.SHARED_MEMORY / self.name
        self._held: int | None = None
        try:
            self._held = os.open(cleanup.SHARED_MEMORY, os.O_TMPFILE | os.O_RDWR, 0o600)
            os.posix_fallocate(self._held, 0, size)  # without this, a later write into a full /dev/shm raises SIGBUS
            self.buffer = mmap.mmap(self._held, size)
            fcntl.flock(self._held, fcntl.LOCK_EX)
            # With src_dir_fd, Python calls linkat and follows the link in /proc.
            os.link(f"/proc/self/fd/{self._held}", self._path, src_dir_fd=self._held)
        except OSError as error:
            self.unlink()
            if error.errno not in (errno.ENOSPC, errno.ENOMEM):
                raise
            needed = f"{size / 2**20:,.0f} MiB"
            raise errors.ServerError.of(messages.SHARED_MEMORY_FULL, where=str(cleanup.SHARED_MEMORY), expected=needed) from error

    def array(self) -> NDArray[np.uint8]:
        """All bytes of the region, writable; it stays mapped as long as the array or a view of it lives."""
        return np.frombuffer(self.buffer, np.uint8)

    @property
    def key(self) -> str:
        """The key that a server opens it by."""
        return f"/{self.name}"

    def unlink(self) -> None:
        """Remove its file name; a server that has opened it keeps its mapping."""
        if self._held is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._held)
            self._held = None

    def close(self) -> None:
        """Unmap it here; a server's mapping stays."""
        self.unlink()
        with contextlib.suppress(BufferError):  # an array still refers to it: the region is unmapped with that array
            self.buffer.close()


def remove_stale() -> None:
    """Remove the names of regions that killed processes of this user left behind."""
    user = os.getuid()
    for path in cleanup.SHARED_MEMORY.glob(f"*{_MARK}*"):
        with contextlib.suppress(OSError):  # it was removed meanwhile, or a process holds its lock
            if path.lstat().st_uid != user:
                continue
            held = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
            finally:
                os.close(held)


class Layout(NamedTuple):
    """Offsets of tensors in a region, and its size; all in bytes."""

    offsets: dict[str, int]
    size: int


def layout(sizes: dict[str, int]) -> Layout:
    """Aligned offset of each tensor, and the total size of the region; all in bytes."""
    offsets, end = {}, 0
    for name, size in sizes.items():
        offsets[name] = end
        end += -(-size // _ALIGNMENT) * _ALIGNMENT
    return Layout(offsets, max(end, _ALIGNMENT))


def poison(part: NDArray[np.uint8]) -> None:
    """Overwrite earlier contents, so that an output that the server does not write is not taken for a valid one.

    Only the first eight bytes of the part and of every page are set, to all ones (NaN or -1): filling everything would take as
    long as a copy.
    """
    part[:8] = 0xFF
    part[: part.size // 8 * 8].view(np.uint64)[:: mmap.PAGESIZE // 8] = np.iinfo(np.uint64).max


def read_output(output: OutputTensor, part: NDArray[np.uint8], where: str) -> Array:
    """An output that the server wrote into a part of a region: a view of it, or for text an array of `bytes`.

    Raises:
        InferenceError: its datatype and shape in the response need more bytes than the part has.
    """
    shape = tuple(output.shape)
    dtype, count = tensors.element_type(output.name, output.datatype, where), tensors.size(output.name, shape, where)
    if dtype.name == "string":
        return tensors.text(output.name, part.tobytes(), count, where=where, exact=False).reshape(shape)
    if count * dtype.itemsize > part.size:
        raise tensors.invalid_response(where, f"output {output.name!r} of {dtype.client} {list(shape)} in {part.size:,} bytes")
    return part[: count * dtype.itemsize].view(arrays.numpy_dtype(dtype.name)).reshape(shape)
