"""The users' sample files: an `.npz` file, or a folder with one `.npy` file per input."""

from __future__ import annotations

import glob
import math
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from tritonize.core import npy
from tritonize.core.arrays import Arrays
from tritonize.core.errors import UsageError
from tritonize.core.messages import files as say
from tritonize.core.messages import samples as wording
from tritonize.process import processes

_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,
    EOFError,
    zlib.error,
    struct.error,
    zipfile.BadZipFile,
)
"""What reading a file raises that is no `.npz` or `.npy`, is damaged, or has a password."""


def matches(pattern: str) -> list[str]:
    """The files of a pattern, sorted. Raises UsageError where there are none."""
    paths = sorted(glob.glob(pattern))  # noqa: PTH207 - the pattern may be absolute
    if not paths:
        raise UsageError(
            "No sample file matches.", where=pattern, next_step="correct samples.files in the spec, or write the files"
        )
    return paths


def read(path: str) -> Arrays:
    """The arrays of a file or folder, by name. Nothing is read before every head was held against its file.

    Raises:
        UsageError: it cannot be read, a head promises what is not there, or all is more than the machine's memory.
    """
    try:
        if Path(path).is_dir():
            files = sorted(Path(path).glob("*.npy"))
            for each in files:
                npy.require_whole(each)
            _require_memory(path, sum(each.stat().st_size for each in files))
            return {each.stem: np.load(each, allow_pickle=False) for each in files}
        if not Path(path).is_file():
            raise OSError("it is no regular file")
        with zipfile.ZipFile(path) as archive:
            _require_memory(path, sum(_unpacked(archive, entry) for entry in archive.infolist()))
        with np.load(path, allow_pickle=False) as loaded:
            return dict(loaded)
    except npy.PythonObjectsError as error:
        raise UsageError.of(wording.PICKLED_TEXT, where=path, found=str(error)) from error
    except _UNREADABLE as error:
        raise UsageError.of(say.SAMPLE_FILE, where=path, found=str(error) or type(error).__name__) from error


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Bytes of a member. Raises ValueError where they are not as many as its head says."""
    with archive.open(entry) as member:
        (shape, dtype), start = npy.read(member)
    if entry.file_size != start + math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{entry.filename}: {entry.file_size:,} bytes do not hold {dtype} {list(shape)}")
    return entry.file_size


def _require_memory(path: str, nbytes: int) -> None:
    most = processes.machine_memory()
    if nbytes > most:
        raise UsageError.of(
            say.SAMPLE_TOO_LARGE, where=path, expected=f"{most / 2**30:.1f} GiB at most", found=f"{nbytes / 2**30:.1f} GiB"
        )
