"""Rules about versions and model files: which the version policy selects, and what Triton completes from them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tritonize.lint.files import exists, is_directory
from tritonize.lint.model import Model
from tritonize.lint.rule import Diagnostic, Rule, Verdict
from tritonize.lint.tensors import COMPLETING_TENSORS
from tritonize.repository.unconfigured import FILES

FILE_MISSING = Rule(
    id="TR107",
    name="model-file-missing",
    severity="error",
    triton="refuses",
    what="A version that Triton would load has no model file.",
    why="The backend loads `default_model_filename`, or its own default, from the version's directory.",
    fix="add the file, or name it in `default_model_filename`",
    wrong='default_model_filename: "network.onnx"   # there is 1/model.onnx',
    right='default_model_filename: "model.onnx"',
)
NO_SERVED_VERSION = Rule(
    id="TR108",
    name="policy-selects-nothing",
    severity="error",
    triton="refuses",
    what="The version policy selects none of the versions.",
    why="At least one version has to be available under the policy (core, `AsyncLoad` in `model_lifecycle.cc`).",
    fix="name a version that exists",
    wrong="version_policy { specific { versions: [ 3 ] } }   # there is 1/",
    right="version_policy { specific { versions: [ 1 ] } }",
)
VERSION_MISSING = Rule(
    id="TR109",
    name="policy-names-missing-version",
    severity="warning",
    triton="accepts",
    what="The version policy names a version that does not exist.",
    why="Triton writes an error to its log and serves the other versions.",
    fix="remove the number, or add the version",
    wrong="version_policy { specific { versions: [ 1, 3 ] } }   # there is 1/",
    right="version_policy { specific { versions: [ 1 ] } }",
)
INCOMPLETE = Rule(
    id="TR111",
    name="incomplete",
    severity="info",
    triton="completes",
    what="The configuration leaves out inputs, outputs, or parts of them, which Triton completes.",
    why="Backends for ONNX, TensorRT and Python fill in tensors that the configuration leaves out, the latter two also "
    "types and dims. With "
    "`--disable-auto-complete-config` a model without its inputs is refused.",
    fix="write the tensors down; `tritonize config MODEL` prints them",
    wrong='backend: "onnxruntime"\nmax_batch_size: 4',
    right='backend: "onnxruntime"\nmax_batch_size: 4\ninput [ { name: "X" data_type: TYPE_FP32 dims: [ 3 ] } ]\n'
    'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 3 ] } ]',
)
FILE_OUTSIDE = Rule(
    id="TR112",
    name="model-file-outside",
    severity="warning",
    triton="depends",
    what="`default_model_filename` leads out of the version's directory.",
    why="Versions then share a file, so that a new version changes the old one.",
    fix="name a file inside the version's directory",
    wrong='default_model_filename: "../model.onnx"',
    right='default_model_filename: "model.onnx"',
)
RULES = (FILE_MISSING, NO_SERVED_VERSION, VERSION_MISSING, INCOMPLETE, FILE_OUTSIDE)
_COMPLETING = ("onnxruntime", "tensorrt", "python", "openvino")


def versions(model: Model) -> Iterator[Diagnostic]:
    """Check the version policy against the versions."""
    policy = model.config.version_policy if model.config is not None else None
    if not model.versions:
        return  # `layout` reports it
    present = ", ".join(map(str, model.versions))
    if not model.served:
        yield model.at(NO_SERVED_VERSION, "version_policy", found=_policy(policy), expected=f"one of {present}")
    elif policy is not None and policy.HasField("specific"):
        for index, number in enumerate(policy.specific.versions):
            if number not in model.versions:
                path = ("version_policy", "specific", "versions", index)
                yield model.at(VERSION_MISSING, *path, found=str(number), expected=f"one of {present}")


def _policy(policy: object) -> str:
    return re.sub(r"\s+", " ", str(policy)).strip() or "no version policy"


def files(model: Model) -> Iterator[Diagnostic]:
    """Check that every served version has its model file."""
    completed = model.completed
    if (
        completed.platform == "ensemble" or completed.backend not in FILES or completed.backend == "tensorrt"
    ):  # `plan_files` has the rule for plans
        return
    name = completed.filename
    if Path(name).is_absolute() or ".." in Path(name).parts:
        yield model.at(FILE_OUTSIDE, "default_model_filename", found=repr(name))
    for version, path in model.files():
        if model.may_read(path) and not _is_there(path, completed.backend):
            yield model.of(FILE_MISSING, str(version), found=f"no file {name}", expected=f"{version}/{name}")


def _is_there(path: Path, backend: str) -> bool:
    inner = path / "model.onnx" if backend == "onnxruntime" and is_directory(path) else path
    return exists(inner)


def completeness(model: Model) -> Iterator[Diagnostic]:
    """Report tensors that Triton would have to complete."""
    config = model.config
    if model.text is None or model.completed.backend not in _COMPLETING or config.HasField("ensemble_scheduling"):
        return
    inputs = len(config.input) + len(config.batch_input)
    if not inputs or not config.output:
        missing = " and ".join(name for name, count in (("inputs", inputs), ("outputs", len(config.output))) if not count)
        known = model.completed.backend in ("onnxruntime", "tensorrt")
        verdict: Verdict | None = None if known and not inputs else "accepts"
        yield model.at(INCOMPLETE, found=f"no {missing}", triton=verdict)
    for field in ("input", "output") if model.completed.backend in COMPLETING_TENSORS else ():
        for index, each in enumerate(getattr(config, field)):
            lacking = [name for name in ("data_type", "dims") if not getattr(each, name)]
            if each.name and lacking:
                yield model.at(INCOMPLETE, field, index, found=f"{field} {each.name!r} has no {' and no '.join(lacking)}")
