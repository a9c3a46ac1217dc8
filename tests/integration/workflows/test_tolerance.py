"""`tritonize tolerance` of a spec: a new comparison, which keeps nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support import tiny_onnx
from tritonize.cli.app import app

SPEC = """
schema: 1
models:
  m:
    source: m.onnx
    max_batch_size: 2
    inputs: {X: {shape: [batch, 3]}}
    axes: {batch: {max: 2}}
    outputs: {Y: {tolerance: {rtol: 0.5, atol: 0.5}}}
"""


def test_the_tolerance_of_a_spec_is_measured_and_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("m.onnx").write_bytes(tiny_onnx.identity([("X", tiny_onnx.FLOAT, ["b", 3])], [("Y", tiny_onnx.FLOAT, ["b", 3])]))
    Path("spec.yaml").write_text(SPEC)
    result = CliRunner().invoke(app, ["tolerance", "spec.yaml", "--json"])
    assert result.exit_code == 0, result.output
    (model,) = json.loads(result.stdout)["models"]
    (output,) = model["outputs"]
    assert (output["output"], output["passed"], output["least_atol"], output["rtol"]) == ("Y", True, 0.0, 0.5)
    assert model["limits"]["wider"] == ["Y: rtol", "Y: atol"]
    assert model["limits"]["set_in"] == "spec.yaml"
    assert sorted(each.name for each in folder.iterdir()) == ["m.onnx", "spec.yaml"]
