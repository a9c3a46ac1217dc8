"""No name of a user's sample file in anything that a run publishes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support import tiny_onnx
from tests.support.command import invoke

SPEC = """
schema: 1
models:
  net:
    source: net.onnx
    inputs: {X: {shape: [batch, 3]}}
    max_batch_size: 4
    warmup_files: [Jane_Poe.bin]
    triton:
      model_warmup:
        - {name: w, batch_size: 1, inputs: {X: {data_type: TYPE_FP32, dims: [3], input_data_file: Jane_Poe.bin}}}
    variants: {large: {instance_group: [{kind: KIND_CPU, count: 3}]}}
"""


@pytest.mark.server
def test_no_published_byte_has_the_name_of_a_sample_file() -> None:
    Path("net.onnx").write_bytes(tiny_onnx.identity([("X", tiny_onnx.FLOAT, ["b", 3])], [("Y", tiny_onnx.FLOAT, ["b", 3])]))
    Path("spec.yaml").write_text(SPEC)
    Path("Jane_Poe.bin").write_bytes(np.float32([1, 2, 3]).tobytes())
    Path("Jane_Roe").mkdir()
    np.save("Jane_Roe/X.npy", np.float32([[4, 5, 6]]))
    Path("scans").mkdir()
    np.savez("scans/Jane Doe.npz", X=np.float32([[7, 8, 9.5]]))
    command = ["run", "spec.yaml", "--sample-file", "scans/Jane Doe.npz", "--sample-file", "Jane_Roe"]
    done = invoke(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    published = [path for path in Path("model_repository").rglob("*") if path.is_file()]
    assert len(published) > 10
    for path in published:
        assert "Jane" not in str(path)
        assert b"Jane" not in path.read_bytes(), path
    assert "SAMPLE_FILE" in Path("model_repository/net/1/evidence/manifest.json").read_text()

    # The content counts, not the name.
    Path("scans/Jane Doe.npz").rename("scans/John Doe.npz")
    command[3] = "scans/John Doe.npz"
    done = invoke(*command)
    assert (done.returncode, "UP TO DATE net version 1" in done.stdout) == (0, True), done.stdout + done.stderr
