"""What a spec or flags say about the inputs of an ONNX file, compared with the file before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import tiny_onnx
from tests.support.command import invoke
from tritonize.core.artifacts import Source
from tritonize.core.errors import UsageError
from tritonize.source import file_inputs
from tritonize.spec import schema

TOKENS, SCALE = ("tokens", tiny_onnx.INT64, ["batch", "length", 4]), ("scale", tiny_onnx.FLOAT, ["batch"])
GIVEN = {"tokens": {"dtype": "int64", "shape": ["batch", "length", 4]}, "scale": {"shape": ["batch"]}}


def described(inputs: dict[str, object]) -> schema.Model:
    axes = {"length": {"min": 4, "max": 8}}
    return schema.Model.model_validate({"source": "m.onnx", "max_batch_size": 2, "axes": axes, "inputs": inputs})


def checked(inputs: dict[str, object]) -> schema.Model:
    Path("m.onnx").write_bytes(tiny_onnx.identity([TOKENS, SCALE], [("y", tiny_onnx.INT64, ["batch", "length", 4])]))
    return file_inputs.checked(described(inputs), Source(kind="onnx", location="m.onnx", sha256={}))


def tokens(**changed: object) -> dict[str, object]:
    return {**GIVEN, "tokens": {**GIVEN["tokens"], **changed}}


@pytest.mark.parametrize(
    ("inputs", "code", "meant"),
    [
        ({"token": GIVEN["tokens"], "scale": GIVEN["scale"]}, "input-unknown", "tokens"),
        ({"tokens": GIVEN["tokens"]}, "input-not-described", None),
        ({**GIVEN, "scales": GIVEN["scale"]}, "input-unknown", None),  # `scale` is described already
        (tokens(dtype="int32"), "input-type", None),
        (tokens(shape=["batch", "length"]), "input-shape", None),
        (tokens(shape=["batch", "length", 5]), "input-shape", None),
        (tokens(shape=["batch", 4, "length"]), "input-shape", None),
    ],
)
def test_an_input_that_the_file_does_not_have_so_is_a_usage_error(inputs, code, meant) -> None:
    with pytest.raises(UsageError) as error:
        checked(inputs)
    assert error.value.code == code
    assert (str(error.value.meant) if error.value.meant else None) == meant


def test_what_the_file_leaves_open_may_be_fixed() -> None:
    assert checked(GIVEN).inputs["scale"].optional is None
    assert checked(tokens(shape=["batch", 6, 4])).inputs["tokens"].shape == ["batch", 6, 4]


def test_the_spelling_of_an_axis_is_compared_with_the_axes_of_the_inputs() -> None:
    answer = invoke("run", "m.onnx", "--axis", "len=4:8", "-i", "tokens:int64:batchxlengthx4", "-i", "scale:fp32:batch")
    assert answer.returncode == 2
    assert "did you mean: length" in answer.stderr
