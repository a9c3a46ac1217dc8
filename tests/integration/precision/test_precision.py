"""fp16 and bf16 in the ONNX graph: what is reduced, what stays, and what it answers; the spec, and a run from end to end."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.support.command import tritonize
from tests.support.models import halves
from tests.support.reduced_precision import BF16, FLOAT, FP16, computed, types, written
from tritonize.core import arrays, artifacts
from tritonize.core.errors import ExportError, UsageError
from tritonize.onnx_model.tasks import FinishRequest
from tritonize.onnx_model.worker import finishing
from tritonize.precision import comparison as precision_comparison
from tritonize.precision.tasks import ReduceRequest, ReduceResult
from tritonize.precision.worker import reduction as worker_reduction
from tritonize.spec import loader, rules, schema

KINDS = ("cnn", "residual", "encoder", "encoder_inf", "unet", "recurrent", "embedding", "heavy")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per network with its finished float32 file, a batch, and what PyTorch answers to it."""
    place = tmp_path_factory.mktemp("halves")
    for name, (network, inputs) in halves.networks().items():
        folder = place / name
        folder.mkdir()
        network.eval()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own age, and of what tracing fixes
            torch.onnx.export(
                network,
                tuple(inputs.values()),
                str(folder / "exported.onnx"),
                input_names=list(inputs),
                output_names=["y"],
                dynamic_axes={each: {0: "batch"} for each in (*inputs, "y")},
                opset_version=18,
                dynamo=False,
            )
        finish(folder / "exported.onnx", folder / "model.onnx")
        with torch.no_grad():
            answer = network(*inputs.values()).numpy()
        np.savez(folder / "batch.npz", **{each: tensor.numpy() for each, tensor in inputs.items()})
        np.save(folder / "y.npy", answer)
    return place


def finish(exported: Path, path: Path, **more) -> None:
    finishing.finish(FinishRequest(exported=exported, path=path, simplify=True, opset=None, consume=False, **more))


def reduce(source: Path, kind: str, folder: Path, **more) -> ReduceResult:
    folder.mkdir(exist_ok=True)
    node_map = source.with_name("node_map.json")
    asked = ReduceRequest(
        source=source,
        node_map=node_map if node_map.exists() else None,
        path=folder / "model.onnx",
        emulation=folder / "emulation.onnx",
        precision=kind,
    )
    return worker_reduction.reduce(replace(asked, **more))


def run(path: Path, batch: dict) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    halves = {each.name for each in session.get_inputs() if each.type == "tensor(float16)"}
    fed = {each.name: batch[each.name] for each in session.get_inputs()}
    return session.run(None, {name: array.astype("f2") if name in halves else array for name, array in fed.items()})[0]


def graph(nodes, inputs, outputs, constants=(), opset: int = 18) -> onnx.ModelProto:
    def declared(tensors):
        return [helper.make_tensor_value_info(*each) for each in tensors]

    weights = [numpy_helper.from_array(array, name) for name, array in dict(constants).items()]
    made = helper.make_graph(nodes, "made", declared(inputs), declared(outputs), weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def made(tmp_path: Path, model: onnx.ModelProto) -> Path:
    onnx.checker.check_model(model, full_check=True)
    path = tmp_path / "source.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("half_io", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_fp16_is_in_the_graph_and_answers_like_pytorch(files, tmp_path, kind, half_io):
    source, batch, expected = files / kind / "model.onnx", np.load(files / kind / "batch.npz"), np.load(files / kind / "y.npy")
    answer = reduce(source, "fp16", tmp_path / "half", half_io=half_io)
    path = tmp_path / "half" / "model.onnx"
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    before = computed(source)
    after = computed(path)
    kept = {("Gemm", FLOAT): 1} if kind == "heavy" else {}  # what takes the large numbers stays
    assert after == {(name, FP16): count - kept.get((name, FLOAT), 0) for (name, _), count in before.items()} | kept
    floats = [tensor.dtype for tensor in (*answer.inputs, *answer.outputs) if tensor.dtype.startswith("fp")]
    assert set(floats) == ({"fp16"} if half_io else {"fp32"})
    assert not [each.name for each in model.graph.initializer if each.data_type == FP16 and not finite(each)]
    for file in ("model.onnx", "emulation.onnx"):
        np.testing.assert_allclose(run(tmp_path / "half" / file, batch).astype("f4"), expected, rtol=0, atol=5e-3)
    outputs = {name for node in onnx.load(source).graph.node for name in node.output}
    assert outputs <= {name for node in model.graph.node for name in node.output}  # nodes are traced by them


def finite(tensor: TensorProto) -> bool:
    return bool(np.isfinite(numpy_helper.to_array(tensor)).all()) or tensor.dims == []  # a mask's -inf is a single number


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_is_in_the_graph_and_its_emulation_answers_like_pytorch(files, tmp_path, kind):
    source, expected = files / kind / "model.onnx", np.load(files / kind / "y.npy")
    answer = reduce(source, "bf16", tmp_path / "half")
    model = onnx.load(tmp_path / "half" / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert answer.opset == 22
    never = {"ConvTranspose", "LSTM", "GRU"}  # TensorRT builds none of them in bf16, or not beside one in fp32
    assert computed(tmp_path / "half" / "model.onnx") == {
        (name, FLOAT if name in never else BF16): count for (name, _), count in computed(source).items()
    }
    emulation = tmp_path / "half" / "emulation.onnx"
    found = run(emulation, np.load(files / kind / "batch.npz"))
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-2)
    assert np.abs(found - expected).max() > 1e-6  # it is rounded
    assert set(computed(emulation).keys()) == {(name, FLOAT) for name, _ in computed(source)}


def test_a_softmax_behind_a_mask_of_1e9_stays_fp32_where_fp16_cannot_hold_it(files, tmp_path):
    reduce(files / "encoder" / "model.onnx", "fp16", tmp_path / "large")
    reduce(files / "encoder" / "model.onnx", "bf16", tmp_path / "held")
    reduce(files / "encoder_inf" / "model.onnx", "fp16", tmp_path / "infinite")
    softmax = {name: computed(tmp_path / name / "model.onnx", ("Softmax",)) for name in ("large", "held", "infinite")}
    assert softmax == {"large": {("Softmax", FLOAT): 1}, "held": {("Softmax", BF16): 1}, "infinite": {("Softmax", FP16): 1}}


@pytest.mark.parametrize("kind", ["fp16", "bf16"])
def test_the_same_bytes_twice(files, tmp_path, kind):
    for folder in ("first", "second"):
        reduce(files / "encoder" / "model.onnx", kind, tmp_path / folder)
    for file in ("model.onnx", "emulation.onnx", "node_map.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_nodes_and_operators_that_the_spec_keeps_stay_fp32(files, tmp_path):
    source = files / "cnn" / "model.onnx"
    first, second = (node.name for node in onnx.load(source).graph.node if node.op_type == "Conv")
    answer = reduce(source, "fp16", tmp_path / "half", keep_nodes=(first,), keep_operators=("Gemm",))
    model = onnx.load(tmp_path / "half" / "model.onnx")
    known = types(model)
    by_name = {node.name: {known[name] for name in node.input} for node in model.graph.node}
    assert by_name[first] == {FLOAT}
    assert by_name[second] == {FP16}
    assert computed(tmp_path / "half" / "model.onnx") == {("Conv", FLOAT): 1, ("Conv", FP16): 1, ("Gemm", FLOAT): 1}
    assert answer.kept["asked for"] == 2


def test_names_that_are_not_in_the_graph_are_refused_with_the_nearest(files, tmp_path):
    with pytest.raises(UsageError) as refused:
        reduce(files / "cnn" / "model.onnx", "fp16", tmp_path / "half", keep_nodes=("/frst/Conv",))
    assert refused.value.found == "/frst/Conv"
    assert "/first/Conv" in refused.value.details[0]
    with pytest.raises(UsageError) as refused:
        reduce(files / "cnn" / "model.onnx", "fp16", tmp_path / "half", keep_operators=("conv",))
    assert refused.value.where == "keep_fp32.operators"
    assert "Conv" in refused.value.details[0]


def test_a_file_that_would_stay_fp32_is_an_error(files, tmp_path):
    operators = sorted({node.op_type for node in onnx.load(files / "cnn" / "model.onnx").graph.node})
    with pytest.raises(ExportError) as refused:
        reduce(files / "cnn" / "model.onnx", "fp16", tmp_path / "half", keep_operators=operators)
    assert refused.value.code == "nothing-reduced"
    assert "asked for" in refused.value.found


def test_casts_are_traced_to_the_module_whose_tensor_they_cast(files, tmp_path):
    source = files / "cnn" / "model.onnx"
    listed = json.loads(source.with_name("node_map.json").read_text())
    for entry in listed["nodes"]:
        entry.pop("unmapped", None)
        entry["module"] = f"of {entry['outputs'][0]}"
    source.with_name("mapped.json").write_text(json.dumps(listed))
    reduce(source, "fp16", tmp_path / "half", node_map=source.with_name("mapped.json"))
    nodes = json.loads((tmp_path / "half" / "node_map.json").read_text())["nodes"]
    (last,) = (entry for entry in nodes if entry["outputs"] == ["y"])
    (gemm,) = (entry for entry in nodes if entry["operator"] == "Gemm")
    assert (last["operator"], last["module"]) == ("Cast", "of y")
    assert (gemm["outputs"], gemm["module"]) == (["y__fp16"], "of y")


def test_fp16_overflow_shows_in_the_emulation_and_not_in_onnxruntime(tmp_path):
    nodes = [helper.make_node("Mul", ["x", "w"], ["t"]), helper.make_node("Mul", ["t", "v"], ["y"])]
    constants = {"w": np.full(4, 300, "f4"), "v": np.full(4, 1 / 512, "f4")}
    source = made(tmp_path, graph(nodes, [("x", FLOAT, [4])], [("y", FLOAT, [4])], constants))
    reduce(source, "fp16", tmp_path / "half")
    batch = {"x": np.array([1, 2, 300, -300], "f4")}
    emulated = run(tmp_path / "half" / "emulation.onnx", batch)
    assert list(np.isinf(emulated)) == [False, False, True, True]
    # Why there is an emulation: if this changes, ONNX Runtime's CPU provider has become a judge of float16.
    assert np.isfinite(run(tmp_path / "half" / "model.onnx", batch)).all()


def test_bf16_emulation_is_numpys_bit_for_bit(tmp_path):
    """Sums of exact products, so that their order does not matter: only the roundings are left."""
    rng = np.random.default_rng(0)
    x = rng.integers(-1024, 1024, (5, 8)).astype("f4") / 512  # 11 bits: rounded to 8
    w, v = (rng.integers(-128, 128, shape).astype("f4") / 64 for shape in ((8, 6), (6, 4)))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["t"]), helper.make_node("MatMul", ["t", "v"], ["y"])]
    source = made(tmp_path, graph(nodes, [("x", FLOAT, [5, 8])], [("y", FLOAT, [5, 4])], {"w": w, "v": v}))
    reduce(source, "bf16", tmp_path / "half")

    def rounded(array: np.ndarray) -> np.ndarray:
        return array.astype("f4").astype(ml_dtypes.bfloat16).astype("f8")

    expected = rounded(rounded(rounded(x) @ rounded(w)) @ rounded(v))
    found = run(tmp_path / "half" / "emulation.onnx", {"x": x})
    assert np.array_equal(found, expected.astype("f4"))
    assert not np.array_equal(found, rounded(x.astype("f8") @ w @ v).astype("f4"))  # what rounding once would give


def test_bf16_emulation_of_a_convolution_and_ties_to_even(tmp_path):
    x = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 3.0, 1 + 2**-9, 0.5], "f4").reshape(1, 1, 6)
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    source = made(tmp_path, graph(nodes, [("x", FLOAT, [1, 1, 6])], [("y", FLOAT, [1, 1, 6])], {"w": np.ones((1, 1, 1), "f4")}))
    reduce(source, "bf16", tmp_path / "half")
    assert run(tmp_path / "half" / "emulation.onnx", {"x": x}).ravel().tolist() == [1.0, 1 + 2**-6, -1.0, 3.0, 1.0, 0.5]


def test_sizes_and_positions_are_computed_in_fp32(tmp_path):
    """Half precision counts to 2048: at 4099 positions a sine of the position would be another one."""
    nodes = [
        helper.make_node("Shape", ["x"], ["size"], start=0, end=1),
        helper.make_node("Squeeze", ["size"], ["count"]),
        helper.make_node("Range", ["zero", "count", "one"], ["places"]),
        helper.make_node("Cast", ["places"], ["position"], to=FLOAT),
        helper.make_node("Mul", ["position", "step"], ["angle"]),
        helper.make_node("Sin", ["angle"], ["wave"]),
        helper.make_node("Mul", ["x", "wave"], ["y"]),
    ]
    constants = {"zero": np.array(0), "one": np.array(1), "step": np.array(0.1, "f4")}
    source = made(tmp_path, graph(nodes, [("x", FLOAT, ["n"])], [("y", FLOAT, ["n"])], constants))
    answer = reduce(source, "fp16", tmp_path / "half")
    assert (answer.reduced, answer.kept) == (1, {"integers": 2})
    x = np.ones(4099, "f4")
    np.testing.assert_allclose(run(tmp_path / "half" / "emulation.onnx", {"x": x}), run(source, {"x": x}), atol=1e-3)


def test_a_tiny_number_that_keeps_a_division_alive_stays_fp32(tmp_path):
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["square"]),
        helper.make_node("Add", ["square", "tiny"], ["above"]),
        helper.make_node("Div", ["x", "above"], ["y"]),
    ]
    source = made(tmp_path, graph(nodes, [("x", FLOAT, [2])], [("y", FLOAT, [2])], {"tiny": np.array(1e-9, "f4")}))
    answer = reduce(source, "fp16", tmp_path / "half")
    assert answer.kept == {"range": 2}
    assert run(tmp_path / "half" / "emulation.onnx", {"x": np.array([0, 2], "f4")}).tolist() == [0, 0.5]


@pytest.mark.parametrize("half_io", [False, True])
def test_subgraphs_shared_weights_and_outputs_that_are_used_again(tmp_path, half_io):
    """An If whose branches take a half tensor and a weight from around them; `y` is an output and an input of more."""
    scalar = ("z", FLOAT, [2])
    then = helper.make_graph([helper.make_node("Add", ["y", "w"], ["z"])], "then", [], [helper.make_tensor_value_info(*scalar)])
    other = helper.make_graph([helper.make_node("Sub", ["y", "w"], ["z"])], "other", [], [helper.make_tensor_value_info(*scalar)])
    nodes = [
        helper.make_node("Mul", ["x", "w"], ["y"]),
        helper.make_node("If", ["yes"], ["chosen"], then_branch=then, else_branch=other),
        helper.make_node("Add", ["chosen", "y"], ["last"]),
    ]
    inputs, outputs = [("x", FLOAT, [2]), ("yes", TensorProto.BOOL, [])], [("last", FLOAT, [2]), ("y", FLOAT, [2])]
    source = made(tmp_path, graph(nodes, inputs, outputs, {"w": np.array([2, 3], "f4")}))
    answer = reduce(source, "fp16", tmp_path / "half", half_io=half_io)
    assert (answer.reduced, answer.kept) == (2, {"subgraphs": 1})
    for yes in (True, False):
        batch = {"x": np.array([1, 4], "f4"), "yes": np.array(yes)}
        for file in ("model.onnx", "emulation.onnx"):
            assert run(tmp_path / "half" / file, batch).tolist() == run(source, batch).tolist()


def test_constants_of_nodes_are_reduced_and_a_mover_stays_between_kept_nodes(tmp_path):
    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.ones(4, "f4"))),
        helper.make_node("Constant", [], ["d"], value_float=2.0),
        helper.make_node("Exp", ["x"], ["e"], name="kept"),
        helper.make_node("Reshape", ["e", "shape"], ["r"]),
        helper.make_node("Exp", ["r"], ["f"]),
        helper.make_node("Add", ["f", "c"], ["g"]),
        helper.make_node("Mul", ["g", "d"], ["y"]),
    ]
    source = made(tmp_path, graph(nodes, [("x", FLOAT, [2, 2])], [("y", FLOAT, [4])], {"shape": np.array([4])}))
    answer = reduce(source, "fp16", tmp_path / "half", keep_operators=("Exp",))
    assert answer.kept == {"asked for": 2, "moves float32": 1}
    assert (answer.reduced, answer.casts) == (2, 2)
    assert "Constant" not in {node.op_type for node in onnx.load(tmp_path / "half" / "model.onnx").graph.node}
    x = {"x": np.zeros((2, 2), "f4")}
    np.testing.assert_allclose(run(tmp_path / "half" / "emulation.onnx", x), run(source, x), rtol=1e-3)


def test_weights_that_old_files_declare_as_inputs_are_no_inputs_of_the_reduced_file(tmp_path):
    inputs = [("x", FLOAT, [2, 3]), ("w", FLOAT, [3, 4])]
    model = graph([helper.make_node("MatMul", ["x", "w"], ["y"])], inputs, [("y", FLOAT, [2, 4])], {"w": np.ones((3, 4), "f4")})
    answer = reduce(made(tmp_path, model), "fp16", tmp_path / "half", half_io=True)
    assert [(tensor.name, tensor.dtype) for tensor in answer.inputs] == [("x", "fp16")]
    assert run(tmp_path / "half" / "model.onnx", {"x": np.ones((2, 3), "f4")}).tolist() == [[3] * 4] * 2


def test_a_scattered_sum_stays_fp32_and_a_scattered_copy_does_not(tmp_path):
    def scatter(reduction: str) -> ReduceResult:
        node = helper.make_node("ScatterND", ["x", "at", "x"], ["t"], reduction=reduction)
        nodes = [helper.make_node("Exp", ["a"], ["x"]), node, helper.make_node("Exp", ["t"], ["y"])]
        model = graph(nodes, [("a", FLOAT, [2])], [("y", FLOAT, [2])], {"at": np.array([[1], [0]])})
        return reduce(made(tmp_path, model), "fp16", tmp_path / "half")

    assert scatter("add").kept == {"operator": 1}
    assert scatter("none").kept == {}


def test_an_answer_that_half_outputs_cannot_hold_is_refused(tmp_path):
    """Cast to fp16 it would be infinite, and so would a wrong answer: they would be equal."""
    tensor = artifacts.TensorSpec(name="y", dtype="fp32", shape=(2,))
    files = artifacts.TensorFiles(directory=tmp_path / "fp32", tensors=(tensor,), count=2)
    declared = (replace(tensor, dtype="fp16"),)
    arrays.save(files, 0, {"y": np.array([1, -np.inf], "f4")})
    arrays.save(files, 1, {"y": np.array([1, 70000], "f4")})
    with pytest.raises(ExportError, match="'y'") as refused:
        precision_comparison.declared(files, declared, tmp_path / "fp16")
    assert (refused.value.code, refused.value.where, refused.value.found) == ("reduced-out-of-range", "sample 1", "70000")
    cast = precision_comparison.declared(replace(files, count=1), declared, tmp_path / "fp16")
    assert arrays.load(cast, 0)["y"].dtype == np.float16
    assert precision_comparison.declared(files, (tensor,), tmp_path / "same") is files


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_weights_in_a_file_of_their_own(tmp_path, limit):
    """As with more than 2 GB: read from the data file, and written into another where they are still too large."""
    rng = np.random.default_rng(0)
    weights = {name: (rng.standard_normal((160, 160)) / 12).astype("f4") for name in ("w", "v")}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["t"]), helper.make_node("MatMul", ["t", "v"], ["y"], name="kept")]
    model = graph(nodes, [("x", FLOAT, [2, 160])], [("y", FLOAT, [2, 160])], weights)
    (tmp_path / "whole").mkdir()
    finish(made(tmp_path, model), tmp_path / "whole" / "model.onnx", inline_limit=0)
    assert (tmp_path / "whole" / "model.onnx.data").exists()
    source = tmp_path / "whole" / "model.onnx"
    answer = reduce(source, "fp16", tmp_path / "half", inline_limit=limit, keep_nodes=("kept",))
    assert answer.data == (None if limit else "model.onnx.data")
    x = {"x": rng.standard_normal((2, 160)).astype("f4")}
    for file in ("model.onnx", "emulation.onnx"):
        np.testing.assert_allclose(run(tmp_path / "half" / file, x), run(source, x), atol=2e-2)


def problems(**fields) -> dict[str, str]:
    model = schema.Model(source="a.pt", inputs={"x": schema.Input(shape=[1])}, **fields)
    return {".".join(path): text for path, text in rules.problems(model)}


def test_rules_between_fields():
    assert "CPU provider" in problems(precision="bf16")["precision"]
    assert "tf32 needs backend tensorrt" in problems(precision="tf32")["precision"]
    assert set(problems(keep_fp32={"operators": ["Softmax"]}, half_io=True)) == {"keep_fp32", "half_io"}
    assert set(problems(keep_fp32={"nodes": ["a"]}, precision="tf32", backend="tensorrt_rtx")) == {"keep_fp32"}
    assert problems(precision="fp16", keep_fp32={"nodes": ["a"]}, half_io=True) == {}
    assert problems(precision="bf16", backend="tensorrt", half_io=True) == {}


PLAIN = "    quality: {edge_cases: false}"


def test_fp16_outside_its_tolerance_fails_and_says_what_to_do(files):
    written(files / "cnn" / "model.onnx", "fp16", 1e-6, more=PLAIN)
    done = tritonize("build", "spec.yaml", "--json")
    assert done.returncode == 1, done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    assert report["verdict"] == "failed"
    failing = {check["stage"] for check in report["checks"] if not check["passed"]}
    assert failing == {"onnxruntime fp16", "onnxruntime fp16 (emulated)"}
    assert {stage["verdict"] for stage in report["stages"] if stage["name"] in failing} == {"failed"}
    (note,) = (note for note in report["notes"] if "differs from PyTorch" in note)
    assert "output y" in note
    assert "keep_fp32" in note


def test_bf16_is_emulated_and_its_plan_is_built_of_the_reduced_file(files):
    pytest.importorskip("tensorrt_rtx")
    written(files / "cnn" / "model.onnx", "bf16", 3e-2, backend="tensorrt_rtx", more=PLAIN)
    done = tritonize("build", "spec.yaml", "--json")
    (report,) = json.loads(done.stdout)["reports"]
    assert report["verdict"] != "failed", report
    assert {check["stage"] for check in report["checks"]} >= {"onnxruntime", "onnxruntime bf16 (emulated)"}
    assert "onnxruntime bf16" not in {stage["name"] for stage in report["stages"]}
    assert any("emulated" in note for note in report["notes"])
    assert report["details"]["onnx"]["precision"] == "bf16"
    (plan,) = report["details"]["plans"]
    built_of = hashlib.sha256(bytes.fromhex(report["details"]["onnx"]["sha256"])).hexdigest()  # see plan.onnx_sha256
    assert plan.get("metadata", plan)["onnx_sha256"] == built_of


def test_the_spec_reads_what_is_kept():
    written("a.onnx", "fp16", 1e-3, more="    keep_fp32: {nodes: [/head/Gemm], operators: [Softmax]}")
    model = loader.load(Path("spec.yaml")).models["net"]
    assert model.keep_fp32 == schema.KeepFp32(nodes=["/head/Gemm"], operators=["Softmax"])
