"""What stock Triton's ONNX Runtime backend refuses when a model is loaded, and what tritonize's refuses, row by row.

Stock's side was read in these sources: `onnxruntime_backend` 00fd3e8 (src/onnxruntime.cc and src/onnxruntime_utils.cc), `backend`
3f57fb9 (src/backend_common.cc, src/backend_model.cc, src/backend_model_instance.cc) and, for what Triton itself refuses before any
backend is called, `core` 73aad7c (src/model_config_utils.cc).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support import server_models

INPUTS = "ModelInstanceState::ValidateInputs"
OUTPUTS = "ModelInstanceState::ValidateOutputs"
DIMS = "CompareDimsSupported"
BOOLEAN = "ModelInstanceState::ValidateBooleanSequenceControl"
TYPED = "ModelInstanceState::ValidateTypedSequenceControl"
LOAD = "ModelState::LoadModel"
STATE = "ModelState::ModelState"
CORE_IO = "core ValidateIOShape"
CORE_BATCH = "core ValidateBatchIO"
CORE_BOOLEAN = "core GetBooleanSequenceControlProperties"
CORE_TYPED = "core GetTypedSequenceControlProperties"
CORE_GROUP = "core ValidateInstanceGroup"

IMPOSSIBLE = {
    "ModelState::AutoCompleteMaxBatch": "the embedded server never completes a configuration; tests/support/sanitize plays it",
    "BackendModel::BackendModel: the repository is no folder": "the embedded server's repository is a folder",
    "BackendModelInstance: unexpected instance kind": "core refuses every kind but CPU, GPU and MODEL before",
    "ModelState::LoadModel: CUDA and TensorRT settings": "stock reads them for instances on a GPU alone, which ours refuses",
    f"{INPUTS}: unsupported datatype": "core refuses a tensor without a type, and every other type is supported",
}
"""What stock refuses and no model can show here, with the reason."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model with its configuration, and both verdicts."""

    stock: str
    """The function of stock that refuses it, and why; of a model that stock loads: what it does with it."""
    refuses: bool = True
    """Whether stock refuses it."""
    ours: str
    """What our refusal says, the field included; empty where ours loads it."""
    config: str
    model: Callable[[Path], object] = server_models.add_sub
    why: str = ""
    """The reason of a difference."""


def _save(
    inputs: dict[str, tuple[int, list[int | str]]], outputs: dict[str, str], **constants: np.ndarray
) -> Callable[[Path], object]:
    """A model whose outputs are copies of inputs or constants, by name, and which uses every input."""
    types = {
        **inputs,
        **{name: (helper.np_dtype_to_tensor_dtype(each.dtype), list(each.shape)) for name, each in constants.items()},
    }

    def write(path: Path) -> object:
        return server_models.save(
            path,
            [helper.make_node("Identity", [source], [name]) for name, source in outputs.items()],
            [(name, *described) for name, described in inputs.items()],
            [(name, *types[source]) for name, source in outputs.items()],
            constants,
        )

    return write


FLOAT, INT32 = TensorProto.FLOAT, TensorProto.INT32
ROWS3: list[int | str] = ["batch", 3]


def _sequence_of_tensors(path: Path) -> object:
    nodes = [helper.make_node("SequenceConstruct", ["A"], ["SUM"])]
    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("A", FLOAT, ROWS3)],
        [helper.make_tensor_sequence_value_info("SUM", FLOAT, ROWS3)],
    )
    return _write(path, made)


def _float8(path: Path) -> object:
    """SUM = A as floats; ONNX has no copy of float8 and Triton no float8."""
    made = helper.make_graph(
        [helper.make_node("DequantizeLinear", ["A", "ONE"], ["SUM"])],
        "graph",
        [helper.make_tensor_value_info("A", TensorProto.FLOAT8E4M3FN, ROWS3)],
        [helper.make_tensor_value_info("SUM", FLOAT, ROWS3)],
        [numpy_helper.from_array(np.float32(1), "ONE")],
    )
    return _write(path, made)


def _write(path: Path, graph: onnx.GraphProto) -> object:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    return path.write_bytes(model.SerializeToString())


def _tensor(name: str, dims: str, *, kind: str = "FP32", extra: str = "") -> str:
    return f'{{ name: "{name}" data_type: TYPE_{kind} dims: [ {dims} ] {extra} }}'


def _config(inputs: list[str], outputs: list[str], *extra: str, batch: int = 4) -> str:
    lists = f"input [ {', '.join(inputs)} ]\noutput [ {', '.join(outputs)} ]"
    group = "" if any("instance_group" in each for each in extra) else "instance_group [ { kind: KIND_CPU count: 1 } ]"
    return "\n".join(['platform: "onnxruntime_onnx"', f"max_batch_size: {batch}", lists, group, *extra])


A, B = _tensor("A", "3"), _tensor("B", "3")
SUM, DIFF = _tensor("SUM", "3"), _tensor("DIFF", "3")
PLAIN = _config([A, B], [SUM, DIFF])


def _with(*extra: str) -> str:
    return _config([A, B], [SUM, DIFF], *extra)


def _parameter(name: str, value: str) -> str:
    return _with(f'parameters {{ key: "{name}" value {{ string_value: "{value}" }} }}')


def _batch_input(
    *targets: str, kind: str = "BATCH_ELEMENT_COUNT", data_type: str = "FP32", sources: tuple[str, ...] = ("A",)
) -> str:
    named = "".join(f' target_name: "{each}"' for each in targets) + "".join(f' source_input: "{each}"' for each in sources)
    return f"batch_input [ {{ kind: {kind} data_type: TYPE_{data_type}{named} }} ]"


def _batch_output(target: str, source: str = "A") -> str:
    return f'batch_output [ {{ kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "{target}" source_input: "{source}" }} ]'


def _controls(*inputs: str, states: str = "") -> str:
    return f"sequence_batching {{ control_input [ {', '.join(inputs)} ] {states} }}"


def _control(name: str, *controls: str) -> str:
    return f'{{ name: "{name}" control [ {", ".join(f"{{ {each} }}" for each in controls)} ] }}'


START, END = "kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ]", "kind: CONTROL_SEQUENCE_END fp32_false_true: [ 0, 1 ]"
CORRID = "kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_{}"
FLAG = _save({"A": (FLOAT, ROWS3), "FLAG": (FLOAT, ["batch", 1])}, {"SUM": "A", "DIFF": "FLAG"})
STATEFUL = _save({"A": (FLOAT, ROWS3), "B": (FLOAT, ROWS3)}, {"SUM": "A", "DIFF": "B"})
RAGGED = _save({"A": (FLOAT, ["n"]), "B": (FLOAT, ["n"])}, {"SUM": "A", "DIFF": "B"})
SCALARS = _save({"A": (FLOAT, ["batch", 3]), "B": (FLOAT, [])}, {"SUM": "A", "DIFF": "B"})
OVERRIDABLE = _save({"A": (FLOAT, ROWS3), "B": (FLOAT, [1, 3])}, {"SUM": "A", "DIFF": "B"}, B=np.ones((1, 3), np.float32))
FIXED = _save({"A": (FLOAT, [2, 3]), "B": (FLOAT, [2, 3])}, {"SUM": "A", "DIFF": "B"})
COUNTS = _save({"A": (FLOAT, ["n"]), "B": (INT32, ["m"]), "C": (INT32, ["m"])}, {"SUM": "A", "DIFF": "B", "THIRD": "C"})
RAGGED_A = _tensor("A", "-1", extra="allow_ragged_batch: true")


def _state(name: str, output: str, kind: str = "FP32") -> str:
    return f'state [ {{ input_name: "{name}" output_name: "{output}" data_type: TYPE_{kind} dims: [ 3 ] }} ]'


BOTH_REFUSE = {
    "inputs_missing": Row(
        stock=f"{INPUTS}: configuration expects 1 inputs, model provides 2",
        ours="the configuration has inputs 'A', the model has 'A', 'B'; not in the configuration: 'B'",
        config=_config([A], [SUM]),
    ),
    "input_renamed": Row(
        stock=f"{INPUTS}, CheckAllowedModelInput: unexpected inference input",
        ours="not in the model: 'X'; not in the configuration: 'B'",
        config=_config([A, _tensor("X", "3")], [SUM]),
    ),
    "input_type": Row(
        stock=f"{INPUTS}: configuration expects datatype",
        ours="input 'B': the configuration says TYPE_FP16, the model has TYPE_FP32",
        config=_config([A, _tensor("B", "3", kind="FP16")], [SUM]),
    ),
    "input_of_a_type_that_triton_lacks": Row(
        stock=f"{INPUTS}: configuration expects datatype",
        ours="input 'A': the configuration says TYPE_FP32, the model has a type that Triton does not have",
        config=_config([A], [SUM]),
        model=_float8,
    ),
    "input_rank": Row(
        stock=f"{DIMS}: the model expects 2 dimensions but the model configuration specifies 3",
        ours="input 'A': the configuration says dims [-1, 3, 1] (the batch first), the model has [-1, 3]",
        config=_config([_tensor("A", "3, 1"), B], [SUM]),
    ),
    "input_size": Row(
        stock=f"{DIMS}: the model expects shape [-1,3]",
        ours="input 'B': the configuration says dims [-1, 4] (the batch first), the model has [-1, 3]",
        config=_config([A, _tensor("B", "4")], [SUM]),
    ),
    "input_size_after_reshape": Row(
        stock=f"{DIMS}: the shape of `reshape` counts",
        ours="input 'A': the configuration says dims [-1, 1, 3] (the batch first), the model has [-1, 3]",
        config=_config([_tensor("A", "3", extra="reshape { shape: [ 1, 3 ] }"), B], [SUM]),
    ),
    "input_without_batch": Row(
        stock=f"{DIMS}: the model configuration specifies 1 dimensions",
        ours="input 'A': the configuration says dims [3], the model has [-1, 3]",
        config=_config([A, B], [SUM], batch=0),
    ),
    "batching_of_a_fixed_size": Row(
        stock=f"{DIMS}: the first dimension must be -1",
        ours="input 'A': for batching its first dimension must be dynamic, the model has [2, 3]",
        config=PLAIN,
        model=FIXED,
    ),
    "input_optional_with_batching": Row(
        stock=f"{INPUTS}: optional input is not supported for models that support batching",
        ours="input 'B': an optional input is not possible in a model with batching",
        config=_config([A, _tensor("B", "3", extra="optional: true")], [SUM]),
        model=OVERRIDABLE,
    ),
    "input_optional_and_ragged": Row(
        stock=f"{INPUTS}: shape [-1] for ragged input, which is not supported for optional input",
        ours="input 'B': allow_ragged_batch is not possible with optional",
        config=_config(
            [_tensor("A", "-1, 3"), _tensor("B", "1, 3", extra="optional: true allow_ragged_batch: true")], [SUM], batch=0
        ),
        model=OVERRIDABLE,
    ),
    "input_ragged": Row(
        stock=f"{INPUTS}: configuration expects model provides input with shape [-1] for ragged input",
        ours="input 'A': allow_ragged_batch needs shape [-1] in the model, which has [-1, 3]",
        config=_config([_tensor("A", "3", extra="allow_ragged_batch: true"), B], [SUM]),
    ),
    "input_scalar": Row(
        stock=f"{INPUTS}: scalar tensor should only provide 1 in the model configuration",
        ours="input 'B' is a scalar in the model: it needs dims of 1 and max_batch_size 0, the configuration says [2]",
        config=_config([_tensor("A", "-1, 3"), _tensor("B", "2")], [_tensor("SUM", "-1, 3")], batch=0),
        model=SCALARS,
    ),
    "output_renamed": Row(
        stock=f"{OUTPUTS}, CheckAllowedModelOutput: unexpected inference output",
        ours="output 'PRODUCT' is not in the model, which has 'SUM', 'DIFF'",
        config=_config([A, B], [_tensor("PRODUCT", "3")]),
    ),
    "output_type": Row(
        stock=f"{OUTPUTS}: configuration expects datatype",
        ours="output 'SUM': the configuration says TYPE_INT8, the model has TYPE_FP32",
        config=_config([A, B], [_tensor("SUM", "3", kind="INT8")]),
    ),
    "output_narrower": Row(
        stock=f"{DIMS} with compare_exact: a dynamic axis must be -1 in the configuration",
        ours="output 'SUM': the configuration says dims [-1, 7] (the batch first), the model has [-1, -1]",
        config=_config([_tensor("A", "-1")], [_tensor("SUM", "7")]),
        model=_save({"A": (FLOAT, ["batch", "n"])}, {"SUM": "A"}),
    ),
    "output_scalar": Row(
        stock=f"{OUTPUTS}: scalar tensor should only provide 1 in the model configuration",
        ours="output 'DIFF' is a scalar in the model: it needs dims of 1 and max_batch_size 0, the configuration says [2]",
        config=_config([_tensor("A", "-1, 3"), _tensor("B", "1")], [_tensor("SUM", "-1, 3"), _tensor("DIFF", "2")], batch=0),
        model=SCALARS,
    ),
    "output_no_tensor": Row(
        stock="InputOutputInitializerInfos: Unsupported ONNX Type for I/O, expected ONNX_TYPE_TENSOR",
        ours="'SUM' of the model is no tensor, which Triton cannot serve",
        config=_config([A], [SUM]),
        model=_sequence_of_tensors,
    ),
    "control_not_in_the_model": Row(
        stock=f"{BOOLEAN}: model does not provide that input",
        ours="not in the model: 'START'",
        config=_config([A], [SUM], _controls(_control("START", START))),
    ),
    "control_shape": Row(
        stock=f"{BOOLEAN}: sequence control in model has dims [3] but dims [1] is expected",
        ours="sequence control 'B': dims [1] are expected, the model has [-1, 3]",
        config=_config([A], [SUM], _controls(_control("B", START))),
    ),
    "control_type": Row(
        stock=f"{BOOLEAN}: the model expects data-type float but the model configuration specifies TYPE_INT32",
        ours="sequence control 'FLAG': the configuration says TYPE_INT32, the model has TYPE_FP32",
        config=_config([A], [SUM], _controls(_control("FLAG", START.replace("fp32", "int32")))),
        model=FLAG,
    ),
    "control_id_not_in_the_model": Row(
        stock=f"{TYPED}: model does not provide that input",
        ours="not in the model: 'ID'",
        config=_config([A], [SUM], _controls(_control("ID", CORRID.format("UINT64")))),
    ),
    "control_id_shape": Row(
        stock=f"{TYPED}: dims [1] is expected",
        ours="sequence control 'B': dims [1] are expected, the model has [-1, 3]",
        config=_config([A], [SUM], _controls(_control("B", CORRID.format("UINT64")))),
    ),
    "control_id_type": Row(
        stock=f"{TYPED}: the model configuration specifies data-type TYPE_UINT64",
        ours="sequence control 'FLAG': the configuration says TYPE_UINT64, the model has TYPE_FP32",
        config=_config([A], [SUM], _controls(_control("FLAG", CORRID.format("UINT64")))),
        model=FLAG,
    ),
    "control_for_two_kinds": Row(
        stock=f"{INPUTS}: both kinds are counted, so configuration expects 3 inputs, model provides 2",
        ours="sequence control 'FLAG': one entry of control is expected, found 2",
        config=_config([A], [SUM], _controls(_control("FLAG", START, END))),
        model=FLAG,
    ),
    "control_without_a_kind": Row(
        stock=f"{INPUTS}: no kind is counted, so configuration expects 1 inputs, model provides 2",
        ours="sequence control 'FLAG': one entry of control is expected, found 0",
        config=_config([A], [SUM], _controls(_control("FLAG"))),
        model=FLAG,
    ),
    "batch_input_for_two_targets": Row(
        stock=f"{INPUTS}: an entry counts once, so configuration expects 2 inputs, model provides 3",
        ours="batch_input.target_name: one name is expected, found 2",
        config=_config([RAGGED_A], [_tensor("DIFF", "1", kind="INT32")], _batch_input("B", "C", data_type="INT32")),
        model=COUNTS,
    ),
    "batch_input_without_target": Row(
        stock=f"{INPUTS}: the entry counts, so configuration expects 3 inputs, model provides 2",
        ours="batch_input.target_name: one name is expected, found 0",
        config=_with(_batch_input()),
    ),
    "file_missing": Row(
        stock=f"{LOAD}: unable to find model.onnx",
        ours="there is no file other.onnx in version directory 1",
        config=_with('default_model_filename: "other.onnx"'),
    ),
    "file_is_no_model": Row(
        stock=f"{LOAD}, OnnxLoader::LoadSession: ONNX Runtime's error",
        ours="Protobuf parsing failed",
        config=PLAIN,
        model=lambda path: path.write_bytes(b"this is no model"),
    ),
    "accelerator_unknown": Row(
        stock=f"{LOAD}: unknown Execution Accelerator 'fast' is requested",
        ours="optimization.execution_accelerators.cpu_execution_accelerator: the embedded server does not support 'fast'",
        config=_with('optimization { execution_accelerators { cpu_execution_accelerator [ { name: "fast" } ] } }'),
    ),
    "operators_missing": Row(
        stock=f"{LOAD}, RegisterCustomOpsLibrary: ONNX Runtime's error",
        ours="model_operations.op_library_filename '/no/such/operators.so'",
        config=_with('model_operations { op_library_filename: "/no/such/operators.so" }'),
    ),
    "execution_mode": Row(
        stock=f"{STATE}: Expected values for execution_mode are 0 or 1",
        ours="parameter execution_mode: expected 0 (sequential) or 1 (parallel), found 2",
        config=_parameter("execution_mode", "2"),
    ),
    **{
        name: Row(
            stock=f"{STATE}, ParseIntValue: failed to convert to integral number",
            ours=f"parameter {name}: expected a whole number, found 'many'",
            config=_parameter(name, "many"),
        )
        for name in ("intra_op_thread_count", "inter_op_thread_count")
    },
    **{
        name: Row(
            stock=f"{STATE}, ParseBoolValue: failed to convert to boolean",
            ours=f"parameter {name}: expected true or false, found 'perhaps'",
            config=_parameter(name, "perhaps"),
        )
        for name in ("enable_mem_arena", "enable_mem_pattern")
    },
    "on_a_gpu": Row(
        stock=f"{CORE_GROUP}: has kind KIND_GPU but no GPUs are available",
        ours="KIND_GPU",
        config=_with("instance_group [ { kind: KIND_GPU } ]"),
    ),
}

CORE_REFUSES = {
    "dims_of_zero": Row(
        stock=f"{CORE_IO}: dimension must be integer >= 1",
        ours="'A' dimension must be integer >= 1",
        config=_config([_tensor("A", "0"), B], [SUM]),
    ),
    "dims_missing": Row(
        stock=f"{CORE_IO}: must specify 'dims'", ours="'A' must specify 'dims'", config=_config([_tensor("A", ""), B], [SUM])
    ),
    "reshape_of_another_size": Row(
        stock=f"{CORE_IO}: different size for dims and reshape",
        ours="'A' has different size for dims and reshape",
        config=_config([_tensor("A", "3", extra="reshape { shape: [ 4 ] }"), B], [SUM]),
    ),
    "batch_input_type": Row(
        stock=f"{CORE_BATCH}: batch input data type must be TYPE_INT32 or TYPE_FP32",
        ours="batch input data type must be TYPE_INT32 or TYPE_FP32",
        config=_with(_batch_input("C", data_type="INT64")),
    ),
    "batch_input_sources": Row(
        stock=f"{CORE_BATCH}: expects 1 source input",
        ours="batch input kind 'BATCH_ELEMENT_COUNT' expects 1 source input, got 2",
        config=_with(_batch_input("C", sources=("A", "B"))),
    ),
    "batch_input_source_unknown": Row(
        stock=f"{CORE_BATCH}: unknown source input name",
        ours="unknown source input name 'Z'",
        config=_with(_batch_input("C", sources=("Z",))),
    ),
    "batch_output_source_unknown": Row(
        stock=f"{CORE_BATCH}: unknown source input name",
        ours="unknown source input name 'Z'",
        config=_with(_batch_output("SUM", "Z")),
    ),
    "batch_output_target_unknown": Row(
        stock=f"{CORE_BATCH}: unknown target output name", ours="unknown target output name 'Z'", config=_with(_batch_output("Z"))
    ),
    "control_without_name": Row(
        stock=f"{CORE_BOOLEAN}: sequence batching control tensor must have a name",
        ours="sequence batching control tensor must have a name",
        config=_config([A], [SUM], _controls(_control("", START))),
    ),
    "control_for_two_tensors": Row(
        stock=f"{CORE_BOOLEAN}: specifies multiple CONTROL_SEQUENCE_START tensors",
        ours="specifies multiple CONTROL_SEQUENCE_START tensors",
        config=_config([A], [SUM], _controls(_control("FLAG", START), _control("B", START))),
    ),
    "control_named_twice": Row(
        stock=f"{CORE_BOOLEAN}: is specified for multiple control kinds",
        ours="'FLAG' is specified for multiple control kinds",
        config=_config([A], [SUM], _controls(_control("FLAG", START), _control("FLAG", END))),
    ),
    "control_without_values": Row(
        stock=f"{CORE_BOOLEAN}: must specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true'",
        ours="must specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for CONTROL_SEQUENCE_START",
        config=_config([A], [SUM], _controls(_control("FLAG", "kind: CONTROL_SEQUENCE_START"))),
    ),
    "control_with_two_lists": Row(
        stock=f"{CORE_BOOLEAN}: more than one from 'int32_false_true', 'fp32_false_true' and 'bool_false_true'",
        ours="specifies more than one from 'int32_false_true', 'fp32_false_true'",
        config=_config([A], [SUM], _controls(_control("FLAG", START + " int32_false_true: [ 0, 1 ]"))),
    ),
    "control_with_one_value": Row(
        stock=f"{CORE_BOOLEAN}: 'fp32_false_true' must have exactly 2 entries",
        ours="'fp32_false_true' must have exactly 2 entries for CONTROL_SEQUENCE_START",
        config=_config([A], [SUM], _controls(_control("FLAG", START.replace("0, 1", "1")))),
    ),
    "control_id_with_values": Row(
        stock=f"{CORE_TYPED}: must not specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true'",
        ours="must not specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true'",
        config=_config([A], [SUM], _controls(_control("FLAG", CORRID.format("UINT64") + " fp32_false_true: [ 0, 1 ]"))),
    ),
    "control_id_of_a_float": Row(
        stock="core ValidateModelConfig: unexpected data type for control CONTROL_SEQUENCE_CORRID",
        ours="unexpected data type for control CONTROL_SEQUENCE_CORRID",
        config=_config([A], [SUM], _controls(_control("FLAG", CORRID.format("FP32")))),
    ),
}

ONLY_OURS = {
    "input_named_twice": Row(
        stock=f"{INPUTS} counts inputs; the second request input is missing at every request",
        refuses=False,
        ours="the configuration has inputs 'A', 'A', the model has 'A', 'B'; not in the configuration: 'B'; a name appears twice",
        config=_config([A, A], [SUM]),
        why="no request to it can succeed",
    ),
    "scalar_with_batching": Row(
        stock=f"{INPUTS} does not compare the dims of a scalar",
        refuses=False,
        ours="input 'B' is a scalar in the model: it needs dims of 1 and max_batch_size 0, the configuration says [1]",
        config=_config([A, _tensor("B", "1")], [SUM]),
        model=SCALARS,
        why="a scalar has no batch: of two rows, stock gives the model the first one's value",
    ),
    "batch_input_target_not_in_the_model": Row(
        stock=f"{INPUTS} counts entries; ONNX Runtime refuses every request",
        refuses=False,
        ours="not in the model: 'C'; not in the configuration: 'B'",
        config=_config([A], [SUM], _batch_input("C")),
        why="no request to it can succeed",
    ),
    "batch_input_of_another_type": Row(
        stock="no function compares the type; ONNX Runtime refuses every request",
        refuses=False,
        ours="batch_input 'B': the configuration says TYPE_FP32, the model has TYPE_INT32",
        config=_config(
            [RAGGED_A, _tensor("C", "-1", kind="INT32", extra="allow_ragged_batch: true")],
            [_tensor("DIFF", "1", kind="INT32")],
            _batch_input("B"),
        ),
        model=COUNTS,
        why="no request to it can succeed",
    ),
    "batch_output_of_text": Row(
        stock="BackendOutputResponder::ProcessBatchOutput copies the addresses of the strings",
        refuses=False,
        ours="batch_output 'SUM': text cannot be scattered",
        config=_config(
            [_tensor("A", "-1", kind="STRING", extra="allow_ragged_batch: true")],
            [_tensor("SUM", "-1", kind="STRING")],
            _batch_output("SUM"),
        ),
        model=_save({"A": (TensorProto.STRING, ["n"])}, {"SUM": "A"}),
        why="the response would be addresses in the server's memory",
    ),
    "state_input_not_in_the_model": Row(
        stock=f"{INPUTS} counts states; ONNX Runtime refuses every request",
        refuses=False,
        ours="not in the model: 'MEMORY'; not in the configuration: 'B'",
        config=_config([A], [SUM], _controls(states=_state("MEMORY", "DIFF"))),
        why="no request to it can succeed",
    ),
    "state_output_not_in_the_model": Row(
        stock=f"{OUTPUTS} means to check states, and does so only where reading their list has failed",
        refuses=False,
        ours="state output 'MEMORY' is not in the model, which has 'SUM', 'DIFF'",
        config=_config([A], [SUM], _controls(states=_state("B", "MEMORY"))),
        model=STATEFUL,
        why="the state would never change",
    ),
    "state_of_another_type": Row(
        stock=f"{OUTPUTS} means to check states, and does so only where reading their list has failed",
        refuses=False,
        ours="state input 'B': the configuration says TYPE_FP16, the model has TYPE_FP32",
        config=_config([A], [SUM], _controls(states=_state("B", "DIFF", "FP16"))),
        model=STATEFUL,
        why="no request to it can succeed",
    ),
    "accelerator_of_the_cpu": Row(
        stock=f"{LOAD} loads it where that server is built with OpenVINO",
        refuses=False,
        ours="optimization.execution_accelerators.cpu_execution_accelerator: the embedded server does not support 'openvino'",
        config=_with('optimization { execution_accelerators { cpu_execution_accelerator [ { name: "openvino" } ] } }'),
        why="the package onnxruntime of PyPI has no OpenVINO; without it, nothing would be proven of the model with it",
    ),
    "accelerator_of_a_gpu": Row(
        stock=f"{LOAD} reads the list for instances on a GPU alone",
        refuses=False,
        ours="optimization.execution_accelerators.gpu_execution_accelerator: the embedded server does not support 'tensorrt'",
        config=_with('optimization { execution_accelerators { gpu_execution_accelerator [ { name: "tensorrt" } ] } }'),
        why="without it, nothing would be proven of the model with it",
    ),
    "half_a_number": Row(
        stock=f"{STATE}, ParseIntValue: std::stoi reads 1.5 as 1",
        refuses=False,
        ours="parameter intra_op_thread_count: expected a whole number, found '1.5'",
        config=_parameter("intra_op_thread_count", "1.5"),
        why="a number with something behind it is a mistake",
    ),
    "more_threads_than_any_machine_has": Row(
        stock=f"{STATE} gives any number to ONNX Runtime, whose error is std::bad_alloc",
        refuses=False,
        ours="parameter inter_op_thread_count: expected at most 4096, found 2000000000",
        config=_parameter("inter_op_thread_count", "2000000000"),
        why="the error names its field",
    ),
    "file_outside_its_version": Row(
        stock=f"{LOAD} joins the paths",
        refuses=False,
        ours="default_model_filename '../../other/1/model.onnx' leads out of the version directory",
        config=_with('default_model_filename: "../../other/1/model.onnx"'),
        why="a version's evidence is of its own files; another file could change unseen",
    ),
    "share_session_between_instances": Row(
        stock="no function reads the parameter",
        refuses=False,
        ours="parameter share_session_between_instances: expected true or false, found 'both'",
        config=_parameter("share_session_between_instances", "both"),
        why="a parameter of ours",
    ),
}

BOTH_LOAD = {
    "plain": Row(stock="loads", refuses=False, ours="", config=PLAIN),
    "fewer_outputs": Row(stock="loads", refuses=False, ours="", config=_config([A, B], [DIFF])),
    "optional_initializer": Row(
        stock="loads",
        refuses=False,
        ours="",
        config=_config([_tensor("A", "-1, 3"), _tensor("B", "1, 3", extra="optional: true")], [_tensor("SUM", "-1, 3")], batch=0),
        model=OVERRIDABLE,
    ),
    "controls": Row(
        stock="loads", refuses=False, ours="", config=_config([A], [SUM], _controls(_control("FLAG", START))), model=FLAG
    ),
    "ragged": Row(
        stock="loads",
        refuses=False,
        ours="",
        config=_config([RAGGED_A, RAGGED_A.replace("A", "B", 1)], [_tensor("SUM", "-1")], _batch_output("SUM")),
        model=RAGGED,
    ),
    "graph_level_unknown": Row(
        stock="loads with the default", refuses=False, ours="", config=_with("optimization { graph { level: 9 } }")
    ),
}

GROUPS = {"both refuse": BOTH_REFUSE, "core refuses": CORE_REFUSES, "only ours": ONLY_OURS, "both load": BOTH_LOAD}
