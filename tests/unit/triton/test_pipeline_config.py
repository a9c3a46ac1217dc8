"""The configurations of Python steps and ensembles."""

from __future__ import annotations

from tritonize.core.artifacts import TensorSpec
from tritonize.spec import schema
from tritonize.triton import model_config

STEP = {
    "python": "folder/steps.py:decode",
    "inputs": {"a": {"shape": ["batch", 2]}},
    "outputs": {"b": {"dtype": "string", "shape": ["batch"]}},
    "max_batch_size": 4,
}


def render(plain: dict[str, object], outputs: tuple[TensorSpec, ...]) -> tuple[str, model_config.ModelConfig]:
    model = schema.Model.model_validate(plain)
    inputs = tuple(TensorSpec(name=name, dtype=each.dtype, shape=tuple(each.shape)) for name, each in model.inputs.items())
    text = model_config.render_tensors("m", model, inputs=inputs, outputs=outputs, labels={})
    return text, model_config.parse(text, where="config.pbtxt")


def test_a_python_step_names_its_function_and_has_no_platform() -> None:
    _, config = render(STEP, (TensorSpec(name="b", dtype="string", shape=("batch",)),))
    assert (config["backend"], config.get("platform")) == ("python", None)
    assert config["parameters"] == {"function": {"string_value": "steps.py:decode"}}  # type: ignore[typeddict-item]
    assert config["output"] == [{"name": "b", "data_type": "TYPE_STRING", "dims": ["1"], "reshape": {}}]
    assert "dynamic_batching" in config


def test_the_users_own_parameters_stay() -> None:
    _, config = render({**STEP, "triton": {"parameters": {"a": 1}}}, ())
    assert set(config["parameters"]) == {"a", "function"}  # type: ignore[typeddict-item]


def test_an_ensemble_has_a_platform_its_steps_and_no_backend_and_no_batching_of_its_own() -> None:
    step = {"model_name": "a", "model_version": -1, "input_map": {"x": "x"}, "output_map": {"y": "z"}}
    plain = {
        "source": "net:f",
        "ensemble": [{"model": "a", "outputs": {"y": "z"}}],
        "inputs": {"x": {"shape": ["batch", 2]}},
        "outputs": {"z": {}},
        "max_batch_size": 4,
        "triton": {"ensemble_scheduling": {"step": [step]}},
    }
    text, config = render(plain, (TensorSpec(name="z", dtype="fp32", shape=("batch", "?")),))
    assert config["platform"] == "ensemble"
    assert "backend" not in config
    assert "dynamic_batching" not in config
    assert config["ensemble_scheduling"]["step"] == [{**step, "model_version": "-1"}]
    assert "dims: [ -1 ]  # -1: an axis" in text
    assert model_config.foreseen("m", schema.Model.model_validate(plain))["platform"] == "ensemble"


def test_an_empty_transaction_policy_is_no_difference() -> None:
    wanted: model_config.ModelConfig = {"name": "m", "platform": "ensemble"}
    assert list(model_config.additions(wanted, {**wanted, "model_transaction_policy": {}}, where="")) == []  # type: ignore[typeddict-unknown-key]
    decoupled = {**wanted, "model_transaction_policy": {"decoupled": True}}
    assert list(model_config.additions(wanted, decoupled, where=""))  # type: ignore[arg-type]
