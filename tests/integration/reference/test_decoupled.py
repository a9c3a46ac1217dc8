"""The function of a decoupled step is its reference: every response that it yields is a sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tritonize.core import arrays
from tritonize.core.artifacts import TensorSpec
from tritonize.core.errors import ExportError, UsageError
from tritonize.reference.tasks import StepRequest, StepResult
from tritonize.reference.worker import python_step
from tritonize.source import samples
from tritonize.spec import schema

COUNTED = "def f(x):\n    for i in range(int(x[0])):\n        yield x + np.float32(i)\n"


def called(code: str, *, low: int = 1, monkeypatch: pytest.MonkeyPatch) -> StepResult:
    monkeypatch.syspath_prepend(".")
    Path("step").mkdir()
    Path("step/steps.py").write_text(f"import itertools, numpy as np\n{code}")
    described = schema.Model.model_validate(
        {
            "python": "steps.py:f",
            "inputs": {"x": {"shape": [2], "range": [low, 4]}},
            "outputs": {"y": {"dtype": "fp32", "shape": [2]}},
        }
    )
    return python_step.call(
        StepRequest(
            function="steps.py:f",
            folder=Path("step").absolute(),
            inputs=("x",),
            outputs=(TensorSpec(name="y", dtype="fp32", shape=(2,)),),
            samples=samples.add_edges(described, samples.write(described, Path("drawn"))),
            directory=Path("out"),
            decoupled=True,
        )
    )


def test_every_response_is_a_sample_with_the_inputs_of_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    found = called(COUNTED, monkeypatch=monkeypatch)
    for members in found.samples.together:
        given = arrays.load(found.samples.files, members[0])["x"]
        assert len(members) == int(given[0])
        for place, index in enumerate(members):
            np.testing.assert_array_equal(arrays.load(found.samples.files, index)["x"], given)
            np.testing.assert_array_equal(arrays.load(found.outputs, index)["y"], given + np.float32(place))
    assert sorted(found.samples.edges) == list(range(found.samples.drawn, found.samples.files.count))
    assert len(found.samples.requests) == 4 + len(set(found.samples.edges.values()))
    assert found.unusable == {}


@pytest.mark.parametrize(
    ("code", "low", "code_of_error"),
    [
        ("def f(x):\n    return [x]\n", 1, "decoupled-not-iterable"),
        ("def f(x):\n    yield from itertools.repeat(x)\n", 1, "decoupled-endless"),
        ("def f(x):\n    if x[0] > 9: yield x\n", 1, "decoupled-no-response"),
        (COUNTED.replace("np.float32(i)", "np.float32(np.random.rand())"), 1, "step-varies"),
        ("def f(x):\n    yield x\n    raise ValueError('late')\n", 1, "step-raised"),
        ("def f(x):\n    yield x.astype(np.float64)\n", 1, "step-outputs"),
    ],
)
def test_what_cannot_be_a_reference_is_refused(code: str, low: int, code_of_error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((UsageError, ExportError)) as caught:
        called(code, low=low, monkeypatch=monkeypatch)
    assert caught.value.code == code_of_error


def test_an_edge_case_without_a_response_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found = called("def f(x):\n    if x.any(): yield x\n", low=0, monkeypatch=monkeypatch)
    assert found.unusable["zeros"] == "the function yields no response"
    assert "zeros" not in found.samples.edges.values()
