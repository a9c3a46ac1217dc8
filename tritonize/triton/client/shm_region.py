"""Regions of POSIX shared memory that tensors are handed to a server in."""

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
from tritonize.process import cleanup
from tritonize.triton.client import tensors
from tritonize.triton.client.grpc_messages import OutputTensor

_ALIGNMENT = 64
_MARK = "tritonize_region_"
"""In the name of every region, and of no file of a server."""


class Region:
    """A file in /dev/shm, mapped, with a name until a server has opened it; `close` unmaps it.

    Its memory is free when nobody maps it any more, whatever ends this process. A process that is killed before the server has
    opened it leaves the name; the file is locked until then, so that the next process knows when it is unused, and removes it.
    Python's own class starts a helper process, this one does not.

    Raises:
        ServerError: there is no room for it.
    """

    def __init__(self, prefix: str, size: int) -> None:
        self.name = f"{prefix}{_MARK}{uuid.uuid4().hex[:16]}"
        self.registered = secrets.token_hex(16)
        """What a server calls it: unlike the file's, a name that no other user sees, who could name it in a request too."""
        self.size = size
        """Bytes."""
        self._path = cleanup.SHARED_MEMORY / self.name
        self._held: int | None = None
        try:
            self._held = os.open(cleanup.SHARED_MEMORY, os.O_TMPFILE | os.O_RDWR, 0o600)
            os.posix_fallocate(self._held, 0, size)  # now, or a write would end the process later
            self.buffer = mmap.mmap(self._held, size)
            fcntl.flock(self._held, fcntl.LOCK_EX)
            os.link(f"/proc/self/fd/{self._held}", self._path, src_dir_fd=self._held)  # which makes it linkat, and follow the link
        except OSError as error:
            self.forget_name()
            if error.errno not in (errno.ENOSPC, errno.ENOMEM):
                raise
            raise errors.ServerError(
                "There is not enough shared memory for the tensors.",
                where=str(cleanup.SHARED_MEMORY),
                expected=f"{size / 2**20:,.0f} MiB",
                next_step="enlarge it (in a container: docker run --shm-size=4g), or use the transport grpc",
            ) from error

    def array(self) -> NDArray[np.uint8]:
        """All of it, writable; it stays mapped as long as the array or a view of it lives."""
        return np.frombuffer(self.buffer, np.uint8)

    @property
    def key(self) -> str:
        """What a server opens it by."""
        return f"/{self.name}"

    def forget_name(self) -> None:
        """Remove its name; a server that has opened it keeps it."""
        if self._held is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._held)
            self._held = None

    def close(self) -> None:
        """Unmap it; a server that still maps it keeps what it has."""
        self.forget_name()
        with contextlib.suppress(BufferError):  # an array over it still lives: it is unmapped with that
            self.buffer.close()


def remove_left() -> None:
    """Remove the names of regions that processes of this user left which were killed."""
    user = os.getuid()
    for path in cleanup.SHARED_MEMORY.glob(f"*{_MARK}*"):
        with contextlib.suppress(OSError):  # it went meanwhile, or somebody holds its lock
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
    """Aligned offsets for tensors of these sizes, and the bytes they take together; all in bytes."""
    offsets, end = {}, 0
    for name, size in sizes.items():
        offsets[name] = end
        end += -(-size // _ALIGNMENT) * _ALIGNMENT
    return Layout(offsets, max(end, _ALIGNMENT))


def spoil(part: NDArray[np.uint8]) -> None:
    """Make what a part of a region held before useless, so that an output that is not written cannot pass for written.

    Eight bytes at its start and on every page: all ones, which is NaN or -1. To fill it would take as long as to copy it.
    """
    part[:8] = 0xFF
    part[: part.size // 8 * 8].view(np.uint64)[:: mmap.PAGESIZE // 8] = np.iinfo(np.uint64).max


def take_out(output: OutputTensor, part: NDArray[np.uint8], where: str) -> Array:
    """An output that the server left in a part of a region: a view of it, or for text an array of `bytes`.

    Raises:
        InferenceError: what the answer says of it does not fit into the part.
    """
    shape = tuple(output.shape)
    dtype, count = tensors.element_type(output.name, output.datatype, where), tensors.size(output.name, shape, where)
    if dtype.name == "string":
        return tensors.text(output.name, part.tobytes(), count, where=where, exact=False).reshape(shape)
    if count * dtype.itemsize > part.size:
        raise tensors.unsound(where, f"output {output.name!r} of {dtype.client} {list(shape)} in {part.size:,} bytes")
    return part[: count * dtype.itemsize].view(arrays.numpy_dtype(dtype.name)).reshape(shape)
