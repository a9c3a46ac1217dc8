"""One repository of models that the server does not load, each for a reason of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from tests.support import server_models

_A = '{ name: "A" data_type: TYPE_FP32 dims: [ 3 ] }'
_B = '{ name: "B" data_type: TYPE_FP32 dims: [ 3 ] }'
_SUM = '{ name: "SUM" data_type: TYPE_FP32 dims: [ 3 ] }'
_DIFF = '{ name: "DIFF" data_type: TYPE_FP32 dims: [ 3 ] }'
_CPU = "instance_group [ { kind: KIND_CPU count: 1 } ]"


def _config(
    extra: str = "",
    *,
    a: str = _A,
    b: str = _B,
    difference: str = _DIFF,
    head: str = 'platform: "onnxruntime_onnx"',
    batch: int = 4,
    group: str = _CPU,
) -> str:
    inputs, outputs = ", ".join(filter(None, (a, b))), f"{_SUM}, {difference}"
    return f"{head}\nmax_batch_size: {batch}\ninput [ {inputs} ]\noutput [ {outputs} ]\n{group}\n{extra}\n"


def _group(fields: str) -> str:
    return f"instance_group [ {{ count: 1 {fields} }} ]"


def _control(values: str, extra: str = "") -> str:
    return (
        f"sequence_batching {{ control_input [ {{ name: 'A' control [ {{ kind: CONTROL_SEQUENCE_START {values} }} ] }} ] }} {extra}"
    )


def _warmup(fields: str) -> str:
    return f"model_warmup [ {{ name: 'w' batch_size: 1 inputs {{ key: 'A' value {{ data_type: TYPE_FP32 {fields} }} }} }} ]"


_TRUE = "fp32_false_true: [ 0, 1 ]"
CONFIGURATIONS = {
    "text_syntax": _config("dynamic_batching {"),
    "unknown_field": _config("max_batchsize: 4"),
    "unknown_enum": _config(a=_A.replace("TYPE_FP32", "TYPE_FLOAT32")),
    "unknown_platform": _config(head='platform: "onnx"'),
    "unknown_backend": _config(head='backend: "onnx_runtime"'),
    "other_name": _config(head='name: "another" platform: "onnxruntime_onnx"'),
    "negative_batch": _config(batch=-1),
    "preferred_too_large": _config("dynamic_batching { preferred_batch_size: [ 8 ] }"),
    "preferred_zero": _config("dynamic_batching { preferred_batch_size: [ 0 ] }"),
    "priority_levels": _config("dynamic_batching { priority_levels: 2 default_priority_level: 3 }"),
    "no_data_type": _config(a=_A.replace("data_type: TYPE_FP32", "")),
    "no_dims": _config(a=_A.replace("dims: [ 3 ]", "")),
    "dim_zero": _config(a=_A.replace("3 ]", "0 ]")),
    "reshape_size": _config(a=_A.replace("]", "] reshape { shape: [ 4 ] }")),
    "format": _config(a=_A.replace("]", "] format: FORMAT_NCHW")),
    "shape_tensor": _config(a=_A.replace("]", "] is_shape_tensor: true")),
    "version_policy": _config("version_policy { specific { versions: [ 7 ] } }"),
    "cpu_with_gpus": _config(group=_group("kind: KIND_CPU gpus: [ 0 ]")),
    "model_kind_with_gpus": _config(group=_group("kind: KIND_MODEL gpus: [ 0 ]")),
    "profile": _config(group=_group('kind: KIND_CPU profile: [ "0" ]')),
    "steps_without_ensemble": _config("ensemble_scheduling { step [ { model_name: 'x' model_version: -1 } ] }"),
    "batch_input": _config("batch_input [ { kind: BATCH_ELEMENT_COUNT data_type: TYPE_FP32 target_name: 'N' source_input: 'Z' } ]"),
    "batch_output": _config("batch_output [ { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: 'Z' source_input: 'A' } ]"),
    "control_without_values": _config(_control("")),
    "control_of_one_value": _config(_control("fp32_false_true: [ 1 ]")),
    "cache_of_sequences": _config(_control(_TRUE, "response_cache { enable: true }")),
    "warmup_file": _config(_warmup("dims: [ 3 ] input_data_file: 'missing'")),
    "input_missing": _config(b=""),
    "input_name": _config(b=_B.replace('"B"', '"C"')),
    "output_name": _config(difference=_DIFF.replace('"DIFF"', '"OTHER"')),
    "input_type": _config(b=_B.replace("FP32", "FP16")),
    "input_dims": _config(b=_B.replace("3 ]", "4 ]")),
    "no_batch": _config(batch=0),
    "parameter_number": _config('parameters { key: "intra_op_thread_count" value { string_value: "two" } }'),
    "file_name": _config('default_model_filename: "heart.onnx"'),
}
"""Configurations of a correct ONNX file with inputs A and B and outputs SUM and DIFF."""


def _step(model: str, inputs: str, outputs: str, version: int = -1) -> str:
    maps = "".join(f" input_map {{ key: '{k}' value: '{v}' }}" for k, v in (each.split("=") for each in inputs.split())) + "".join(
        f" output_map {{ key: '{k}' value: '{v}' }}" for k, v in (each.split("=") for each in outputs.split())
    )
    return f"{{ model_name: '{model}' model_version: {version}{maps} }}"


def _ensemble(*steps: str, extra: str = "", batch: int = 4) -> str:
    head = 'platform: "ensemble"'
    return _config(f"{extra} ensemble_scheduling {{ step [ {', '.join(steps)} ] }}", head=head, batch=batch, group="")


_WHOLE = ("A=A B=B", "SUM=SUM DIFF=DIFF")
ENSEMBLES = {
    "ensemble_of_nothing": _ensemble(),
    "ensemble_with_group": _ensemble(_step("good", *_WHOLE), extra=_CPU),
    "ensemble_of_missing": _ensemble(_step("nowhere", *_WHOLE)),
    "ensemble_of_broken": _ensemble(_step("input_type", *_WHOLE)),
    "ensemble_of_invalid": _ensemble(_step("negative_batch", *_WHOLE)),
    "ensemble_version": _ensemble(_step("good", *_WHOLE, version=9)),
    "ensemble_batch": _ensemble(_step("good", *_WHOLE), batch=8),
    "ensemble_input": _ensemble(_step("good", "A=A Z=B", _WHOLE[1])),
    "ensemble_unmapped": _ensemble(_step("good", "A=A", _WHOLE[1])),
    "ensemble_output": _ensemble(_step("good", _WHOLE[0], "SUM=SUM Z=DIFF")),
    "ensemble_unused_output": _ensemble(_step("good", _WHOLE[0], "SUM=SUM")),
    "ensemble_circle": _ensemble(_step("ensemble_circle", *_WHOLE)),
    "ensemble_dims": _ensemble(_step("wide", "X=A", "Y=SUM"), _step("wide", "X=B", "Y=DIFF")),
}

_CLASS = "import triton_python_backend_utils as utils\nclass TritonPythonModel:\n"
PYTHON = {
    "python_import": "import surely_not_installed\n" + _CLASS + "    def execute(self, requests):\n        return []\n",
    "python_relative": "from .other import thing\n",
    "python_syntax": "class TritonPythonModel(:\n",
    "python_class": "class Model:\n    pass\n",
    "python_raises": _CLASS
    + "    def initialize(self, args):\n        raise ValueError('no weights')\n    def execute(self, r):\n        pass\n",
    "python_file": _CLASS
    + "    def initialize(self, args):\n        open('/nowhere/weights.bin')\n    def execute(self, r):\n        pass\n",
    "python_exits": "import os\nos._exit(3)\n",
    "python_attribute": "import json\njson.nothing\n",
    "python_name": "from json import nothing\n",
    "python_argument": _CLASS + "    def initialize(self):\n        pass\n    def execute(self, r):\n        pass\n",
}


def _damage(change: Callable[[onnx.ModelProto], object]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        server_models.add_sub(path)
        model = onnx.load(path)
        change(model)
        path.write_bytes(model.SerializeToString())

    return write


def _external(model: onnx.ModelProto) -> None:
    tensor = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=[1, 3], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "model.onnx.data", "offset": "0", "length": "12"}.items():
        tensor.external_data.add(key=key, value=value)
    model.graph.initializer.append(tensor)
    model.graph.node[0].input[1] = "W"
    model.graph.node[1].input[1] = "B"


def _double(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Add", ["A", "B"], ["SUM"]))


FILES: dict[str, Callable[[Path], object]] = {
    "onnx_garbage": lambda path: path.write_bytes(b"this is no ONNX file"),
    "onnx_empty": lambda path: path.write_bytes(b""),
    "onnx_cut": lambda path: (server_models.add_sub(path), path.write_bytes(path.read_bytes()[:-20])),
    "onnx_pointer": lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"),
    "onnx_missing": lambda path: None,
    "onnx_ir": _damage(lambda model: setattr(model, "ir_version", 99)),
    "onnx_opset": _damage(lambda model: setattr(model.opset_import[0], "version", 99)),
    "onnx_operator": _damage(lambda model: setattr(model.graph.node[0], "op_type", "Addd")),
    "onnx_domain": _damage(lambda model: setattr(model.graph.node[0], "domain", "com.example")),
    "onnx_imported_domain": _damage(
        lambda model: (
            setattr(model.graph.node[0], "domain", "com.example"),
            model.opset_import.append(helper.make_opsetid("com.example", 1)),
        )
    ),
    "onnx_unconnected": _damage(lambda model: model.graph.node[0].input.__setitem__(1, "Z")),
    "onnx_twice": _damage(_double),
    "onnx_types": _damage(lambda model: setattr(model.graph.input[1].type.tensor_type, "elem_type", TensorProto.INT64)),
    "onnx_external": _damage(_external),
    "onnx_no_kernel": _damage(
        lambda model: [
            setattr(each.type.tensor_type, "elem_type", TensorProto.BFLOAT16) for each in (*model.graph.input, *model.graph.output)
        ]
    ),
}


def write(root: Path) -> None:
    """Write every model, and the correct ones that ensembles need."""
    for name, text in {"good": _config(), **CONFIGURATIONS}.items():
        server_models.add_sub(server_models.write(root, name, text))
    server_models.identity(server_models.write(root, "wide", server_models.identity_config("TYPE_FP16")), TensorProto.FLOAT16)
    for name, text in ENSEMBLES.items():
        server_models.write(root, name, text)
    for name, code in PYTHON.items():
        server_models.write(root, name, server_models.DOUBLING).with_name("model.py").write_text(code)
    for name, damage in FILES.items():
        damage(server_models.write(root, name, _config()))
    (root / "no_version").mkdir()
    (root / "no_version" / "config.pbtxt").write_text(_config())
    (root / "empty").mkdir()


CODES = {
    "batch_input": "batch-tensor-source",
    "batch_output": "batch-tensor-source",
    "cache_of_sequences": "response-cache-kind",
    "control_of_one_value": "sequence-control",
    "control_without_values": "sequence-control",
    "cpu_with_gpus": "gpus-of-other-kind",
    "dim_zero": "tensor-dimension",
    "empty": "config-missing",
    "ensemble_batch": "ensemble-batch-size",
    "ensemble_circle": "ensemble-circle",
    "ensemble_dims": "ensemble-types",
    "ensemble_input": "ensemble-map-unknown",
    "ensemble_of_broken": "ensemble-step-refused",
    "ensemble_of_invalid": "ensemble-step-missing",
    "ensemble_of_missing": "ensemble-step-missing",
    "ensemble_of_nothing": "ensemble-without-steps",
    "ensemble_output": "ensemble-map-unknown",
    "ensemble_unmapped": "ensemble-unused",
    "ensemble_unused_output": "ensemble-unused",
    "ensemble_version": "ensemble-step-version",
    "ensemble_with_group": "ensemble-field",
    "file_name": "onnx-file-missing",
    "format": "format",
    "input_dims": "tensor-shape",
    "input_missing": "onnx-tensor-names",
    "input_name": "onnx-tensor-names",
    "input_type": "tensor-type",
    "model_kind_with_gpus": "gpus-of-other-kind",
    "negative_batch": "batch-negative",
    "no_batch": "tensor-shape",
    "no_data_type": "tensor-field",
    "no_dims": "tensor-field",
    "no_version": "version-missing",
    "onnx_cut": "onnx-not-parsed",
    "onnx_domain": "onnx-custom-operator",
    "onnx_empty": "onnx-empty",
    "onnx_external": "onnx-weights-missing",
    "onnx_garbage": "onnx-not-parsed",
    "onnx_imported_domain": "onnx-custom-operator",
    "onnx_ir": "onnx-ir-version",
    "onnx_missing": "onnx-file-missing",
    "onnx_no_kernel": "onnx-no-kernel",
    "onnx_operator": "onnx-unknown-operator",
    "onnx_opset": "onnx-opset",
    "onnx_pointer": "onnx-not-parsed",
    "onnx_twice": "onnx-invalid-graph",
    "onnx_types": "onnx-invalid-graph",
    "onnx_unconnected": "onnx-invalid-graph",
    "other_name": "config-other-name",
    "output_name": "onnx-output-name",
    "parameter_number": "parameter-value",
    "preferred_too_large": "preferred-batch",
    "preferred_zero": "preferred-batch",
    "priority_levels": "priority-levels",
    "profile": "tensorrt-field",
    "python_argument": "python-arguments",
    "python_attribute": "python-attribute",
    "python_class": "python-no-class",
    "python_exits": "python-process-died",
    "python_file": "python-file-missing",
    "python_import": "python-module-missing",
    "python_name": "python-name-missing",
    "python_relative": "python-own-module",
    "python_syntax": "python-syntax",
    "reshape_size": "reshape",
    "shape_tensor": "tensorrt-field",
    "steps_without_ensemble": "steps-without-ensemble",
    "text_syntax": "config-syntax",
    "unknown_backend": "backend-missing",
    "unknown_enum": "config-unknown-value",
    "unknown_field": "config-unknown-field",
    "unknown_platform": "platform-unknown",
    "version_policy": "version-missing",
    "warmup_file": "warmup-file",
}
"""The row of `tritonize.triton.load_failures` that explains each model; the exception of python_raises is its own."""
