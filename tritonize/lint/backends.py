"""Rules about models of Triton's PyTorch and Python backends. No model file is executed or unpickled.

Source: pytorch_backend, `ValidateInputs` and `ValidateOutputs`; python_backend, `src/resources/triton_python_backend_utils.py`.
"""

from __future__ import annotations

import ast
import os
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tritonize.core import bounded_files
from tritonize.lint import files
from tritonize.lint.model import Model
from tritonize.lint.rule import Diagnostic, Rule

TORCH_OUTPUT = Rule(
    id="TR801",
    name="libtorch-output-name",
    severity="error",
    triton="refuses",
    what="An output of a TorchScript model is not called NAME__INDEX.",
    why="TorchScript has no names for outputs, so the PyTorch backend reads the position behind two underscores.",
    fix="call the outputs NAME__0, NAME__1 and so on",
    wrong='backend: "pytorch"\noutput [ { name: "mask" … } ]',
    right='backend: "pytorch"\noutput [ { name: "OUTPUT__0" … } ]',
)
TORCH_INPUT = Rule(
    id="TR802",
    name="libtorch-input-name",
    severity="warning",
    triton="depends",
    what="Only some inputs of a TorchScript model are called NAME__INDEX.",
    why="The PyTorch backend takes all inputs by the names of forward()'s arguments, or all by the position behind two "
    "underscores.",
    fix="call all inputs NAME__INDEX, or all like the arguments of forward()",
    wrong='backend: "pytorch"\ninput [ { name: "INPUT__0" … }, { name: "size" … } ]',
    right='backend: "pytorch"\ninput [ { name: "INPUT__0" … }, { name: "INPUT__1" … } ]',
)
TORCH_TYPE = Rule(
    id="TR803",
    name="libtorch-type",
    severity="error",
    triton="refuses",
    what="A tensor of a TorchScript model has a data type that the PyTorch backend does not take.",
    why="It takes BOOL, UINT8, INT8, INT16, INT32, INT64, FP16, FP32, FP64, BF16, and text for lists of strings.",
    fix="use a type that PyTorch has",
    wrong='backend: "pytorch"\ninput [ { … data_type: TYPE_UINT32 } ]',
    right='backend: "pytorch"\ninput [ { … data_type: TYPE_INT64 } ]',
)
TORCH_FILE = Rule(
    id="TR804",
    name="libtorch-file",
    severity="error",
    triton="refuses",
    what="The model file is not a TorchScript archive.",
    why="`torch.jit.save` writes a ZIP archive with code. A state dict (`torch.save(model.state_dict())`) has no code, and "
    "a pickled "
    "module needs Python; the PyTorch backend loads neither as a TorchScript model.",
    fix="save the model with `torch.jit.save`",
    wrong="torch.save(model.state_dict(), '1/model.pt')",
    right="torch.jit.save(torch.jit.script(model), '1/model.pt')",
)
TORCH_TENSORS = Rule(
    id="TR805",
    name="libtorch-without-tensors",
    severity="error",
    triton="refuses",
    what="The configuration of a TorchScript model has no inputs or no outputs.",
    why="A TorchScript file says neither names nor types nor shapes of its outputs, so the PyTorch backend completes nothing.",
    fix="write the inputs and outputs down",
    wrong='backend: "pytorch"\nmax_batch_size: 4',
    right='backend: "pytorch"\nmax_batch_size: 4\ninput [ { name: "INPUT__0" … } ]\noutput [ { name: "OUTPUT__0" … } ]',
)
PYTHON_CLASS = Rule(
    id="TR811",
    name="python-model-class",
    severity="error",
    triton="refuses",
    what="model.py defines no class TritonPythonModel with a method execute.",
    why="The Python backend makes one object of that class for each instance, and calls `execute` with a list of requests.",
    fix="define `class TritonPythonModel` with `def execute(self, requests)`",
    wrong="def predict(x): ...",
    right="class TritonPythonModel:\n    def execute(self, requests): ...",
)
PYTHON_SYNTAX = Rule(
    id="TR812",
    name="python-syntax",
    severity="warning",
    triton="depends",
    what="model.py is not valid Python for the version that lint runs on.",
    why="The Python backend imports it when it loads the model, with the Python of the server.",
    fix="correct the line, or check the file with the server's Python",
    wrong="class TritonPythonModel\n    def execute(self, requests): ...",
    right="class TritonPythonModel:\n    def execute(self, requests): ...",
)
PYTHON_ENVIRONMENT = Rule(
    id="TR813",
    name="python-environment-missing",
    severity="error",
    triton="depends",
    what="The execution environment of a Python model does not exist on this machine.",
    why="`EXECUTION_ENV_PATH` names an archive or a folder of conda-pack; `$$TRITON_MODEL_DIRECTORY` stands for the model's "
    "directory.",
    fix="put the archive into the model's directory",
    wrong='parameters { key: "EXECUTION_ENV_PATH" value { string_value: "$$TRITON_MODEL_DIRECTORY/env.tar.gz" } }   # no such file',
    right='parameters { key: "EXECUTION_ENV_PATH" value { string_value: "$$TRITON_MODEL_DIRECTORY/env.tar.gz" } }',
)
RULES = (TORCH_OUTPUT, TORCH_INPUT, TORCH_TYPE, TORCH_FILE, TORCH_TENSORS, PYTHON_CLASS, PYTHON_SYNTAX, PYTHON_ENVIRONMENT)
_INDEXED = re.compile(r".*__\d+")
_TORCH_TYPES = ["BOOL", "UINT8", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BF16", "STRING"]
_PYTHON_LIMIT = 4 * 2**20
_DIRECTORY_LIMIT = 16 * 2**20
"""Bytes of the list of members up to which an archive is judged."""
_END = b"PK\x05\x06"
_END_BYTES = 22
_LONGEST_COMMENT = 2**16


def torch_script(model: Model) -> Iterator[Diagnostic]:
    """Check the tensors of a TorchScript model, and that its file is an archive with code."""
    if model.completed.platform != "pytorch_libtorch":
        return
    config = model.config
    if model.text is not None and not (config.input and config.output):
        found = " and ".join(f"no {field}s" for field in ("input", "output") if not getattr(config, field))
        yield model.at(TORCH_TENSORS, found=found)
    indexed = [bool(_INDEXED.fullmatch(each.name)) for each in config.input]
    for index, each in enumerate(config.input):
        if any(indexed) and not indexed[index]:
            yield model.at(TORCH_INPUT, "input", index, "name", found=f"input {each.name!r}")
    for index, each in enumerate(config.output):
        if not _INDEXED.fullmatch(each.name):
            yield model.at(TORCH_OUTPUT, "output", index, "name", found=f"output {each.name!r}", expected="such as OUTPUT__0")
    for field in ("input", "output"):
        for index, each in enumerate(getattr(config, field)):
            types = each.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
            name = types[each.data_type].name if each.data_type in types else str(each.data_type)
            if each.data_type and name.removeprefix("TYPE_") not in _TORCH_TYPES:
                yield model.at(TORCH_TYPE, field, index, "data_type", found=f"{field} {each.name!r}: {name}")
    for version, path in model.files():
        if model.may_read(path) and files.is_file(path) and (problem := _not_script(path)):
            yield model.of(TORCH_FILE, f"{version}/{path.name}", found=problem)


def _not_script(path: Path) -> str | None:
    """Why a file is not a TorchScript archive, by its directory of members alone."""
    try:
        with bounded_files.opened(path) as file:
            if _directory_bytes(file) > _DIRECTORY_LIMIT:
                return None  # not judged
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return "not a ZIP archive"
    if any("/code/" in name or name.startswith("code/") for name in names):
        return None
    return (
        "an archive without code, such as a state dict" if any(name.endswith("data.pkl") for name in names) else "another archive"
    )


def _directory_bytes(file: IO[bytes]) -> int:
    """The size of the list of members that an archive names at its end; 0 without one."""
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - _END_BYTES - _LONGEST_COMMENT))
    tail = file.read()
    at = tail.rfind(_END)
    return int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0


def python(model: Model) -> Iterator[Diagnostic]:
    """Check the code of a Python model by its syntax tree, without importing it."""
    if model.completed.backend != "python" or model.completed.platform == "ensemble":
        return
    for version, path in model.files():
        name = f"{version}/{path.name}"
        if not model.may_read(path) or not files.is_file(path):
            continue
        try:
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(bounded_files.content(path, limit=_PYTHON_LIMIT))
        except SyntaxError as error:
            yield model.of(PYTHON_SYNTAX, name, found=error.msg, line=error.lineno)
        except (OSError, ValueError, RecursionError, MemoryError) as error:
            yield model.of(PYTHON_SYNTAX, name, found=str(error) or type(error).__name__)
        else:
            if problem := _no_model(tree):
                yield model.of(PYTHON_CLASS, name, found=problem)
    if model.config is not None:
        yield from _environment(model)


def _no_model(tree: ast.Module) -> str | None:
    """What a module lacks of a model; `None` if it may have all, as when the class is imported or inherits its methods."""
    names = {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == "TritonPythonModel"]
    assigned = any(isinstance(node, ast.Name) and node.id == "TritonPythonModel" for node in ast.walk(tree))
    if not classes:
        return None if assigned or names & {"TritonPythonModel", "*"} else "no class TritonPythonModel"
    methods = {each.name for node in classes for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    return None if "execute" in methods or any(node.bases for node in classes) else "TritonPythonModel has no method execute"


def _environment(model: Model) -> Iterator[Diagnostic]:
    value = model.config.parameters["EXECUTION_ENV_PATH"].string_value if "EXECUTION_ENV_PATH" in model.config.parameters else ""
    path = value.replace("$$TRITON_MODEL_DIRECTORY", str(model.directory), 1)
    if value and not files.exists(Path(path)):
        entry = model.places.entry(("parameters",), "EXECUTION_ENV_PATH")
        place = ("parameters",) if entry is None else ("parameters", entry)
        yield model.at(PYTHON_ENVIRONMENT, *place, found=f"there is no {value!r}")
