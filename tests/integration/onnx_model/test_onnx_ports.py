"""Names of inputs and outputs that a graph's own values have, inputs that nothing uses, weights that are inputs too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import onnxslim
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.support.command import tritonize
from tritonize.core import arrays, call_arguments, names
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.errors import ExportError, UsageError, WorkerError
from tritonize.core.messages import export as wording
from tritonize.export import exporter as taking
from tritonize.export.tasks import ExportRequest
from tritonize.export.worker import strategies
from tritonize.onnx_model.tasks import FinishRequest, FinishResult
from tritonize.onnx_model.worker import finishing
from tritonize.onnx_model.worker import ports as onnx_ports
from tritonize.process import workers
from tritonize.reference import requirements
from tritonize.source.tasks import LoadRequest
from tritonize.source.worker import signature, torch_model
from tritonize.spec import rules, schema
from tritonize.triton import model_config


class Clashing(torch.nn.Module):
    """The names of its outputs are names that the exporters give to inner values; `mask` is also the name of its input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = torch.nn.Embedding(10, 4)
        self.linear = torch.nn.Linear(4, 4)

    def forward(self, tokens: torch.Tensor, unused: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        embedded = self.embedding(tokens)
        active = torch.relu(self.linear(embedded)) * mask
        return {"embedding": active.sum(1), "relu": embedded.mean(1), "linear": active, "mul": active + 1, "mask": mask}


class Masked(torch.nn.Module):
    """Returns outputs named like its input, and like the name that such an output is renamed to."""

    def forward(self, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"mask": mask + 1, "mask_out": mask + 2}


class Recurrent(torch.nn.Module):
    """Returns (y, (h, c))."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = torch.nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        y = torch.tanh(self.cell(x))
        return y, (y[:, -1], y.mean(1))


def exported(location: str, strategy: str, sample: dict[str, np.ndarray], folder: Path, kind: str = "factory") -> Any:
    """Export a model with a strategy, finish the file, and open it in ONNX Runtime; return the session and PyTorch's outputs."""
    load = LoadRequest(kind=kind, location=location, inputs=tuple(sample))
    answer = torch_model.load(load).run(sample)
    inputs, outputs = (
        [TensorSpec(name=name, dtype=arrays.dtype_name(array), shape=("batch", *array.shape[1:])) for name, array in each.items()]
        for each in (sample, answer)
    )
    example = TensorFiles(directory=folder / "example", tensors=tuple(inputs), count=1)
    arrays.save(example, 0, sample)
    request = ExportRequest(
        model=load,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        example=example,
        samples=SampleSet(files=example, batched=True, origin=""),
        strategy=strategy,
        opset=18,
        path=folder / "exported.onnx",
    )
    strategies.run(request)
    finished = finishing.finish(
        FinishRequest(
            exported=folder / "exported.onnx",
            path=folder / "m.onnx",
            simplify=True,
            opset=18,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
        )
    )
    assert finished.simplified
    return onnxruntime.InferenceSession(folder / "m.onnx"), answer


def require_equal(session: Any, sample: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert [each.name for each in session.get_inputs()] == list(sample)
    assert [each.name for each in session.get_outputs()] == list(expected)
    for name, found in zip(expected, session.run(None, sample), strict=True):
        np.testing.assert_allclose(found, expected[name], atol=1e-5)


@pytest.mark.parametrize("strategy", ["dynamo", "legacy"])
def test_output_names_do_not_clash_with_inner_names_and_unused_inputs_stay(strategy, tmp_path):
    sample = {
        "tokens": np.arange(6).reshape(2, 3),
        "unused": np.ones((2, 5), np.float32),
        "mask": np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4),
    }
    session, expected = exported("tests.integration.onnx_model.test_onnx_ports:Clashing", strategy, sample, tmp_path)
    assert list(expected) == ["embedding", "relu", "linear", "mul", "mask_out"]
    require_equal(session, sample, expected)


@pytest.mark.parametrize("strategy", ["legacy", "converted"])
def test_nested_outputs_of_a_scripted_file_are_flattened(strategy, tmp_path):
    torch.jit.script(Recurrent().eval()).save(tmp_path / "r.pt")
    sample = {"x": np.linspace(-1, 1, 30, dtype=np.float32).reshape(2, 5, 3)}
    session, expected = exported(str(tmp_path / "r.pt"), strategy, sample, tmp_path, kind="torchscript")
    assert list(expected) == ["0", "1.0", "1.1"]
    require_equal(session, sample, expected)


def scaled(*, listed: bool = True) -> onnx.ModelProto:
    """y = x * w + b, of IR version 3, with w and b among the inputs as files of that time have them."""
    shapes: dict[str, list[str | int]] = {"x": ["n", 3], "w": [3], "b": [3]}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    weights = [numpy_helper.from_array(np.full(3, value, np.float32), name) for name, value in (("w", 2), ("b", 1))]
    nodes = [helper.make_node("Mul", ["x", "w"], ["a"]), helper.make_node("Add", ["a", "b"], ["y"])]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    made = helper.make_graph(nodes, "g", values if listed else values[:1], [out], weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 8)], ir_version=3)


def finish(model: onnx.ModelProto, folder: Path, **more: Any) -> FinishResult:
    onnx.save(model, folder / "source.onnx")
    request = FinishRequest(exported=folder / "source.onnx", path=folder / "m.onnx", simplify=True, opset=None, consume=False)
    return finishing.finish(replace(request, **more))


def test_weights_listed_as_inputs_are_constants_unless_the_spec_names_them(tmp_path):
    finished = finish(scaled(), tmp_path)
    assert ([each.name for each in finished.inputs], finished.optional, finished.constants) == (["x"], (), ("w", "b"))
    assert (finished.simplified, finished.ir_version) == (True, 4)
    finished = finish(scaled(), tmp_path, optional=("x", "w"))
    assert ([each.name for each in finished.inputs], finished.optional, finished.constants) == (["x", "w"], ("w",), ("b",))
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    x, w = np.ones((1, 3), np.float32), np.full(3, 5, np.float32)
    assert session.run(None, {"x": x})[0].tolist() == [[3, 3, 3]]
    assert session.run(None, {"x": x, "w": w})[0].tolist() == [[6, 6, 6]]


def test_an_optional_input_is_optional_in_the_configuration(tmp_path):
    made = scaled()
    made.ir_version = 8
    onnx.save(made, tmp_path / "m.onnx")
    inputs = {"x": {"shape": [4, 3]}, "w": {"shape": [3]}}
    model = schema.Model.model_validate({"source": str(tmp_path / "m.onnx"), "inputs": inputs})
    taken, _ = taking.take(model, tmp_path / "m.onnx", tmp_path / "taken")
    assert any("w is optional" in note for note in taken.notes)
    configured = model_config.parse(model_config.render("m", model, taken.artifact), where="")["input"]
    assert [(each["name"], each.get("optional", False)) for each in configured] == [("x", False), ("w", True)]


@pytest.mark.parametrize(("version", "batch", "code"), [(3, 0, "fixed-weight"), (8, 2, "optional-input-batched")])
def test_a_weight_of_a_type_that_servers_do_not_accept_is_rejected_as_input(version, batch, code):
    inputs = {"x": {"shape": ["n", 3]}, "w": {"shape": ["n"]}}
    model = schema.Model.model_validate({"source": "m.onnx", "inputs": inputs, "max_batch_size": batch, "axes": {"n": {"max": 2}}})
    with pytest.raises(UsageError) as refused:
        requirements.require_servable(model, {"ir_version": version, "optional_inputs": ["b", "w"]})
    assert (refused.value.code, refused.value.where) == (code, "inputs")
    requirements.require_servable(model, {"ir_version": version, "optional_inputs": ["b"]})


def test_an_input_that_a_file_does_not_use_survives_simplification(tmp_path):
    model = scaled(listed=False)
    model.ir_version = 8
    model.graph.input.insert(0, helper.make_tensor_value_info("extra", TensorProto.FLOAT, ["n", 2]))
    finished = finish(model, tmp_path)
    assert finished.simplified
    assert [each.name for each in finished.inputs] == ["extra", "x"]
    assert [each.name for each in onnxruntime.InferenceSession(tmp_path / "m.onnx").get_inputs()] == ["extra", "x"]


def _dropping(model: onnx.ModelProto) -> onnx.ModelProto:
    del model.graph.output[:]
    return model


def _nonsense(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.node[0].op_type = "NoSuchOperator"
    return model


def _raising(model: onnx.ModelProto) -> onnx.ModelProto:
    raise RecursionError("maximum recursion depth exceeded")


def _crashing(model: onnx.ModelProto) -> onnx.ModelProto:
    raise SystemExit  # in a worker, that is the end of its process


@pytest.mark.parametrize("slim", [_dropping, _nonsense, _raising, _crashing])
def test_if_the_simplifier_fails_the_file_is_exported_unsimplified(slim, tmp_path, monkeypatch):
    def work(request, model, directory):
        try:
            return workers.WorkerResult(
                value=finishing.finish(request), seconds=0.0, peak_memory=0, import_seconds=0.0, log=directory / "worker.log"
            )
        except SystemExit:
            raise ExportError("The export ended without an ONNX file.", found="exit code 139") from WorkerError("it ended")

    monkeypatch.setattr(onnxslim, "slim", slim)
    monkeypatch.setattr(taking, "_finish", work)
    onnx.save(scaled(), tmp_path / "source.onnx")
    model = schema.Model.model_validate({"source": "source.onnx", "inputs": {"x": {"shape": ["n", 3]}}, "max_batch_size": 2})
    taken, _ = taking.take(model, tmp_path / "source.onnx", tmp_path / "taken")
    assert not taken.artifact.simplified
    assert taken.notes[0].startswith("The ONNX file is not simplified")
    found = onnxruntime.InferenceSession(taken.artifact.path).run(None, {"x": np.ones((2, 3), np.float32)})
    assert found[0].tolist() == [[3, 3, 3]] * 2


def test_an_inner_name_is_renamed_in_subgraphs_too():
    branches = []
    for name, operator in (("then", "Neg"), ("else", "Abs")):
        nodes = [helper.make_node(operator, ["x"], ["y"]), helper.make_node("Add", ["y", "relu"], [f"{name}_out"])]
        branches.append(helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, [2])]))
    nodes = [
        helper.make_node("Relu", ["x"], ["relu"]),
        helper.make_node("If", ["c"], ["chosen"], then_branch=branches[0], else_branch=branches[1]),
    ]
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2]), helper.make_tensor_value_info("c", TensorProto.BOOL, [])]
    out = [helper.make_tensor_value_info("chosen", TensorProto.FLOAT, [2])]
    model = helper.make_model(helper.make_graph(nodes, "g", ports, out), opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    sample = {"x": np.array([-1, 2], np.float32)}
    for condition in (True, False):
        sample["c"] = np.array(condition)
        session = onnxruntime.InferenceSession(model.SerializeToString())
        wanted = session.run(None, sample)[0]
        renamed = onnx.ModelProto.FromString(model.SerializeToString())
        onnx_ports.rename(renamed.graph, {"x": "relu", "chosen": "y"})
        onnx.checker.check_model(renamed, full_check=True)
        session = onnxruntime.InferenceSession(renamed.SerializeToString())
        assert [each.name for each in session.get_outputs()] == ["y"]
        np.testing.assert_array_equal(session.run(None, {"relu": sample["x"], "c": sample["c"]})[0], wanted)


def test_an_output_with_the_name_of_an_input_is_renamed_and_reported():
    load = LoadRequest(kind="factory", location="tests.integration.onnx_model.test_onnx_ports:Masked", inputs=("mask",))
    x = {"mask": np.ones((1, 3), np.float32)}
    for wanted, found, renamed in (
        ((), ["mask_out_out", "mask_out"], {"mask": "mask_out_out"}),
        (("refined", "other"), ["refined", "other"], {}),
    ):
        model = torch_model.load(replace(load, outputs=wanted))
        assert list(model.run(x)) == found
        assert model.renamed_outputs(x, found) == renamed
    problems = [
        *rules.problems(schema.Model.model_validate({"source": "a:b", "inputs": {"x": {"shape": [1]}}, "outputs": {"x": {}}}))
    ]
    assert problems == [(("outputs", "x"), wording.OUTPUT_IS_INPUT.text(suggested="x_out"))]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("сердце", "serdtse"),
        ("Сердце v2", "Serdtse_v2"),
        ("心脏", "u5FC3u810F"),
        ("cœur", "coeur"),
        ("A\u0308pfel", "Apfel"),
        ("-x", "_x"),
    ],
)
def test_a_model_name_is_the_transliterated_file_name(text, name):
    assert names.model(text) == name
    assert names.is_model(name)
    assert not names.is_model(text)


def test_a_tensor_name_is_any_printable_text():
    for name in ("x:0", "onnx::MatMul_0", "input.1", "a/b", "/Add_output_0", "изображение", "图像", "1.0", "a b"):
        assert names.is_tensor(name)
        assert "/" not in model_config.label_filename(name, "a\nb\n")
    for name in ("", " x", "a\nb", "\x1b[31m", "../x"):
        assert not names.is_tensor(name)


def test_arrays_with_any_name_are_stored_in_one_file(tmp_path):
    kept = {name: np.arange(3.0) + place for place, name in enumerate(("file", "allow_pickle", "a/b", "x:0", "图像"))}
    arrays.write_npz(tmp_path / "a.npz", kept)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        assert {name: list(found[name]) for name in found} == {name: list(array) for name, array in kept.items()}


def test_renamed_outputs_have_unique_names():
    assert signature.unique_output_names(["a", "a_out", "b"], ["a", "a_out"]) == ["a_out_out", "a_out_out_out", "b"]


def test_an_exporters_name_with_a_dot_is_one_tensor():
    assert call_arguments.nested({"input.1": 1, "y.0": 2, "z.1": 3, "z.0": 4}) == {"input": 1, "y": [2], "z": {"1": 3, "0": 4}}
    known = call_arguments.parameters(lambda input: input)  # noqa: A006
    assert call_arguments.bind(known, ["input.1"]).arguments([5]) == ([5], {})  # by position, as hooks expect it
    assert call_arguments.bind(call_arguments.parameters(lambda x: x), ["input.1"]).arguments([5]) == ([5], {})


@pytest.mark.slow
def test_a_file_with_a_cyrillic_name_is_served_with_its_tensor_names():
    made = scaled()
    onnx_ports.rename(made.graph, {"x": "x:0", "y": "/y/изображение"})
    onnx.save(made, "сердце.onnx")
    done = tritonize("run", "сердце.onnx", "--json")
    assert done.returncode == 0, done.stderr
    assert "served as model serdtse" in done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    assert {check["stage"] for check in report["checks"]} >= {"http", "grpc", "shm"}
    config = model_config.parse(Path("model_repository/serdtse/config.pbtxt").read_text(), where="")
    assert [each["name"] for each in (*config["input"], *config["output"])] == ["x:0", "/y/изображение"]
