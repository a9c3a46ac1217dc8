"""A spec that `tritonize init` wrote is run as it is, with the real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import tiny_onnx
from tests.support.command import invoke, tritonize


@pytest.mark.server
def test_run_takes_the_file_as_it_is() -> None:
    sizes = ["N", "L", 2]
    Path("dynamic.onnx").write_bytes(tiny_onnx.identity([("X", tiny_onnx.FLOAT, sizes)], [("Y", tiny_onnx.FLOAT, sizes)]))
    assert invoke("init", "dynamic.onnx").returncode == 0
    done = tritonize("run", "dynamic.yaml", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED (QUICK) dynamic version 1" in done.stdout
