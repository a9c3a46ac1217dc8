"""A version with a warmup and a named variant of its configuration, as the real server loads it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import tiny_onnx
from tests.support.command import tritonize
from tritonize.triton import acceptance, client
from tritonize.triton.server import embedded

SPEC = """
schema: 1
models:
  net:
    source: net.onnx
    inputs: {X: {shape: [batch, 3]}}
    max_batch_size: 4
    warmup: samples
    variants: {large: {instance_group: [{kind: KIND_CPU, count: 3}]}}
"""
PLACE = Path("model_repository")


@pytest.mark.server
def test_the_server_reads_the_warmup_and_serves_by_the_variant(tmp_path: Path) -> None:
    Path("net.onnx").write_bytes(tiny_onnx.identity([("X", tiny_onnx.FLOAT, ["b", 3])], [("Y", tiny_onnx.FLOAT, ["b", 3])]))
    Path("spec.yaml").write_text(SPEC)
    done = tritonize("run", "spec.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((PLACE / "net/warmup").iterdir())) == 1

    with (
        embedded.start(PLACE, directory=tmp_path / "log", models=["net"], variant="large") as server,
        client.connect_to(server, "grpc") as connection,
    ):
        served = connection.model_config("net")
    assert [group["count"] for group in served["instance_group"]] == [3]

    shutil.copytree(PLACE, "short")
    (file,) = Path("short/net/warmup").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    answer = acceptance.ask(Path("short"), ["net"], directory=tmp_path / "short")["net"]
    assert not answer.loaded
    assert "warmup setting expects 12 bytes" in answer.reason
