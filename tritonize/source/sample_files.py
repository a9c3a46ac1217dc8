"""Read the user's sample files: an `.npz` file, or a folder with one `.npy` file per input."""

from __future__ import annotations

import glob
import math
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from tritonize.core import bounded_files, near_files, npy
from tritonize.core.arrays import Arrays
from tritonize.core.errors import UsageError
from tritonize.core.messages import files as files_wording
from tritonize.core.messages import samples as wording
from tritonize.process import processes

_SUFFIXES = (".npz", ".json", ".txt")
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
"""The exceptions of reading a file that is not `.npz` or `.npy`, is damaged, or has a password."""


def matches(pattern: str) -> list[str]:
    """The paths that match a pattern, sorted.

    Raises:
        UsageError: no path matches.
    """
    paths = sorted(glob.glob(pattern))  # noqa: PTH207 - the pattern may be absolute
    if not paths:
        instead = near_files.missing(pattern, suffixes=_SUFFIXES)
        raise UsageError.of(wording.NO_FILES, where=pattern, found=instead.found, meant=instead.meant)
    return paths


def read(path: str) -> Arrays:
    """Read the arrays of a file or folder, by name. Before any array is read, all headers are checked against the file's size.

    Raises:
        UsageError: the file cannot be read, a header states another size than the file has, or the arrays exceed the machine's
            memory.
    """
    try:
        if Path(path).is_dir():
            files = sorted(Path(path).glob("*.npy"))
            for file in files:
                npy.require_whole(file)
            _require_memory(path, sum(file.stat().st_size for file in files))
            names = _golden_names(Path(path))
            return {names.get(file.stem, file.stem): np.load(file, allow_pickle=False) for file in files}
        if not Path(path).is_file():
            raise OSError("it is not a regular file")
        with zipfile.ZipFile(path) as archive:
            _require_memory(path, sum(_unpacked_bytes(archive, entry) for entry in archive.infolist()))
        with np.load(path, allow_pickle=False) as loaded:
            return dict(loaded)
    except npy.PythonObjectsError as error:
        raise UsageError.of(wording.PICKLED_TEXT, where=path, found=str(error)) from error
    except _UNREADABLE as error:
        raise UsageError.of(files_wording.SAMPLE_FILE, where=path, found=str(error) or type(error).__name__) from error


def _golden_names(folder: Path) -> dict[str, str]:
    """Return the input names of a sample in a golden set (`golden/inputs/3`), whose files are named by position; else empty."""
    inputs = folder.absolute().parent
    facts = inputs.parent / "golden.json"
    if inputs.name != "inputs" or not facts.is_file():
        return {}
    return {str(position): str(tensor["name"]) for position, tensor in enumerate(bounded_files.json_of(facts)["inputs"])}


def _unpacked_bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Uncompressed bytes of a member.

    Raises:
        ValueError: its array header states another number.
    """
    with archive.open(entry) as member:
        (shape, dtype), start = npy.read(member)
    if entry.file_size != start + math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{entry.filename}: {entry.file_size:,} bytes do not hold {dtype} {list(shape)}")
    return entry.file_size


def _require_memory(path: str, nbytes: int) -> None:
    limit = processes.machine_memory()
    if nbytes > limit:
        raise UsageError.of(
            files_wording.SAMPLE_TOO_LARGE,
            where=path,
            expected=f"{limit / 2**30:.1f} GiB at most",
            found=f"{nbytes / 2**30:.1f} GiB",
        )
