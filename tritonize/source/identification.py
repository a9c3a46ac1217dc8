"""What the source of a spec is: a factory, or a file of which kind; nothing is loaded."""

from __future__ import annotations

import difflib
import hashlib
import os
import zipfile
from pathlib import Path
from typing import Literal

from tritonize.core.artifacts import Source
from tritonize.core.errors import UsageError
from tritonize.core.messages import source as wording
from tritonize.source import in_process
from tritonize.spec import schema

_SUFFIXES = (".pt", ".pth", ".pt2", ".onnx", ".ts", ".jit", ".torchscript")
"""Of files of models."""


def identify(model: schema.Model) -> Source:
    """What the spec's source is; files are hashed, nothing is loaded.

    Raises:
        UsageError: there is no such file, or tritonize does not load that kind; the text says what it is instead.
    """
    if model.is_factory:
        _require_module(model)
        weights = model.state_dict.file if model.state_dict else None
        files = {weights.name: _sha256(weights)} if weights else {}
        return Source(kind="factory", location=model.source, sha256=files)
    handed = in_process.file(model.source)
    if handed:
        return Source(kind="module", location=str(handed), sha256={handed.name: _sha256(handed)})
    path = Path(model.source)
    if not path.is_file():
        raise _no_file(path)
    return Source(kind=_kind(path), location=str(path), sha256={path.name: _sha256(path)})


def _require_module(model: schema.Model) -> None:
    """Refuse `net.py:factory` beside a file net.py: a module is named without its suffix.

    Raises:
        UsageError: it says what to write.
    """
    file = model.source.partition(":")[0]
    written = _as_factory(model.source)
    if written and any((folder / file).is_file() for folder in (Path(), *model.search_path)):
        expected = "package.module:factory, the module without .py"
        raise UsageError.of(wording.FACTORY_SUFFIX, where=model.source, expected=expected, written=written)


def _no_file(path: Path) -> UsageError:
    """The error of a source that is no file, with what may be meant: a factory in another notation, or a file called nearly so."""
    expected = "a TorchScript file, a .pt2 or .onnx file, or package.module:factory"
    if path.is_dir():
        return UsageError.of(wording.NO_FILE, where=str(path), expected=expected, found="a directory")
    if near := _near(path):
        written = " or ".join(str(path.with_name(each)) for each in near)
        return UsageError.of(wording.DID_YOU_MEAN_FILE, where=str(path), expected=expected, near=", ".join(near), written=written)
    if factory := _as_factory(os.path.relpath(path) if path.is_absolute() else str(path)):
        return UsageError.of(wording.DID_YOU_MEAN_FACTORY, where=str(path), expected=expected, written=factory)
    return UsageError.of(wording.NO_FILE, where=str(path), expected=expected)


def _near(path: Path) -> list[str]:
    """Files of models beside a path whose names are nearly the same."""
    try:
        beside = [each.name for each in path.parent.iterdir() if each.suffix.lower() in _SUFFIXES and each.is_file()]
    except OSError:
        return []
    same = [each for each in beside if each.lower() == path.name.lower()]
    lowered = {each.lower(): each for each in beside}
    return same or [lowered[each] for each in difflib.get_close_matches(path.name.lower(), list(lowered), n=3, cutoff=0.75)]


def _as_factory(text: str) -> str | None:
    """`mypkg/resnet.py:resnet18` and `mypkg.resnet.resnet18` as `mypkg.resnet:resnet18`; `None` for anything else."""
    module, colon, attribute = text.rpartition(":")
    if colon and module.endswith(".py"):
        written = f"{'.'.join(Path(module).with_suffix('').parts)}:{attribute}"
    elif not colon and "." in (name := Path(text).name) and Path(name).suffix.lower() not in _SUFFIXES:
        written = ":".join(name.rsplit(".", 1))
    else:
        return None
    return written if schema.is_factory(written) else None


def _kind(path: Path) -> Literal["torchscript", "exported_program", "onnx"]:
    """Tell the files that can be loaded from everything else that is called `.pt`, without unpickling a byte of it."""
    if path.suffix == ".onnx":
        return "onnx"
    advice = (
        "save it with torch.jit.trace(model, example).save(path) or torch.jit.script(model).save(path); "
        "or name a factory, package.module:factory, with the state dict as weights"
    )
    if not os.access(path, os.R_OK):
        raise UsageError("A file of the model cannot be read.", where=str(path), found="permission denied")
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            start = file.read(2)
        if start[:1] == b"\x80":
            found = "a pickle, which may run any code when it is loaded and is never loaded"
        elif start == b"PK":
            found = "a truncated archive"
        else:
            found = "neither an archive nor a pickle" if start else "an empty file"
        raise UsageError("This is no TorchScript file.", where=str(path), expected="TorchScript", found=found, next_step=advice)
    with zipfile.ZipFile(path) as archive:
        names = {name.split("/", 1)[-1] for name in archive.namelist()}
        whole = min((item.header_offset for item in archive.infolist()), default=0) == 0
    if not whole:  # what was found is an archive inside one whose end is missing
        found = "a truncated archive"
        raise UsageError("This is no TorchScript file.", where=str(path), expected="TorchScript", found=found, next_step=advice)
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return "torchscript"
    if "archive_format" in names and any(name.startswith("models/") for name in names):
        return "exported_program"
    if any("aotinductor/" in name for name in names):
        raise UsageError.of(wording.AOT_INDUCTOR, where=str(path))
    if "data.pkl" in names:
        found = "a pickle written by torch.save (a state dict or a whole module); no pickle is ever loaded"
    else:
        found = "another kind of archive"
    raise UsageError("This is no TorchScript file.", where=str(path), expected="TorchScript", found=found, next_step=advice)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError("A file of the model cannot be read.", where=str(path), found=error.strerror) from error
