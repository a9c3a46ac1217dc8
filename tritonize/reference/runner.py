"""The PyTorch model and what it answers: the reference that everything later is compared with."""

from __future__ import annotations

import difflib
import hashlib
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tritonize.core.artifacts import Reference, SampleSet, Source, TensorFiles, from_json, to_json
from tritonize.core.errors import ExportError, UsageError, WorkerError
from tritonize.core.messages import source as wording
from tritonize.process import workers
from tritonize.source import in_process
from tritonize.spec import schema

_SUFFIXES = (".pt", ".pth", ".pt2", ".onnx", ".ts", ".jit", ".torchscript")
"""Of files of models."""


@dataclass(frozen=True, kw_only=True)
class Computed:
    """A reference, and PyTorch's own answers to some batches of the same samples."""

    reference: Reference
    batched: TensorFiles
    library_seconds: float = 0.0
    peak_memory: int = 0
    """Bytes."""
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Edge case to why the model has no answer to it; its files are left out of the outputs."""
    exact: Recomputed | None = None
    """The answers in float64, or why there are none; `None` where they were not tried."""
    variants: tuple[Variant, ...] = ()
    """What the model answers in another state, such as that in which it was loaded."""
    changed: tuple[str, ...] = ()
    """Attributes of Python's that were others after the answers than before, with what they held."""
    traced: bool = False
    """Whether it is a traced file, which has no branches of Python's left."""
    apart: TensorFiles | None = None
    """The answers to the samples asked apart, in their order, of those that it answers."""
    unasked: Mapping[str, str] = field(default_factory=dict)
    """Of the samples asked apart: name to why the model has no answer to it."""
    unpadded: str = ""
    """Why a sample beside zeros is not answered as alone; empty where it is."""
    moved: tuple[Mapping[str, float], ...] = ()
    """By sample, output to how far its answer moves where the weights are rounded otherwise; of small models alone."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Answers of the model in another state than that of the reference; see `workers.untouched.Variant`."""

    cause: Literal["training", "evaluation", "attention", "compiled"]
    parts: tuple[str, ...]
    outputs: TensorFiles | None
    """To the first samples, or to all of them."""
    why_not: str = ""


@dataclass(frozen=True, kw_only=True)
class Recomputed:
    """PyTorch's answers in another precision, or why there are none."""

    outputs: TensorFiles | None
    """Without those that the model does not answer in that precision."""
    reason: str = ""
    """Why there are none."""
    without: Mapping[str, str] = field(default_factory=dict)
    """The outputs that are missing, with the reason."""
    library_seconds: float = 0.0
    peak_memory: int = 0
    """Bytes."""


def identify(model: schema.Model) -> Source:
    """What the spec's source is; files are hashed, nothing is loaded.

    Raises:
        UsageError: there is no such file, or it is none that tritonize loads; the text says what it is instead.
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


def load_request(model: schema.Model, source: Source) -> dict[str, object]:
    """The part of a worker's request that says how to load the model (`workers.torch_source.LoadRequest`)."""
    return {
        "kind": source.kind,
        "location": source.location,
        "kwargs": model.kwargs,
        "weights": str(model.state_dict.file) if model.state_dict else None,
        "weights_key": model.state_dict.key if model.state_dict else "",
        "weights_prefix": model.state_dict.prefix if model.state_dict else "",
        "operators": [str(path) for path in model.operators],
        "inputs": list(model.inputs),
        "outputs": list(model.outputs),
        "training": model.training,
        "fast_path": model.reference == "fast_path",
    }


def compute(
    model: schema.Model,
    source: Source,
    samples: SampleSet,
    *,
    batches: Sequence[tuple[int, ...]],
    directory: Path,
    float64: bool = False,
    apart: SampleSet | None = None,
) -> Computed:
    """Run the model in a worker on every sample alone, and on `batches` of them; a small one in float64 too, where that is asked.

    Args:
        apart: further samples with names (`edges`), each asked alone; that the model fails on one is an answer and no error.

    Raises:
        UsageError, ExportError: the model cannot be loaded or run as described; see the text.
    """
    request = {
        "model": load_request(model, source),
        "samples": to_json(samples),
        "batches": [list(batch) for batch in batches],
        "directory": str(directory),
        "float64": float64,
        "apart": apart and to_json(apart),
        "tolerances": {name: [output.tolerance.rtol, output.tolerance.atol] for name, output in model.outputs.items()},
    }
    directory.mkdir(parents=True, exist_ok=True)
    try:
        answer = workers.run_named(
            "reference.worker.runner.compute",
            request,
            directory=directory,
            deadline_s=model.deadline_s,
            memory_bytes=model.memory_bytes,
            search_path=[path.resolve() for path in model.search_path],
        )
    except WorkerError as error:
        raise died(error, "while PyTorch loaded and ran the model", source) from error
    return _computed(source, answer)


def _computed(source: Source, answer: workers.WorkerAnswer[dict[str, Any]]) -> Computed:
    """The worker's answer, typed."""
    outputs = from_json(TensorFiles, answer.value["outputs"])
    return Computed(
        reference=Reference(
            source=replace(source, sha256={**source.sha256, **answer.value["code"]}),
            outputs=outputs,
            parameters=answer.value["parameters"],
            state=answer.value["state"],
            renamed=answer.value["renamed"],
        ),
        batched=from_json(TensorFiles, answer.value["batched"]),
        library_seconds=answer.value["library_seconds"] + answer.import_seconds,
        peak_memory=answer.peak_memory,
        unusable=answer.value["unusable"],
        apart=answer.value["apart"] and from_json(TensorFiles, answer.value["apart"]),
        unasked=answer.value["unasked"],
        unpadded=answer.value["unpadded"],
        exact=_exact(answer.value),
        variants=tuple(from_json(Variant, each) for each in answer.value["variants"]),
        changed=tuple(answer.value["changed"]),
        traced=answer.value["traced"],
        moved=tuple(answer.value["moved"]),
    )


def _exact(value: Mapping[str, Any]) -> Recomputed | None:
    if value["exact"] is None and not value["why_not"]:
        return None
    outputs = value["exact"] and from_json(TensorFiles, value["exact"])
    return Recomputed(outputs=outputs, reason=value["why_not"], without=value["without"])


def recompute(
    model: schema.Model, answered: Reference, samples: SampleSet, *, dtype: Literal["fp64", "fp16", "bf16"], directory: Path
) -> Recomputed:
    """Run the model in a worker on every sample again, weights and inputs in another precision, within the bounds of `quality`.

    That it cannot, for want of time or memory or since it keeps to float32 inside, is an answer and no error.
    """
    request = {
        "model": load_request(model, answered.source),
        "samples": to_json(samples),
        "expected": to_json(answered.outputs),
        "dtype": dtype,
        "directory": str(directory),
    }
    directory.mkdir(parents=True, exist_ok=True)
    memory = model.quality.float64_memory_mib
    try:
        answer = workers.run_named(
            "reference.worker.recompute.recompute",
            request,
            directory=directory,
            deadline_s=model.quality.float64_deadline_s,
            memory_bytes=memory << 20 if memory else model.memory_bytes,
            search_path=[path.resolve() for path in model.search_path],
        )
    except (WorkerError, ExportError, UsageError) as error:
        return Recomputed(outputs=None, reason=f"{error.what} {error.found}" if error.found else error.what)
    return Recomputed(
        outputs=from_json(TensorFiles, answer.value["outputs"]),
        without=answer.value["without"],
        library_seconds=answer.value["library_seconds"] + answer.import_seconds,
        peak_memory=answer.peak_memory,
    )


def died(error: WorkerError, when: str, source: Source) -> ExportError:
    """The error of a worker that ran the user's model and gave no answer."""
    return ExportError(
        f"The model's process ended {when}.",
        where=source.location,
        found=error.what,
        cause="the model's own code exits, hangs, crashes or needs more memory than there is",
        next_step="raise deadline_s or memory_mib in the spec if that is all it lacks",
        details=error.details,
    )
