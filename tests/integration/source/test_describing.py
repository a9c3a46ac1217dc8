"""What a spec leaves out: inputs from files, samples from functions, models from the caller's own process."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

import tritonize as api
from tests.support import tiny_onnx
from tests.support.command import MODELS, tritonize
from tests.support.models.described import Net, draw
from tritonize.cli import input_flags
from tritonize.source.tasks import DrawRequest
from tritonize.source.worker import first_layers, sample_function
from tritonize.workflows import job as job_workflow
from tritonize.workflows import run as run_workflow

NONE, DYNAMIC = torch.export.Dim.STATIC, torch.export.Dim.DYNAMIC


@pytest.fixture(autouse=True)
def _files() -> None:
    shutil.copy(MODELS / "described.py", "described.py")
    torch.jit.script(Net().eval()).save("net.pt")  # quicker to export than the module


def build(*arguments: str):
    done = tritonize("build", *arguments, "--json", timeout=300)
    return done, json.loads(done.stdout)


def program(*shapes) -> None:
    batch = (torch.randint(0, 20, (2, 6)), torch.rand(2, 6))
    torch.export.save(torch.export.export(Net().eval(), batch, dynamic_shapes=shapes), "net.pt2")


def described(answer) -> dict:
    """The inputs of the version's own spec."""
    location = Path(answer["reports"][0]["location"])
    return json.loads((location / "evidence" / "manifest.json").read_text())["spec"]


@pytest.mark.slow
def test_an_exported_program_says_its_inputs():
    program({0: DYNAMIC}, {0: DYNAMIC})
    done, answer = build("net.pt2")
    assert done.returncode == 0, done.stdout + done.stderr
    inputs = described(answer)["inputs"]
    assert inputs["ids"] == {"dtype": "int64", "shape": ["batch", 6]}
    assert inputs["mask"]["shape"] == ["batch", 6]


def test_an_exported_program_says_the_ranges_of_its_axes():
    length = torch.export.Dim("length", min=2, max=9)
    program({0: DYNAMIC, 1: length}, {0: DYNAMIC, 1: length})
    done, answer = build("net.pt2")
    assert done.returncode == 0, done.stdout + done.stderr
    spec = described(answer)
    ((name, axis),) = spec["axes"].items()
    assert (axis["min"], axis["max"]) == (2, 9)
    assert spec["inputs"]["ids"]["shape"] == ["batch", name]


@pytest.mark.slow
def test_a_program_of_one_batch_size_is_not_batched_unless_the_user_asks_for_it():
    program(None, None)
    done, answer = build("net.pt2", "--max-batch-size", "4")
    assert done.returncode == 2
    assert "the first axis of its inputs is fixed" in answer["error"]["what"]
    done, answer = build("net.pt2")
    assert done.returncode == 0, done.stderr
    assert described(answer)["inputs"]["ids"] == {"dtype": "int64", "shape": [2, 6]}
    assert "The first axis of the inputs is fixed in net.pt2, so Triton forms no batches (max_batch_size 0)." in notes(answer)


def notes(answer) -> list[str]:
    return answer["reports"][0]["notes"]


def test_an_onnx_file_with_dynamic_axes_needs_their_sizes_alone():
    """The batch may be named as the file names it."""
    sizes = ["N", "L", 2]
    Path("dynamic.onnx").write_bytes(tiny_onnx.identity([("X", tiny_onnx.FLOAT, sizes)], [("Y", tiny_onnx.FLOAT, sizes)]))
    done, answer = build("dynamic.onnx")
    assert done.returncode == 2
    assert "--axis L=64:224:512" in answer["error"]["next_step"]
    done, answer = build("dynamic.onnx", "--axis", "L=1:3:5", "--axis", "N=1:2:4", "--quick")
    assert done.returncode == 0, done.stderr
    spec = described(answer)
    assert (spec["inputs"]["X"]["shape"], spec["max_batch_size"]) == (["batch", "L", 2], 4)
    assert spec["axes"]["L"] == {"opt": 3, "max": 5}


def test_an_onnx_file_of_fixed_shapes_needs_nothing():
    Path("fixed.onnx").write_bytes(tiny_onnx.identity([("X", tiny_onnx.FLOAT, [1, 2])], [("Y", tiny_onnx.FLOAT, [1, 2])]))
    done, answer = build("fixed.onnx", "--quick")
    assert done.returncode == 0, done.stderr
    assert any("(max_batch_size 0)" in note for note in notes(answer))


def test_a_modules_own_example_describes_its_inputs():
    Path("lightning.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    example_input_array = (torch.tensor([[1, 2, 5]]), torch.rand(1, 3))\n"
        "    def forward(self, ids, weights):\n"
        "        return torch.nn.functional.one_hot(ids, 6).float().transpose(1, 2) @ weights.unsqueeze(-1)\n"
    )
    done, answer = build("lightning:Net", "--quick")
    assert done.returncode == 0, done.stderr
    inputs = described(answer)["inputs"]
    assert inputs["INPUT__0"] == {"dtype": "int64", "shape": ["batch", 3], "range": [1.0, 5.0]}
    assert inputs["INPUT__1"] == {"shape": ["batch", 3]}


class _Heads(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image, self.words = torch.nn.Conv2d(6, 4, 3, groups=2), torch.nn.Embedding(9, 4)
        self.rest = torch.nn.Sequential(torch.nn.Linear(12, 4))

    def forward(self, picture: torch.Tensor, ids: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return self.image(picture).mean((2, 3)) + self.words(ids).mean(1) + self.rest(table)


@pytest.mark.parametrize("make", [torch.jit.script, lambda net: torch.jit.freeze(torch.jit.script(net.eval()))])
def test_first_layers_say_channels_and_features(make):
    found = first_layers.likely_inputs(make(_Heads()))
    assert found == ["picture:fp32:1x6x224x224", "ids:int64:1x16", "table:fp32:1x12"]
    assert input_flags.parse(found, (), no_batch=False).inputs["picture"] == {"dtype": "fp32", "shape": ["batch", 6, 224, 224]}


def test_nothing_is_guessed_where_an_input_goes_elsewhere_first():
    class Scaled(_Heads):
        def forward(self, picture: torch.Tensor, ids: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
            return self.image(picture / 255).mean((2, 3)) + self.words(ids).mean(1) + self.rest(table)

    assert first_layers.likely_inputs(torch.jit.script(Scaled())) == []


def test_an_onnx_file_says_its_inputs_but_no_ranges():
    torch.onnx.export(
        torch.nn.Linear(4, 3),
        (torch.randn(2, 4),),
        "linear.onnx",
        dynamo=False,
        input_names=["x"],
        dynamic_axes={"x": {0: "N"}},
    )
    done, answer = build("linear.onnx")
    assert done.returncode == 0, done.stdout + done.stderr
    assert described(answer)["inputs"] == {"x": {"shape": ["batch", 4]}}
    done, answer = build("linear.onnx", "--no-batch")
    assert done.returncode == 2
    assert "axes: {N: {min: .., max: ..}}" in answer["error"]["next_step"]


@pytest.mark.parametrize("source", ["described:Net", "net.pt"])
def test_torchscript_and_modules_are_asked_for(source):
    done, answer = build(source)
    assert done.returncode == 2
    assert "ids" in answer["error"]["expected"]
    assert "--input ids:" in answer["error"]["next_step"]
    assert not Path(".model_repository.staging").exists() or not list(Path(".model_repository.staging").iterdir())


def test_a_function_draws_samples_and_describes_the_inputs():
    done, answer = build("net.pt", "--sample-function", "described:draw")
    assert done.returncode == 0, done.stdout + done.stderr
    spec = described(answer)
    assert spec["inputs"]["ids"] == {"dtype": "int64", "shape": ["batch", 6]}
    assert spec["samples"] == {"function": "described:draw"}
    drawn = sorted(Path(answer["reports"][0]["location"]).glob("evidence/golden/inputs/*/0.npy"))
    assert max(np.load(file).max() for file in drawn) > 9  # generated ones end there
    again = build("net.pt", "--sample-function", "described:draw")[1]
    for file in drawn:  # a function that draws by chance draws the same again
        other = Path(again["reports"][0]["location"], *file.parts[-5:])
        np.testing.assert_array_equal(np.load(file), np.load(other))


def test_a_function_that_draws_batches_gives_one_sample_for_each_row():
    done, answer = build("net.pt", "--sample-function", "described:draw_three")
    assert done.returncode == 0, done.stdout + done.stderr
    golden = json.loads((Path(answer["reports"][0]["location"]) / "evidence/golden/golden.json").read_text())
    assert (golden["drawn"], golden["count"] - len(golden["edges"])) == (12, 12)


def test_a_function_that_draws_lengths_needs_their_range():
    done, answer = build("net.pt", "--sample-function", "described:draw_numpy")
    assert done.returncode == 2
    assert "differ in shape" in answer["error"]["what"]
    Path("spec.yaml").write_text(
        """
        schema: 1
        models:
          net:
            source: net.pt
            max_batch_size: 2
            inputs: {ids: {dtype: int64, shape: [batch, length]}, mask: {shape: [batch, length]}}
            axes: {length: {min: 2, opt: 6, max: 9}}
            samples: {function: described:draw_numpy, count: 6}
        """
    )
    done, answer = build("spec.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("raises", "no such patient"),
        ("other_names", "differ in names"),
        ("opaque", "neither an array nor a tensor"),
        ("missing", "The sample function does not exist"),
        ("nothing", "returned no inputs"),
        ("slashes", "an input with an invalid name"),
    ],
)
def test_a_bad_function_of_samples(function, words, monkeypatch):
    monkeypatch.syspath_prepend(str(Path.cwd()))
    monkeypatch.delitem(sys.modules, "described", raising=False)
    with pytest.raises(api.UsageError) as error:
        sample_function.draw(DrawRequest(function=f"described:{function}", count=2, seed=0, directory=Path("drawn")))
    assert words in str(error.value)


@pytest.mark.parametrize(("function", "code", "words"), [("stops", 2, "exited with code"), ("empty", 2, "a whole number from 1")])
def test_a_function_of_samples_that_ends_the_command(function, code, words):
    done, answer = build("net.pt", "--sample-function", f"described:{function}")
    assert done.returncode == code
    assert words in json.dumps(answer["error"])


@pytest.mark.slow
def test_check_takes_the_inputs_from_the_file_that_has_them():
    program({0: DYNAMIC}, {0: DYNAMIC})
    done = tritonize("check", "net.pt", "net.pt2", timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr


def test_memory_is_bounded():
    Path("spec.yaml").write_text(
        "schema: 1\nmodels: {m: {source: 'described:Hungry', memory_mib: 1500, inputs: {x: {shape: [4]}}}}\n"
    )
    done, answer = build("spec.yaml")
    assert done.returncode == 4
    assert "too much memory" in answer["error"]["found"]
    assert "memory_mib" in answer["error"]["next_step"]


def test_a_module_of_the_callers_own_process():
    module = Net().train()
    (report,) = api.build(module, example=draw(0))
    assert report.verdict == "passed"
    assert report.model == "Net"
    assert report.details["source"]["kind"] == "module"
    assert module.training  # a copy was put in evaluation mode
    assert {tensor.name for check in report.checks for tensor in check.tensors} == {"logits"}


def test_a_scripted_module_of_the_callers_own_process():
    (report,) = api.build(torch.jit.script(Net().eval()), example=draw(0))
    assert report.verdict == "passed"
    assert report.details["source"]["kind"] == "torchscript"


@pytest.mark.slow
def test_an_exported_program_of_the_callers_own_process():
    example = (torch.randint(0, 20, (2, 6)), torch.rand(2, 6))
    (report,) = api.build(torch.export.export(Net().eval(), example), max_batch_size=0, name="net")
    assert report.verdict == "passed"
    assert report.details["source"]["kind"] == "exported_program"


@pytest.mark.slow
def test_a_class_of_a_script():
    script = """
import torch, tritonize
class Mine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.double = lambda x: 2 * x
    def forward(self, x):
        return self.double(x)
if __name__ == "__main__":
    (report,) = tritonize.build(Mine(), example=torch.randn(1, 4))
    print(report.verdict)
"""
    Path("script.py").write_text(script)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=200, check=False)
    assert done.stdout.strip() == "passed", done.stderr


def test_what_cannot_be_handed_over():
    module = Net()
    module.lock = threading.Lock()
    with pytest.raises(api.UsageError, match="cannot be passed to a worker process"):
        api.build(module, example=draw(0))
    with pytest.raises(api.UsageError) as error:
        api.build(Net(), exmple=draw(0))
    assert "exmple" in str(error.value)
    with pytest.raises(api.UsageError) as error:
        api.build(Net())
    assert "example=" in str(error.value)
    with pytest.raises(api.UsageError) as error:
        api.build("spec.yaml", name="x")
    assert (error.value.code, error.value.found) == ("api-description-with-spec", "name")


SWAPPED = """
import torch

class Sub(torch.nn.Module):
    def forward(self, a, b):
        return a - 2 * b

class Dicts(torch.nn.Module):
    def forward(self, batch, scale):
        return batch["x"] * scale - batch["m"]

SCALE = 1.0

class Scaled(torch.nn.Module):
    def forward(self, x):
        return x * SCALE
"""


@pytest.fixture
def own_module(monkeypatch):
    """SWAPPED as a module that workers can import too."""
    Path("swapped.py").write_text(SWAPPED)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    found = importlib.util.spec_from_file_location("swapped", Path("swapped.py").absolute())
    module = importlib.util.module_from_spec(found)
    monkeypatch.setitem(sys.modules, "swapped", module)
    found.loader.exec_module(module)
    return module


def ask(report, **inputs):
    location = report["location"] if isinstance(report, dict) else report.location
    session = onnxruntime.InferenceSession(str(Path(location) / "model.onnx"), providers=["CPUExecutionProvider"])
    return session.run(None, {name: np.asarray(value, np.float32) for name, value in inputs.items()})[0]


@pytest.mark.slow
def test_inputs_of_a_program_go_by_its_names(own_module):
    torch.export.save(torch.export.export(own_module.Sub(), (torch.rand(2, 3), torch.rand(2, 3))), "sub.pt2")
    Path("s.yaml").write_text("schema: 1\nmodels: {s: {source: sub.pt2, inputs: {b: {shape: [2, 3]}, a: {shape: [2, 3]}}}}\n")
    done, answer = build("s.yaml")
    assert done.returncode == 0, done.stdout
    assert ask(answer["reports"][0], a=np.ones((2, 3)), b=np.zeros((2, 3))).tolist() == np.ones((2, 3)).tolist()
    Path("s.yaml").write_text("schema: 1\nmodels: {s: {source: sub.pt2, inputs: {b: {shape: [2, 3]}, c: {shape: [2, 3]}}}}\n")
    done, answer = build("s.yaml")
    assert done.returncode == 2
    assert answer["error"]["expected"] == "a, b"


def test_a_traced_graph_takes_its_inputs_by_name(own_module):
    traced = torch.fx.symbolic_trace(own_module.Sub())
    (report,) = api.build(traced, example={"b": torch.rand(1, 3), "a": torch.rand(1, 3)})
    assert ask(report, a=np.ones((1, 3)), b=np.zeros((1, 3))).tolist() == [[1, 1, 1]]


@pytest.mark.slow
def test_a_program_with_nested_inputs_is_described_and_run(own_module):
    module = own_module.Dicts()
    example = {"batch": {"x": torch.rand(2, 3), "m": torch.rand(2, 3)}, "scale": torch.rand(2, 3)}
    dynamic = {"batch": {"x": {0: DYNAMIC}, "m": {0: DYNAMIC}}, "scale": {0: DYNAMIC}}
    torch.export.save(torch.export.export(module, (), example, dynamic_shapes=dynamic), "dicts.pt2")
    done, answer = build("dicts.pt2")
    assert done.returncode == 0, done.stdout
    assert set(described(answer)["inputs"]) == {"batch_x", "batch_m", "scale"}


def test_a_list_of_examples_is_as_good_as_a_tuple(own_module):
    (report,) = api.build(own_module.Sub(), example=[torch.rand(1, 3), torch.rand(1, 3)])
    assert report.verdict == "passed"


@pytest.mark.slow
def test_the_module_that_is_proven_is_the_callers(own_module):
    own_module.SCALE = 5.0  # in this process alone
    with pytest.raises(api.UsageError, match="differ from those in your process"):
        api.build(own_module.Scaled(), example=torch.rand(1, 3))
    own_module.SCALE = 1.0
    assert api.build(own_module.Scaled(), example=torch.rand(1, 3))[0].verdict == "passed"


@pytest.mark.slow
def test_an_example_of_zeros_says_nothing_of_a_range():
    (report,) = api.build(Net(), example=torch.zeros(1, 6, dtype=torch.long))
    location = report.location
    assert "range" not in json.loads((location / "evidence" / "manifest.json").read_text())["spec"]["inputs"]["INPUT__0"]


def onnx_file(name: str, *shape) -> None:
    ports = [helper.make_tensor_value_info(each, TensorProto.FLOAT, list(shape)) for each in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ports[:1], ports[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), name)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((None, 3, None, None), "axes: {axis_1: {min: .., max: ..}, axis_2: {min: .., max: ..}}"),
        (("seq", "batch", 5), "axes: {axis_1"),
        (("N", "N"), "must be the first axis only"),
        (("batch", 0), "a size must be a whole number from 1"),
    ],
)
def test_axes_of_a_file_are_kept_apart(shape, words):
    onnx_file("x.onnx", *shape)
    done, answer = build("x.onnx")
    assert done.returncode == 2, done.stdout
    assert words in json.dumps(answer["error"])


def test_axes_that_the_file_has_not_are_an_error():
    onnx_file("x.onnx", "batch", "width")
    Path("s.yaml").write_text("schema: 1\nmodels: {s: {source: x.onnx, max_batch_size: 2, axes: {widht: {min: 2, max: 9}}}}\n")
    done, answer = build("s.yaml")
    assert done.returncode == 2
    assert "width" in json.dumps(answer["error"])


@pytest.mark.parametrize("what", [None, 3, Net])
def test_an_object_that_is_no_model_is_an_error(what):
    with pytest.raises(api.UsageError) as error:
        api.build(what)
    assert error.value.code == "api-no-subject"


def test_what_a_run_is_told_beside_the_specification_reaches_it(monkeypatch, tmp_path):
    told = []
    monkeypatch.setattr(run_workflow, "run", lambda prepared, models, options: told.append(options) or ())
    path = tmp_path / "spec.yaml"
    (tmp_path / "m.onnx").touch()
    path.write_text("schema: 1\nmodels:\n  m:\n    source: m.onnx\n")
    api.run(path, allow_unproven=True, plans=["here", tmp_path], on_stage=print)
    api.run(path)
    options = job_workflow.Options(allow_unproven=True, plans=(Path("here"), tmp_path), set_in="spec.yaml", on_stage=print)
    assert told == [options, job_workflow.Options(set_in="spec.yaml")]
