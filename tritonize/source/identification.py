"""Identify a spec's source, a factory or a file of some kind, without loading it."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Literal

from tritonize.core import near_files
from tritonize.core.artifacts import Source
from tritonize.core.errors import UsageError
from tritonize.core.messages import security
from tritonize.core.messages import source as wording
from tritonize.source import in_process
from tritonize.spec import schema

_SUFFIXES = (".pt", ".pth", ".pt2", ".onnx", ".ts", ".jit", ".torchscript")
"""Suffixes of model files."""


def identify(model: schema.Model) -> Source:
    """Determine the kind of the source and the SHA-256 of its files, without loading it.

    Raises:
        UsageError: the file does not exist, or tritonize does not load files of its kind; the text names the kind.
    """
    if model.python:
        if missing := [path for path in model.python_files if not path.is_file()]:
            instead = near_files.missing(missing[0])
            raise UsageError.of(wording.NO_STEP_FILE, where=str(missing[0]), found=instead.found, meant=instead.meant)
        hashes = {path.name: _sha256(path) for path in model.python_files}
        return Source(kind="python", location=Path(model.python).name, sha256=hashes)
    if model.is_factory:
        _require_module_name(model)
        weights = model.state_dict.file if model.state_dict else None
        if weights and not weights.is_file():
            raise _no_weights(weights)
        files = {weights.name: _sha256(weights)} if weights else {}
        return Source(kind="factory", location=model.source, sha256=files)
    saved = in_process.model_file(model.source)
    if saved:
        return Source(kind="module", location=str(saved), sha256={saved.name: _sha256(saved)})
    path = Path(model.source)
    if not path.is_file():
        raise _no_file(path)
    return Source(kind=_kind(path), location=str(path), sha256={path.name: _sha256(path)})


def _require_module_name(model: schema.Model) -> None:
    """Refuse `net.py:factory` if there is a file net.py: a Python module is named without the suffix.

    Raises:
        UsageError: it states the correct form.
    """
    file = model.source.partition(":")[0]
    written = _as_factory(model.source)
    if written and any((folder / file).is_file() for folder in (Path(), *model.search_path)):
        expected = "package.module:factory, the module without .py"
        raise UsageError.of(wording.FACTORY_SUFFIX, where=model.source, expected=expected, written=written)


def _no_weights(path: Path) -> UsageError:
    """The error for weights that are not a file; it suggests files with a similar name."""
    instead = near_files.missing(path, suffixes=(path.suffix,) if path.suffix else ())
    if instead.meant:
        written = " or ".join(instead.meant.near)
        return UsageError.of(wording.DID_YOU_MEAN_WEIGHTS, where=str(path), meant=instead.meant, written=written)
    return UsageError.of(wording.NO_WEIGHTS_FILE, where=str(path), found="a directory" if path.is_dir() else instead.found)


def _no_file(path: Path) -> UsageError:
    """The error for a source that is not a file. It suggests files with a similar name, or a factory in the correct form."""
    expected = "a TorchScript file, a .pt2 or .onnx file, or package.module:factory"
    if path.is_dir():
        return UsageError.of(wording.NO_FILE, where=str(path), expected=expected, found="a directory")
    instead = near_files.missing(path, suffixes=_SUFFIXES)
    if meant := instead.meant:
        written = " or ".join(meant.near)
        return UsageError.of(wording.DID_YOU_MEAN_FILE, where=str(path), expected=expected, meant=meant, written=written)
    if factory := _as_factory(os.path.relpath(path) if path.is_absolute() else str(path)):
        return UsageError.of(wording.DID_YOU_MEAN_FACTORY, where=str(path), expected=expected, written=factory)
    return UsageError.of(wording.NO_FILE, where=str(path), expected=expected, found=instead.found)


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
    """Determine the kind of a model file without unpickling any of it, since other files are called `.pt` too.

    Raises:
        UsageError: tritonize does not load files of this kind.
    """
    if path.suffix == ".onnx":
        return "onnx"
    if not os.access(path, os.R_OK):
        raise UsageError.of(security.MODEL_UNREADABLE, where=str(path), found="permission denied")
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            start = file.read(2)
        if start[:1] == b"\x80":
            raise _not_torchscript(path, "a pickle, which can run any code when it is loaded; tritonize loads no pickles")
        if start == b"PK":
            raise _not_torchscript(path, "a truncated archive")
        raise _not_torchscript(path, "neither an archive nor a pickle" if start else "an empty file")
    with zipfile.ZipFile(path) as archive:
        names = {name.split("/", 1)[-1] for name in archive.namelist()}
        whole = min((item.header_offset for item in archive.infolist()), default=0) == 0
    if not whole:  # zipfile found an archive inside a larger archive that lacks its end
        raise _not_torchscript(path, "a truncated archive")
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return "torchscript"
    if "archive_format" in names and any(name.startswith("models/") for name in names):
        return "exported_program"
    if any("aotinductor/" in name for name in names):
        raise UsageError.of(wording.AOT_INDUCTOR, where=str(path))
    if "data.pkl" in names:
        raise _not_torchscript(path, "a pickle that torch.save wrote (a state dict or a whole module); tritonize loads no pickles")
    raise _not_torchscript(path, "another kind of archive")


def _not_torchscript(path: Path, found: str) -> UsageError:
    return UsageError.of(wording.NOT_TORCHSCRIPT, where=str(path), expected="TorchScript", found=found)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError.of(security.MODEL_UNREADABLE, where=str(path), found=error.strerror or str(error)) from error
