"""A stateful model, Y = the sum of a sequence's X so far, and 10 more at its end: right, and wrong in several ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tritonize.core import arrays, sequence_states
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import OnnxArtifact, TensorFiles, TensorSpec
from tritonize.quality.golden_set import GoldenSet
from tritonize.source import samples
from tritonize.spec import schema

STATE = {"input_name": "STATE", "output_name": "NEXT", "data_type": "TYPE_FP32", "dims": [2]}


def control(name: str, kind: str = "") -> dict[str, object]:
    """A control of 0 or 1 in fp32."""
    return {"name": name, "control": [{"kind": f"CONTROL_SEQUENCE_{kind or name}", "fp32_false_true": [0, 1]}]}


def model(**changed: object) -> schema.Model:
    """The model's part of a spec."""
    fields: dict[str, object] = {
        "source": "sums.onnx",
        "inputs": {name: {"shape": ["batch", size]} for name, size in (("X", 2), ("START", 1), ("END", 1), ("STATE", 2))},
        "outputs": {"Y": {}, "NEXT": {}},
        "max_batch_size": 4,
        "samples": {"count": 4, "sequence_length": 4},
        "triton": {"sequence_batching": {"control_input": [control("START"), control("END")], "state": [STATE]}},
    }
    return schema.Model.model_validate({**fields, **changed})


def initialized() -> schema.Model:
    """The same with zeros as the initial state, so that the model need not look at START; one batch per step, of any slots."""
    zeros = {"name": "zeros", "data_type": "TYPE_FP32", "dims": [2], "zero_data": True}
    state = [{**STATE, "initial_state": [zeros]}]
    controls = [control("START"), control("END")]
    batching = {"control_input": controls, "state": state, "oldest": {"max_candidate_sequences": 8}}
    return model(triton={"sequence_batching": batching})


def step(item: Arrays) -> Arrays:
    """The model in NumPy."""
    total = item["X"] + np.where(item["START"] > 0, np.zeros_like(item["STATE"]), item["STATE"])
    return {"Y": total + 10 * item["END"], "NEXT": total}


def golden(folder: Path, described: schema.Model | None = None) -> GoldenSet:
    """Sequences of it with the outputs of each step."""
    described = described or model()
    drawn = samples.add_edges(described, samples.write(described, folder / "drawn"))
    drawn = sequence_states.roll_out(drawn, step, folder / "inputs")
    tensors = tuple(TensorSpec(name=name, dtype="fp32", shape=("batch", 2)) for name in ("Y", "NEXT"))
    expected = TensorFiles(directory=folder / "expected", tensors=tensors, count=drawn.files.count)
    for index in range(drawn.files.count):
        arrays.save(expected, index, step(arrays.load(drawn.files, index)))
    return GoldenSet(samples=drawn, expected=expected, max_batch_size=described.max_batch_size)


def write(path: Path, fault: str = "") -> Path:
    """The model as an ONNX file: right, or with a fault that one request in a batch of its own shows or does not show."""
    from onnx import TensorProto, helper  # unit tests may not

    from tests.support import server_models

    nodes = [
        helper.make_node("Greater", ["START", "HALF"], ["STARTS"]),
        helper.make_node("Where", ["STARTS", "ZERO", "STATE"], ["BEFORE"]),
        helper.make_node("Add", ["X", "BEFORE"], ["SUM"]),
        helper.make_node("Mul", ["TEN", "END"], ["MORE"]),
        helper.make_node("Add", [{"one step late": "BEFORE"}.get(fault, "SUM"), "MORE"], ["Y"]),
        helper.make_node("Identity", ["SUM"], ["NEXT"]),
    ]
    if fault == "state of another sequence":  # of the one at the other end of the batch
        nodes[-1] = helper.make_node("Slice", ["SUM", "LAST", "FIRST", "AXIS", "BACK"], ["NEXT"])
    if fault == "initial state":  # no fault: Triton resets the state
        nodes[1] = helper.make_node("Add", ["STATE", "ZERO_TIMES_START"], ["BEFORE"])
        nodes.insert(1, helper.make_node("Mul", ["ZERO", "START"], ["ZERO_TIMES_START"]))
    if fault == "end ignored":
        nodes[4] = helper.make_node("Add", ["SUM", "ZERO_TIMES_END"], ["Y"])
        nodes.insert(4, helper.make_node("Mul", ["ZERO", "END"], ["ZERO_TIMES_END"]))
    return server_models.save(
        path,
        nodes,
        [(name, TensorProto.FLOAT, ["batch", size]) for name, size in (("X", 2), ("START", 1), ("END", 1), ("STATE", 2))],
        [(name, TensorProto.FLOAT, ["batch", 2]) for name in ("Y", "NEXT")],
        {
            "HALF": np.full((1, 1), 0.5, np.float32),
            "ZERO": np.zeros((1, 1), np.float32),
            "TEN": np.full((1, 1), 10, np.float32),
            "LAST": np.array([-1]),
            "FIRST": np.array([np.iinfo(np.int64).min]),
            "AXIS": np.array([0]),
            "BACK": np.array([-1]),
        },
    )


SLOTS = '''
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """The same model with states of its own, one for each slot of a batch: `direct` keeps a sequence in one slot."""

    def initialize(self, args):
        self.states = {}

    def execute(self, requests):
        responses = []
        for slot, request in enumerate(requests):
            given = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("X", "START", "END", "READY")}
            slot = 0 if FAULT == "one state for all" else slot
            ready = given["READY"][0, 0] > 0
            if ready and given["START"][0, 0] > 0 and FAULT != "never reset":
                self.states.pop(slot, None)
            if ready or FAULT == "ready ignored":
                self.states[slot] = self.states.get(slot, 0) + (given["X"] if ready else 1)
            found = self.states.get(slot, 0) * (given["X"] * 0 + 1) + 10 * given["END"]
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", found.astype("float32"))]))
        return responses
'''


def serve_slots(root: Path, name: str, fault: str = "") -> None:
    """Write the model of the Python backend, right or wrong."""
    inside = {"control_input": [control("START"), control("END"), control("READY")], "direct": {}}
    from tritonize.triton import model_config  # it needs protobuf

    text = model_config.as_text(
        {
            "name": name,
            "backend": "python",
            "max_batch_size": 4,
            "input": [{"name": "X", "data_type": "TYPE_FP32", "dims": ["2"]}],
            "output": [{"name": "Y", "data_type": "TYPE_FP32", "dims": ["2"]}],
            "sequence_batching": inside,  # type: ignore[typeddict-unknown-key]
            "instance_group": [{"kind": "KIND_CPU", "count": 1}],
        }
    )
    (root / name / "1").mkdir(parents=True)
    (root / name / "config.pbtxt").write_text(text)
    (root / name / "1" / "model.py").write_text(f"FAULT = {fault!r}\n{SLOTS}")


def artifact(path: Path) -> OnnxArtifact:
    """What is known of the ONNX file."""

    def tensors(*named: tuple[str, int]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(name=name, dtype="fp32", shape=("batch", size)) for name, size in named)

    return OnnxArtifact(
        path=path,
        node_map=None,
        sha256="",
        size=path.stat().st_size,
        opset=18,
        ir_version=10,
        inputs=tensors(("X", 2), ("START", 1), ("END", 1), ("STATE", 2)),
        outputs=tensors(("Y", 2), ("NEXT", 2)),
        exporter="",
        strategy="legacy",
        simplified=False,
    )
