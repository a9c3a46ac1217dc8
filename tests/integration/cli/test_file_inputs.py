"""An ONNX file and flags that do not fit it, where a version is published already."""

from __future__ import annotations

from pathlib import Path

from tests.support import tiny_onnx
from tests.support.command import invoke


def test_the_first_error_is_about_the_source_also_where_a_published_configuration_differs() -> None:
    values = ("tokens", tiny_onnx.INT64, ["batch", "length", 4]), ("scale", tiny_onnx.FLOAT, ["batch"])
    Path("m.onnx").write_bytes(tiny_onnx.identity(values, [("y", tiny_onnx.INT64, ["batch", "length", 4])]))
    Path("model_repository/m/1").mkdir(parents=True)
    Path("model_repository/m/config.pbtxt").write_text('name: "m"\nmax_batch_size: 7\n')
    answer = invoke("run", "m.onnx", "--axis", "length=4:8", "-i", "token:int64:batchxlengthx4", "-i", "scale:fp32:batch")
    assert answer.returncode == 2
    assert "The ONNX file has no input 'token'." in answer.stderr
    assert "did you mean: tokens" in answer.stderr
