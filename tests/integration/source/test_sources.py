"""Every kind of source, good and bad: TorchScript, exported programs, factories with weights, ONNX files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.support.command import MODELS, tritonize
from tests.support.models import zoo

INPUT = ("--input", "x:fp32:1x4")


@pytest.fixture
def program() -> Path:
    """classifier.pt2, captured with a dynamic batch."""
    captured = torch.export.export(
        zoo.classifier().eval(), (torch.randn(2, 4),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), strict=False
    )
    torch.export.save(captured, "classifier.pt2")
    return Path("classifier.pt2")


def graph(*, cycle: bool = False, external: str | None = None, nan: bool = False) -> onnx.ModelProto:
    """x [batch, 4] times a 4x4 weight, and what can be wrong with it."""
    values = np.eye(4, dtype=np.float32)
    weight = numpy_helper.from_array(values * (np.nan if nan else 1), "w")
    if external:
        weight = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 4], data_location=TensorProto.EXTERNAL)
        weight.external_data.add(key="location", value=external)
    nodes = [helper.make_node("MatMul", ["b" if cycle else "x", "w"], ["a"]), helper.make_node("Add", ["a", "x"], ["b"])]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("x", "b")]
    made = helper.make_graph(nodes, "g", ports[:1], ports[1:], [weight])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def build(*arguments: str):
    done = tritonize("build", *arguments, "--json")
    return done, json.loads(done.stdout)


def test_an_exported_program(program):
    done, answer = build(str(program), *INPUT)
    assert done.returncode == 0, done.stderr
    assert answer["reports"][0]["details"]["source"]["kind"] == "exported_program"


def test_safetensors_weights():
    from safetensors.torch import save_file

    shutil.copy(MODELS / "zoo.py", "zoo.py")
    save_file(zoo.classifier(16).state_dict(), "weights.safetensors")
    Path("s.yaml").write_text(
        "schema: 1\nmodels: {m: {source: 'zoo:classifier', kwargs: {hidden: 16}, weights: weights.safetensors, "
        "inputs: {x: {shape: [batch, 4]}}, max_batch_size: 2}}\n"
    )
    done, answer = build("s.yaml")
    assert done.returncode == 0, done.stderr
    assert "weights.safetensors" in answer["reports"][0]["details"]["source"]["sha256"]


@pytest.mark.parametrize("external", [False, True])
def test_an_onnx_file_enters_after_the_export(external):
    model = graph()
    if external:
        onnx.save(model, "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    else:
        onnx.save(model, "m.onnx")
    kept = {name: Path(name).read_bytes() for name in os.listdir() if name.startswith("m.onnx")}
    done, answer = build("m.onnx", *INPUT)
    assert done.returncode == 0, done.stderr
    (report,) = answer["reports"]
    assert "torch" not in report["versions"]
    assert any("PyTorch did not run" in note for note in report["notes"])
    assert {check["stage"] for check in report["checks"]} == {"source", "onnxruntime"}
    assert {name: Path(name).read_bytes() for name in kept} == kept  # the user's files are not touched
    assert not (Path(report["location"]) / "m.onnx.data").exists()


@pytest.mark.parametrize(
    ("model", "words", "code"),
    [
        (graph(external="../outside.bin"), ["outside the file's folder", "../outside.bin"], (2,)),
        (graph(external="/etc/hostname"), ["outside the file's folder", "/etc/hostname"], (2,)),
        (graph(external="absent.bin"), ["external data is missing", "absent.bin"], (2,)),
        (graph(cycle=True), ["onnx"], (4,)),
        (helper.make_model(helper.make_graph([], "g", [], [])), [], (2, 4)),
    ],
)
def test_a_bad_onnx_file_is_refused(model, words, code):
    Path("deep").mkdir()
    onnx.save(model, "deep/m.onnx")
    before = set(os.listdir())
    done = tritonize("build", "deep/m.onnx", *INPUT)
    assert done.returncode in code, done.stderr
    for word in words:
        assert word in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert set(os.listdir()) == before


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_truncated_program_is_refused(program, cut):
    whole = program.read_bytes()
    Path("cut.pt2").write_bytes(whole[: int(len(whole) * cut)])
    done = tritonize("build", "cut.pt2", *INPUT)
    assert done.returncode == 2
    assert "truncated" in done.stderr


def test_a_program_with_a_pickle_inside_never_runs_it(program):
    """torch.export.load falls back to loading pickles; here it must not."""
    import pickle
    import zipfile

    class Evil:
        def __reduce__(self):
            return (os.system, ("touch was_run",))

    with zipfile.ZipFile(program) as good, zipfile.ZipFile("evil.pt2", "w", zipfile.ZIP_STORED) as bad:
        for item in good.infolist():
            content = good.read(item)
            if item.filename.endswith("sample_inputs/model.pt"):
                content = pickle.dumps(Evil())
            bad.writestr(item.filename, content)
    done = tritonize("build", "evil.pt2", *INPUT)
    assert not Path("was_run").exists()
    assert done.returncode == 4, done.stderr


@pytest.mark.parametrize("name", ["classifier.pt", "classifier.pt2", "zoo:classifier", "m.onnx"])
def test_inspect_shows_what_a_file_says(name, model_files, program):
    shutil.copy(MODELS / "zoo.py", "zoo.py")
    shutil.copy(model_files / "classifier.pt", "classifier.pt")
    onnx.save(graph(), "m.onnx")
    done = tritonize("inspect", name, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["parameters"] == (16 if name == "m.onnx" else 67)
    assert [tensor["name"] for tensor in found["inputs"]] == ["x"]
    assert sum(found["operators"].values()) >= 2
    assert found["opset"] == (18 if name == "m.onnx" else None)
    told = tritonize("inspect", name)
    assert "parameters" in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        ("classifier.pt", "zoo:classifier", 0),
        ("zoo:classifier", "classifier.pt2", 0),
        ("classifier.pt", "other.onnx", 1),
        ("classifier.pt", "scores.pt", 2),
    ],
)
def test_check_compares_any_two(first, second, code, model_files, program):
    shutil.copy(MODELS / "zoo.py", "zoo.py")
    for name in ("classifier.pt", "scores.pt"):
        shutil.copy(model_files / name, name)
    other = graph()
    other.graph.input[0].name = "INPUT__0"
    for node in other.graph.node:
        node.input[:] = ["INPUT__0" if name == "x" else name for name in node.input]
    onnx.save(other, "other.onnx")
    done = tritonize("check", first, second, "--input", "INPUT__0:fp32:1x4", "--json")
    assert done.returncode == code, done.stderr + done.stdout
    assert not Path(os.environ["HOME"], ".cache", "Microsoft").exists()  # ONNX Runtime's telemetry is off
    if code == 1:
        (report,) = json.loads(done.stdout)["reports"]
        assert report["verdict"] == "failed"
        assert any("shape" in tensor["reason"] for check in report["checks"] for tensor in check["tensors"] if not tensor["passed"])


def test_weights_among_the_inputs_and_unused_inputs_of_an_onnx_file():
    old = graph()
    old.ir_version = 3
    old.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 4]))  # as files of that time list weights
    onnx.save(old, "old.onnx")
    unused = graph()
    unused.graph.input.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, ["batch", 2]))
    onnx.save(unused, "unused.onnx")
    for name in ("old.onnx", "unused.onnx"):
        done, answer = build(name)
        assert done.returncode == 0, done.stdout
        (report,) = answer["reports"]
        assert report["details"]["onnx"]["simplified"]
        assert any("They become constants" in note for note in report["notes"]) == (name == "old.onnx")


def test_weights_of_a_subgraph_outside_the_folder_are_refused():
    weight = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="../secret.bin")
    Path("secret.bin").write_bytes(bytes(16))
    branches = []
    for name in ("then", "else"):
        node = helper.make_node("Identity", ["w"], [f"{name}_y"])
        value = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, [4])
        branches.append(helper.make_graph([node], name, [], [value], [weight]))
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    choice = helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])
    made = helper.make_graph([choice], "g", [condition], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])])
    Path("inner").mkdir()
    Path("inner/m.onnx").write_bytes(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString())
    done, answer = build("inner/m.onnx", "--no-batch")
    assert done.returncode == 2
    assert "outside" in answer["error"]["what"]
