"""`tritonize init` writes a spec that `run` takes as it is, or that says what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import tiny_onnx
from tests.support.command import invoke
from tritonize.core.errors import UsageError
from tritonize.spec import loader

HOSTILE = ["no", 'a "b" #c', "images:0", "[x]"]


def onnx(name: str, tensors: list[tiny_onnx.Value]) -> None:
    outputs = [(f"out {place}", element, shape) for place, (_, element, shape) in enumerate(tensors)]
    Path(name).write_bytes(tiny_onnx.identity(tensors, outputs))


def test_what_an_onnx_file_says_is_read_back_by_the_loader_whatever_its_names_are() -> None:
    onnx("net v1.onnx", [(name, tiny_onnx.FLOAT, ["N", 3, "H"]) for name in HOSTILE])
    done = invoke("init", "net v1.onnx")
    assert done.returncode == 0, done.stderr
    assert "a guess, which the file marks: axis H" in done.stdout
    assert "next: tritonize run net_v1.yaml" in done.stdout
    (model,) = loader.load(Path("net_v1.yaml")).models.values()
    assert list(model.inputs) == HOSTILE
    assert model.inputs["no"].shape == ["batch", 3, "H"]
    assert model.outputs.keys() == {f"out {place}" for place in range(4)}
    assert (model.source, model.max_batch_size, model.axes["H"].opt) == ("net v1.onnx", 2, 32)
    text = Path("net_v1.yaml").read_text()
    assert "H: {min: 16, opt: 32, max: 64}" in text
    assert "# a guess: the file does not state the sizes" in text
    again = invoke("init", "net v1.onnx")
    assert again.returncode == 6
    assert "overwrites nothing" in again.stderr
    assert Path("net_v1.yaml").read_text() == text


def test_paths_are_relative_to_the_new_file_and_fixed_axes_are_not_batched() -> None:
    Path("specs").mkdir()
    onnx("fixed.onnx", [("x", tiny_onnx.INT64, [1, 4]), ("words", tiny_onnx.STRING, [1])])
    assert invoke("init", "fixed.onnx", "--output", "specs/mine.yaml").returncode == 0
    (model,) = loader.load(Path("specs/mine.yaml")).models.values()
    assert Path(model.source).resolve() == Path("fixed.onnx").resolve()
    assert model.max_batch_size == 0
    assert model.samples.texts["words"] == ["good morning", "good night"]
    assert invoke("init", "fixed.onnx", "--output", "nowhere/mine.yaml").returncode == 6


def test_a_torchscript_file_gets_a_guess_or_a_place_to_fill_in() -> None:
    code = (
        "import torch\n"
        "class Scaled(torch.nn.Module):\n"
        "    def forward(self, picture):\n"
        "        return picture / 255\n"
        "torch.jit.script(Scaled()).save('scaled.pt')\n"
        "torch.jit.script(torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3))).save('conv.pt')\n"
    )
    Path("make.py").write_text(code)  # a module is scripted from its source
    subprocess.run([sys.executable, "make.py"], check=True, timeout=120)
    done = invoke("init", "conv.pt")
    assert "a guess, which the file marks: input input" in done.stdout
    (model,) = loader.load(Path("conv.yaml")).models.values()
    assert model.inputs["input"].shape == ["batch", 3, 224, 224]

    done = invoke("init", "scaled.pt")
    assert "to be filled in: the inputs picture" in done.stdout
    text = Path("scaled.yaml").read_text()
    with pytest.raises(UsageError) as raised:
        loader.load(Path("scaled.yaml"))
    number = text.splitlines().index(next(line for line in text.splitlines() if line.startswith("    inputs:"))) + 1
    (detail,) = raised.value.details
    assert detail.startswith(f"line {number}: models.scaled.inputs: ")
    Path("scaled.yaml").write_text(text.replace("      # picture", "      picture"))
    assert loader.load(Path("scaled.yaml")).models["scaled"].inputs["picture"].shape == ["batch", 3, 224, 224]
