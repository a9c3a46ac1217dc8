"""What a spec leaves out: inputs from files, samples from functions, models from the caller's own process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import tritonize as api
from tests.conftest import MODELS, tritonize
from tests.models.described import Net, draw

NONE, DYNAMIC = torch.export.Dim.STATIC, torch.export.Dim.DYNAMIC


@pytest.fixture(autouse=True)
def _files() -> None:
    shutil.copy(MODELS / "described.py", "described.py")


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


def test_a_program_of_one_batch_size_cannot_be_batched():
    program(None, None)
    done, answer = build("net.pt2")
    assert done.returncode == 2
    assert "fixes the first axis" in answer["error"]["what"]
    assert build("net.pt2", "--no-batch")[0].returncode == 0


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
    torch.jit.script(Net().eval()).save("net.pt")
    done, answer = build(source)
    assert done.returncode == 2
    assert "ids" in answer["error"]["expected"]
    assert "--input ids:" in answer["error"]["next_step"]
    assert not Path(".model_repository.staging").exists() or not list(Path(".model_repository.staging").iterdir())


def test_a_function_draws_samples_and_describes_the_inputs():
    done, answer = build("described:Net", "--sample-function", "described:draw")
    assert done.returncode == 0, done.stdout + done.stderr
    spec = described(answer)
    assert spec["inputs"]["ids"] == {"dtype": "int64", "shape": ["batch", 6]}
    assert spec["samples"] == {"function": "described:draw"}
    drawn = sorted(Path(answer["reports"][0]["location"]).glob("evidence/golden/inputs/*/0.npy"))
    assert max(np.load(file).max() for file in drawn) > 9  # generated ones end there
    again = build("described:Net", "--sample-function", "described:draw")[1]
    for file in drawn:  # a function that draws by chance draws the same again
        other = Path(again["reports"][0]["location"], *file.parts[-5:])
        np.testing.assert_array_equal(np.load(file), np.load(other))


def test_a_function_that_draws_batches_gives_one_sample_for_each_row():
    done, answer = build("described:Net", "--sample-function", "described:draw_three")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(Path(answer["reports"][0]["location"]).glob("evidence/golden/inputs/*/0.npy"))) == 12


def test_a_function_that_draws_lengths_needs_their_range():
    done, answer = build("described:Net", "--sample-function", "described:draw_numpy")
    assert done.returncode == 2
    assert "differ in shape" in answer["error"]["what"]
    Path("spec.yaml").write_text(
        """
        schema: 1
        models:
          net:
            source: described:Net
            max_batch_size: 2
            inputs: {ids: {dtype: int64, shape: [batch, length]}, mask: {shape: [batch, length]}}
            axes: {length: {min: 2, opt: 6, max: 9}}
            samples: {function: described:draw_numpy, count: 6}
        """
    )
    done, answer = build("spec.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("function", "code", "words"),
    [
        ("raises", 2, "no such patient"),
        ("other_names", 2, "differ in names"),
        ("text", 2, "no array or tensor"),
        ("missing", 2, "no such function"),
        ("stops", 4, "exited the process"),
    ],
)
def test_a_bad_function_of_samples(function, code, words):
    done, answer = build("described:Net", "--sample-function", f"described:{function}")
    assert done.returncode == code
    assert words in json.dumps(answer["error"])


def test_check_takes_the_inputs_from_the_file_that_has_them():
    program({0: DYNAMIC}, {0: DYNAMIC})
    torch.jit.script(Net().eval()).save("net.pt")
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


def test_an_exported_program_of_the_callers_own_process():
    example = (torch.randint(0, 20, (2, 6)), torch.rand(2, 6))
    (report,) = api.build(torch.export.export(Net().eval(), example), max_batch_size=0, name="net")
    assert report.verdict == "passed"
    assert report.details["source"]["kind"] == "exported_program"


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
    with pytest.raises(api.UsageError, match="cannot be handed"):
        api.build(module, example=draw(0))
    with pytest.raises(api.UsageError) as error:
        api.build(Net(), exmple=draw(0))
    assert "exmple" in str(error.value)
    with pytest.raises(api.UsageError) as error:
        api.build(Net())
    assert "example=" in str(error.value)
    with pytest.raises(api.UsageError, match="describes its models itself"):
        api.build("spec.yaml", name="x")
