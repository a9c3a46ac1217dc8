"""A decoupled step on the real server, from its spec to a deployment that is verified with its golden file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import tritonize

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("python")]
SPEC = """
schema: 1
models:
  counter:
    python: steps.py:count
    inputs: {x: {shape: [2], range: [0, 5]}}
    outputs: {y: {dtype: fp32, shape: [2]}}
    triton: {model_transaction_policy: {decoupled: true}}
"""
STEP = """
import numpy as np

def count(x):
    for number in range(1 + int(x[0])):
        yield x + np.float32(number)
"""


def test_a_decoupled_step_is_compared_response_by_response() -> None:
    Path("steps.py").write_text(STEP)
    Path("spec.yaml").write_text(SPEC)
    done = tritonize("run", "spec.yaml", "--json", timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    verdicts = {stage["name"]: stage["verdict"] for stage in report["stages"]}
    assert [verdicts[name] for name in ("stream", "invariances", "concurrent")] == ["passed"] * 3
    assert [verdicts[name] for name in ("http", "grpc", "shm")] == ["not run"] * 3
    facts = json.loads(Path("model_repository/counter/1/evidence/golden/golden.json").read_text())
    responses = sum(1 for check in report["checks"] if check["stage"] == "stream")
    assert responses == facts["count"] > len(facts["requests"])
