"""Flags that describe a model without a spec."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import invoke
from tritonize.cli import flags, input_flags
from tritonize.core.errors import UsageError
from tritonize.spec import schema


def model(*inputs: str, axes: tuple[str, ...] = (), **more: object) -> schema.Model:
    given = flags.ModelFlags(source="m.onnx", inputs=inputs, axes=axes, **more)  # type: ignore[arg-type]
    (found,) = flags.specification(given).models.values()
    return found


def test_names_and_numbers_are_mixed_and_the_first_is_the_batch() -> None:
    found = model("image:fp32:Nx3xHxW", "mask:bool:Nx1xHxW", axes=("H=64:224:512", "W=32:512", "N=1:4:8"))
    assert found.inputs["image"].shape == ["N", 3, "H", "W"]
    assert found.inputs["mask"].shape == ["N", 1, "H", "W"]
    assert (found.max_batch_size, found.batch_axis) == (8, "N")
    assert found.axes["H"] == schema.Axis(min=64, opt=224, max=512)
    assert found.axes["W"] == schema.Axis(min=32, max=512)
    assert model("x:fp32:1x4", "y:fp32:Nx4").inputs["x"].shape == ["N", 4]  # a number means the same batch
    assert model("x:fp32:5x4").max_batch_size == 5
    assert model("x:fp32:Nx4", max_batch_size=7).max_batch_size == 7
    assert model("x:fp32:LxL", axes=("L=2:8:14:2",), no_batch=True).axes["L"].step == 2


def test_names_with_an_x_are_separated_by_commas() -> None:
    assert model("i:fp32:[N,max_x,4]", axes=("max_x=1:9",)).inputs["i"].shape == ["N", "max_x", 4]
    assert model("ns:a:int64:1x4").inputs["ns:a"].shape == ["batch", 4]


def test_an_axis_without_a_range_is_an_error_with_the_flags_to_add() -> None:
    with pytest.raises(UsageError) as raised:
        model("image:fp32:Nx3xHxW", axes=("H=64:224:512",))
    assert raised.value.found == "W"
    assert "--axis W=64:224:512" in str(raised.value.next_step)
    with pytest.raises(UsageError, match="has no range"):
        model("x:fp32:NxC", no_batch=True, axes=("C=1:2",))  # then N is an axis like any other


@pytest.mark.parametrize(
    ("inputs", "axes", "code"),
    [
        (("x:fp32:1x-3",), (), "flag-input-form"),
        (("x:fp32:1xx3",), (), "flag-input-form"),
        (("x:1x3",), (), "flag-input-form"),
        ((":fp32:1x3",), (), "flag-input-form"),
        (("x:fp32:1x٣",), (), "flag-input-form"),
        (("x:fp32:1x3",), ("H",), "flag-axis-form"),
        (("x:fp32:1x3",), ("H=3",), "flag-axis-form"),
        (("x:fp32:1x3",), ("H=1:2:3:4:5",), "flag-axis-form"),
        (("x:fp32:1x3",), ("3=1:2",), "flag-axis-form"),
        (("x:fp32:1xH",), ("H=1:2", "H=1:3"), "flag-axis-twice"),
    ],
)
def test_other_forms_are_refused(inputs: tuple[str, ...], axes: tuple[str, ...], code: str) -> None:
    with pytest.raises(UsageError) as raised:
        input_flags.parse(inputs, axes, no_batch=False)
    assert raised.value.code == code


def test_precision_backend_and_tolerance_are_those_of_a_spec() -> None:
    found = model("x:fp32:1x4", precision="bf16", backend="tensorrt", rtol=0.0)
    assert (found.precision, found.backend) == ("bf16", "tensorrt")
    assert found.tolerance_of("any") == schema.Tolerance(rtol=0.0)
    assert model("x:fp32:1x4").tolerance_of("any") == schema.Tolerance()
    with pytest.raises(UsageError, match="valid model") as raised:
        model("x:fp32:1x4", precision="bf16")
    assert "does not run bf16" in str(raised.value.details)


def test_an_outputs_own_tolerance_precedes_that_of_the_model() -> None:
    described = {"source": "m.onnx", "tolerance": {"atol": 1.0}, "outputs": {"y": {"tolerance": {"rtol": 0.5}}, "z": {}}}
    found = schema.Model.model_validate(described)
    assert found.tolerance_of("y") == schema.Tolerance(rtol=0.5)
    assert found.tolerance_of("z") == found.tolerance_of("other") == schema.Tolerance(atol=1.0)


def test_with_a_spec_each_flag_is_named() -> None:
    Path("spec.yaml").touch()
    given = ("--axis", "H=1:2", "--rtol", "0", "--precision", "fp16", "--backend", "tensorrt", "--no-batch", "--name", "v1.5")
    done = invoke("run", "spec.yaml", *given)
    assert done.returncode == 2
    assert "found: --axis, --name, --no-batch, --precision, --backend, --rtol" in " ".join(done.stderr.split())


def test_names_are_those_that_clients_write_into_a_url_as_they_are() -> None:
    assert flags.specification(flags.ModelFlags(source="m.onnx", name="resnet50-v1.5")).models.keys() == {"resnet50-v1.5"}
    for name in ("сердце", "a b", ".a", "a.", "a+b"):
        with pytest.raises(UsageError):
            flags.specification(flags.ModelFlags(source="m.onnx", name=name))


def test_operators_files_are_those_of_a_spec_and_a_spec_refuses_the_flag() -> None:
    assert model("x:fp32:1x4", operators=(Path("a.py"), Path("b.py"))).operators == [Path("a.py"), Path("b.py")]
    Path("spec.yaml").touch()
    done = invoke("run", "spec.yaml", "--operators", "a.py")
    assert done.returncode == 2
    assert "found: --operators" in done.stderr
