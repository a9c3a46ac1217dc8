"""The model that serves a Python step, with a stand-in for Triton's module."""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

MODULE = "tritonize.backends.python_step.model"


@dataclass
class Tensor:
    given_name: str
    array: np.ndarray

    def name(self) -> str:
        return self.given_name

    def as_numpy(self) -> np.ndarray:
        return self.array


@dataclass
class Request:
    tensors: list[Tensor]
    wanted: tuple[str, ...] = ("y", "z")

    def inputs(self) -> list[Tensor]:
        return self.tensors

    def requested_output_names(self) -> tuple[str, ...]:
        return self.wanted


@dataclass
class Response:
    output_tensors: list[Tensor]
    error: str | None = None


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    utils: Any = types.ModuleType("triton_python_backend_utils")
    utils.Tensor, utils.InferenceResponse, utils.TritonError = Tensor, Response, str
    utils.triton_string_to_numpy = {"TYPE_FP32": np.float32, "TYPE_INT64": np.int64}.__getitem__
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", utils)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    before, bytecode = list(sys.path), sys.dont_write_bytecode
    yield importlib.import_module(MODULE)
    sys.path[:], sys.dont_write_bytecode = before, bytecode
    sys.modules.pop(MODULE, None)
    sys.modules.pop("step_steps", None)


def model(
    module: Any,
    code: str,
    *,
    inputs: dict[str, str],
    outputs: dict[str, str],
    reshape: bool = False,
    decoupled: bool = False,
    optional: Container[str] = (),
) -> Any:
    """A loaded model, batched, with tensors of two elements (of none, if reshaped)."""
    folder = Path("m/1")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "steps.py").write_text(f"import numpy as np, sys\n{code}")

    def tensors(kinds: dict[str, str]) -> list[dict[str, Any]]:
        shape: dict[str, Any] = {"dims": ["1"], "reshape": {}} if not reshape else {"dims": ["1"], "reshape": {"shape": []}}
        return [
            {"name": name, "data_type": kind, "optional": name in optional, **(shape if reshape else {"dims": ["2"]})}
            for name, kind in kinds.items()
        ]

    config = {
        "max_batch_size": 4,
        "input": tensors(inputs),
        "output": tensors(outputs),
        "model_transaction_policy": {"decoupled": decoupled},
        "parameters": {"function": {"string_value": "steps.py:f"}},
    }
    loaded = module.TritonPythonModel()
    loaded.initialize({"model_config": json.dumps(config), "model_repository": "m", "model_version": "1"})
    return loaded


FLOAT = {"x": "TYPE_FP32"}
GOOD = np.ones((3, 2), np.float32)


def ask(loaded: Any, *arrays: np.ndarray) -> list[Response]:
    answers: list[Response] = loaded.execute([Request([Tensor("x", array)]) for array in arrays])
    return answers


def test_each_request_has_its_own_answer_or_error(module: Any) -> None:
    code = "def f(x):\n    if x[0, 0] == 2: raise ValueError('two')\n    if x[0, 0] == 3: sys.exit(1)\n    return x + np.float32(1)"
    loaded = model(module, code, inputs=FLOAT, outputs={"y": "TYPE_FP32"})
    good, two, three, again = ask(loaded, GOOD, GOOD * 2, GOOD * 3, GOOD)
    assert [each.error for each in (good, again)] == [None, None]
    assert good.output_tensors[0].array.tolist() == [[2, 2]] * 3
    assert two.error == "steps.py:f: ValueError: two"
    assert three.error == "steps.py:f: SystemExit: 1"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("x.astype(np.float64)", "'y' has type float64; expected float32"),
        ("x[:, :1]", "'y' has shape [3, 1]; expected [3, 2]"),
        ("x[:1]", "'y' has shape [1, 2]; expected [3, 2]"),
        ("'text'", "'y' is a str; expected a NumPy array"),
        ("{'z': x}", "the outputs z were returned; expected y"),
        ("(x, x)", "2 arrays were returned; expected 1: y"),
        ("x.__setitem__(0, 1)", "read-only"),
    ],
)
def test_what_the_configuration_does_not_describe_is_an_error(module: Any, body: str, text: str) -> None:
    (answer,) = ask(model(module, f"def f(x): return {body}", inputs=FLOAT, outputs={"y": "TYPE_FP32"}), GOOD)
    assert answer.output_tensors == []
    assert text in str(answer.error)


def test_wrong_inputs_do_not_reach_the_function(module: Any) -> None:
    loaded = model(module, "def f(x): raise RuntimeError('reached')", inputs=FLOAT, outputs={"y": "TYPE_FP32"})
    assert "'x' has type int64" in str(ask(loaded, GOOD.astype(np.int64))[0].error)
    assert "'x' has shape [3, 3]" in str(ask(loaded, np.ones((3, 3), np.float32))[0].error)


def test_inputs_go_by_name_where_the_function_has_their_names_else_by_order(module: Any) -> None:
    inputs, outputs = {"a": "TYPE_FP32", "b": "TYPE_FP32"}, {"y": "TYPE_FP32"}
    request = Request([Tensor("b", GOOD * 3), Tensor("a", GOOD)], wanted=("y",))
    for parameters in ("b, a", "first, second"):
        code = f"def f({parameters}): return {'a - b' if 'a' in parameters.split(', ') else 'first - second'}"
        (answer,) = model(module, code, inputs=inputs, outputs=outputs).execute([request])
        assert answer.output_tensors[0].array[0, 0] == -2


def test_an_optional_input_that_is_left_out_has_its_default(module: Any) -> None:
    code = "def f(a, b=None): return a if b is None else a + b"
    loaded = model(module, code, inputs={"a": "TYPE_FP32", "b": "TYPE_FP32"}, outputs={"y": "TYPE_FP32"}, optional={"b"})
    both, one, other = loaded.execute([Request([Tensor(name, GOOD) for name in names]) for names in ("ab", "a", "b")])
    assert [each.output_tensors[0].array[0, 0] for each in (both, one)] == [2, 1]
    assert other.error == "steps.py:f: ValueError: the request has no input a"


def test_outputs_that_nobody_asked_for_are_left_out(module: Any) -> None:
    loaded = model(module, "def f(x): return x, x", inputs=FLOAT, outputs={"y": "TYPE_FP32", "z": "TYPE_FP32"})
    (answer,) = loaded.execute([Request([Tensor("x", GOOD)], wanted=("z",))])
    assert [each.name() for each in answer.output_tensors] == ["z"]


def test_text_is_str_in_the_function_and_bytes_in_triton(module: Any) -> None:
    kinds = {"x": "TYPE_STRING"}
    loaded = model(
        module, "def f(x): return np.array([[s.upper() for s in row] for row in x])", inputs=kinds, outputs={"y": "TYPE_STRING"}
    )
    good, other = ask(loaded, np.array([["ünï".encode(), b""]], object), np.array([[b"\xffa", b""]], object))
    assert good.output_tensors[0].array.tolist() == [["ÜNÏ".encode(), b""]]
    assert other.output_tensors[0].array.tolist() == [[b"\xffA", b""]]  # not UTF-8


def test_text_that_is_no_bytes_is_an_error(module: Any) -> None:
    code = "def f(x): return np.full(x.shape, chr(0xD800), object)"
    (bad,) = ask(model(module, code, inputs={"x": "TYPE_STRING"}, outputs={"y": "TYPE_STRING"}), np.array([[b"", b""]], object))
    assert "UnicodeEncodeError" in str(bad.error)


def test_a_tensor_that_is_reshaped_has_no_axis_besides_the_batch(module: Any) -> None:
    loaded = model(module, "def f(x): return x * np.float32(2)", inputs=FLOAT, outputs={"y": "TYPE_FP32"}, reshape=True)
    (answer,) = ask(loaded, np.ones(3, np.float32))
    assert answer.output_tensors[0].array.tolist() == [2, 2, 2]


def test_a_file_that_ends_the_process_is_an_error_of_the_model(module: Any) -> None:
    with pytest.raises(RuntimeError, match=r"steps.py ended its process with sys.exit\(3\)"):
        model(module, "sys.exit(3)", inputs=FLOAT, outputs={"y": "TYPE_FP32"})


class Sender:
    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, response: Response | None = None, flags: int = 0) -> None:
        self.sent.append(flags if response is None else response)


@dataclass
class StreamedRequest(Request):
    sender: Sender = field(default_factory=Sender)

    def get_response_sender(self) -> Sender:
        return self.sender


def test_a_decoupled_step_sends_what_its_function_yields_and_then_the_final_flag(module: Any) -> None:
    module.pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
    loop = "for i in range(int(x[0, 0])): yield x + np.float32(i)"
    code = f"def f(x):\n    {loop}\n    if x[0, 0] == 2: raise ValueError('two')"
    loaded = model(module, code, inputs=FLOAT, outputs={"y": "TYPE_FP32"}, decoupled=True)
    requests = [StreamedRequest([Tensor("x", GOOD * size)]) for size in (3, 2)]
    assert loaded.execute(requests) is None
    *three, final = requests[0].sender.sent
    assert [float(each.output_tensors[0].array[0, 0]) for each in three] == [3, 4, 5]
    *_two, failed, last = requests[1].sender.sent
    assert failed.error == "steps.py:f: ValueError: two"
    assert (final, last) == (1, 1)
