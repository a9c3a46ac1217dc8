"""What a spec says about the controls and states of a stateful model."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import stateful
from tests.support.model_configs import artifact, tensor
from tritonize.core.errors import UsageError
from tritonize.spec import rules, sequences
from tritonize.triton import model_config

BATCHING = dict(stateful.model().triton["sequence_batching"])


def problems(**changed: Any) -> list[str]:
    return [f"{'.'.join(map(str, place))}: {text}" for place, text in rules.problems(stateful.model(**changed))]


def batching(**changed: Any) -> dict[str, Any]:
    return {"triton": {"sequence_batching": {**BATCHING, **changed}}}


def test_a_stateful_model_has_no_problems() -> None:
    assert problems() == []


INPUTS = {name: {"shape": ["batch", size]} for name, size in (("X", 2), ("START", 1), ("END", 1), ("STATE", 2))}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"triton": {}, "samples": {"count": 2}}, ""),
        ({"triton": {}, "samples": {"sequence_length": 3}}, "samples.sequence_length: needs triton.sequence_batching"),
        ({"inputs": {**INPUTS, "START": {"shape": ["batch", 2]}}}, "inputs.START.shape: sequence_batching gives the control"),
        ({"inputs": {**INPUTS, "END": {"shape": ["batch", 1], "dtype": "int32"}}}, "inputs.END.dtype: sequence_batching gives"),
        (
            {"inputs": {**INPUTS, "STATE": {"shape": ["batch", 3]}}},
            "inputs.STATE.shape: sequence_batching gives the state the shape",
        ),
        ({"inputs": {name: INPUTS[name] for name in ("X", "START", "END")}}, "inputs: the state 'STATE' of sequence_batching"),
        ({"inputs": {name: INPUTS[name] for name in ("START", "END", "STATE")}}, "triton.sequence_batching: every input is"),
        ({"outputs": {"Y": {}}}, "outputs: the state's output 'NEXT' is missing"),
        (batching(control_input=[{"name": "START"}]), ""),
        (batching(control_input=[{"control": [{}]}]), "triton.sequence_batching: a control needs name, kind and values"),
        (
            batching(state=[{**stateful.STATE, "initial_state": [{"dims": [2], "data_file": "s"}]}]),
            "triton.sequence_batching.state",
        ),
    ],
)
def test_what_does_not_fit_is_named(changed: dict[str, Any], expected: str) -> None:
    found = problems(**changed)
    assert (found == []) if not expected else any(each.startswith(expected) for each in found), found


def test_a_python_step_has_no_sequences() -> None:
    step = {"source": "", "python": "step.py:run", "outputs": {"Y": {"dtype": "fp32", "shape": ["batch", 2]}}}
    assert any("a Python step has no reference with state" in each for each in problems(**step))


def test_controls_and_states_are_not_inputs_and_outputs_of_the_configuration() -> None:
    made = artifact(
        [tensor(name, "fp32", "batch", size) for name, size in (("X", 2), ("START", 1), ("END", 1), ("STATE", 2))],
        [tensor(name, "fp32", "batch", 2) for name in ("Y", "NEXT")],
    )
    config = model_config.parse(model_config.render("m", stateful.model(), made), where="")
    assert [each["name"] for each in config["input"]] == ["X"]
    assert [each["name"] for each in config["output"]] == ["Y"]
    again = sequences.contract(config)  # as protobuf writes it, without the first kind
    assert again == sequences.of(stateful.model())
    assert again is not None
    assert [each.kind for each in again.controls] == ["START", "END"]


def test_a_configuration_of_the_users_own_cannot_add_sequences(tmp_path) -> None:
    own = tmp_path / "own.pbtxt"
    made = artifact([tensor("X", "fp32", "batch", 2)], [tensor("Y", "fp32", "batch", 2)])
    plain = stateful.model(triton={}, inputs={"X": INPUTS["X"]}, outputs={"Y": {}})
    own.write_text(model_config.render("m", plain, made).replace("dynamic_batching {\n}", "sequence_batching { }"))
    with pytest.raises(UsageError) as caught:
        model_config.render("m", plain.model_copy(update={"config": own}), made)
    assert caught.value.details == ("sequence_batching: write it under triton in the spec, which says what a sequence is",)
