"""The inputs with which Triton warms a model up: files in `warmup/`, made from the samples or copied from the user.

Source: triton-inference-server/core, `GenerateWarmupData` in `backend_model_instance.cc`. A file has the raw bytes of one item; of
text, the length of each element in four bytes and its bytes. The server runs `batch_size` requests with that item as one batch, and
applies reshapes as for any request.
"""

from __future__ import annotations

import copy
import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # Any: fields of Triton's ModelConfig

from tritonize.core import arrays, dtypes, names, texts
from tritonize.core.arrays import Array
from tritonize.core.artifacts import SampleSet
from tritonize.core.errors import UsageError
from tritonize.core.messages import samples as sample_wording
from tritonize.core.messages import specification as wording
from tritonize.spec import schema
from tritonize.triton import inference, model_config
from tritonize.triton.protocol import ModelConfig

_SHAPES = 8
"""Combinations of shapes that are warmed up; each keeps the server from being ready for one request."""
_MOST_BYTES = 256 << 20
"""Inputs of the largest warmup batch; each instance reads them when it loads the model."""


@dataclass(frozen=True, kw_only=True)
class Warmup:
    """What a configuration says about warmup, and the files that it names."""

    samples: Sequence[Mapping[str, Any]]
    """Values of `model_warmup`."""
    files: Mapping[str, Path]
    """Path inside the model's directory to the file."""
    notes: tuple[str, ...] = ()


def of_samples(samples: SampleSet, model: schema.Model, config: ModelConfig, *, keep: schema.Evidence, folder: Path) -> Warmup:
    """Make the warmup from one sample of each shape: alone, and in a batch of `max_batch_size` as far as 256 MiB allow.

    Args:
        samples: the samples of the run.
        model: the model's part of the spec.
        config: its configuration, for the shapes in which the inputs are sent.
        keep: whether values of samples may be kept; otherwise the inputs are zeros.
        folder: an empty folder for the files.
    """
    own = bool(model.samples.patterns or model.samples.function)
    values = keep.samples == "all" or (keep.samples == "synthetic" and not own)
    files: dict[str, Path] = {}
    settings = []
    chosen = [members[0] for members in arrays.groups(samples)][:_SHAPES]
    for index in chosen:
        item = inference.as_served(arrays.load(samples.files, index), config, "input")
        inputs = {}
        for name, array in item.items():
            described = _described(array, batched=bool(model.max_batch_size))
            inputs[name] = {**described, **(_as_file(name, array, files, folder=folder) if values else {"zero_data": True})}
        settings += [
            {"name": f"sample {index}, batch {size}", "batch_size": size, "inputs": inputs} for size in _sizes(model, item)
        ]
    note = [sample_wording.WARMUP_REAL.text(count=len(chosen))] if own and values else []
    return Warmup(samples=settings, files=files, notes=tuple(note))


def _sizes(model: schema.Model, item: Mapping[str, Array]) -> list[int]:
    """The batch sizes: 1, and the largest one."""
    each = max(1, sum(len(_raw(array)) for array in item.values()))
    return sorted({1, min(max(1, model.max_batch_size), max(1, _MOST_BYTES // each))})


def _described(array: Array, *, batched: bool) -> dict[str, Any]:
    """Type and dims of an input; the dims are without the batch."""
    return {"data_type": dtypes.by_name(arrays.dtype_name(array)).triton, "dims": list(array.shape[batched:])}


def _as_file(name: str, array: Array, files: dict[str, Path], *, folder: Path) -> dict[str, str]:
    raw = _raw(array)
    file = f"{names.file_name(name)}.{hashlib.sha256(raw).hexdigest()[:12]}.bin"
    (folder / file).write_bytes(raw)
    files[f"{model_config.WARMUP}/{file}"] = folder / file
    return {"input_data_file": file}


def _raw(array: Array) -> bytes:
    """The bytes of an array as Triton reads them from a file."""
    if array.dtype.kind not in "OSU":
        return arrays.bits(array).tobytes()
    return b"".join(struct.pack("<I", len(each)) + each for each in texts.encoded(array).reshape(-1))


def own_files(model: schema.Model) -> dict[str, Path]:
    """Return the user's own files of the warmup: the name by which a configuration names each, and its path.

    Those of a folder are named as in it. A path that does not exist is returned too.
    """
    found: dict[str, Path] = {}
    for path in model.warmup_files:
        inside = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else []
        found |= {each.relative_to(path).as_posix(): each for each in inside} or {path.name: path}
    return found


class OwnFiles:
    """The user's own files of the warmup, each under its hash: a file never replaces that of an older version.

    Their own names, which may be those of patients, are not published.
    """

    def __init__(self, model: schema.Model) -> None:
        """Read and hash the files.

        Raises:
            UsageError: a file cannot be read.
        """
        self._paths = own_files(model)
        self._used: set[str] = set()
        self._renamed: dict[str, str] = {}
        for name, path in self._paths.items():
            try:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                reason = error.strerror or str(error)
                raise UsageError.of(wording.WARMUP_UNREADABLE, where=str(path), found=reason) from error
            self._renamed[name] = f"{digest[:12]}.bin"

    def renamed(self, section: Mapping[str, Any]) -> dict[str, Any]:
        """Return a section of the spec whose warmup names the files as they will be published.

        Raises:
            UsageError: it names a file that is not there.
        """
        changed = copy.deepcopy(dict(section))
        for entry in _file_entries(changed):
            self._require(entry["input_data_file"])
            entry["input_data_file"] = self._renamed[entry["input_data_file"]]
        return changed

    def published(self, config: ModelConfig | None) -> dict[str, Path]:
        """Return path inside the model's directory to file.

        Args:
            config: a configuration of the user's own, which is published as it is and names the files as they are.

        Raises:
            UsageError: no configuration names one of the files.
        """
        for entry in _file_entries(config or {}):
            self._require(entry["input_data_file"])
        if unused := sorted(set(self._paths) - self._used):
            where = ", ".join(str(self._paths[name]) for name in unused)
            raise UsageError.of(wording.WARMUP_UNUSED, where=where, found=", ".join(unused))
        names = {name: name for name in self._paths} if config is not None else self._renamed
        return {f"{model_config.WARMUP}/{names[name]}": path for name, path in self._paths.items()}

    def _require(self, name: str) -> None:
        if name not in self._paths:
            raise UsageError.of(wording.WARMUP_MISSING, found=name, expected=", ".join(self._paths) or "warmup_files")
        self._used.add(name)


def without_names(section: Mapping[str, Any], model: schema.Model) -> dict[str, Any]:
    """Return a section of the spec whose warmup has numbers in place of the names of the user's files."""
    changed, numbers = copy.deepcopy(dict(section)), {name: number for number, name in enumerate(own_files(model))}
    for entry in _file_entries(changed):
        entry["input_data_file"] = numbers.get(entry["input_data_file"], -1)
    return changed


def _file_entries(section: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the inputs of a section's warmup that name a file."""
    for sample in section.get("model_warmup", ()):
        for entry in sample.get("inputs", {}).values():
            if "input_data_file" in entry:
                yield entry
