"""A key at the wrong level of a spec: the error names the right place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import CHECKOUT
from tritonize.core.errors import UsageError
from tritonize.plans import from_spec
from tritonize.spec import key_places, loader
from tritonize.spec.schema import Spec
from tritonize.triton import config_section
from tritonize.workflows import plan_request


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("models.heart.metrics", "models.heart.outputs.<name>.metrics"),
        ("models.heart.outputs.y.rtol", "models.heart.outputs.y.tolerance.rtol"),
        ("models.heart.outputs.y.min", "models.heart.outputs.y.metrics.<name>.min"),
        ("models.heart.outputs.nan", "models.heart.quality.nan"),
        ("models.heart.samples.noise_floor", "models.heart.quality.noise_floor"),
        ("models.heart.quality.tf32", "models.heart.builder.tf32"),
        ("models.heart.dynamic_batching", "models.heart.triton.dynamic_batching"),
        ("models.heart.inputs.x.max", "models.heart.axes.<name>.max"),
        ("max_batch_size", "models.<name>.max_batch_size"),
        ("seed", "models.<name>.samples.seed"),
        ("models.heart.compute_capabilities", "target.compute_capabilities"),
        ("models.heart.max_queue_delay_microseconds", "models.heart.triton.dynamic_batching.max_queue_delay_microseconds"),
        ("models.heart.count", ["models.heart.samples.count", "models.heart.triton.instance_group.0.count"]),
        ("models.heart.weights.prefix_", []),
        ("models.heart.nothing", []),
    ],
)
def test_a_key_at_the_wrong_level_gets_its_place(where, place):
    found = key_places.elsewhere(tuple(where.split(".")), Spec)
    assert [key_places.dotted(each) for each in found] == ([place] if isinstance(place, str) else place)


@pytest.mark.parametrize(
    ("value", "place"),
    [("KIND_GPU", "models.m.triton.instance_group.0.kind"), ("segmentation", "models.m.outputs.<name>.kind")],
)
def test_the_value_decides_between_places(value, place):
    assert [key_places.dotted(each) for each in key_places.elsewhere(("models", "m", "kind"), Spec, value)] == [place]


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("max_batchsize", "did you mean models.<name>.max_batch_size?"),
        ("models.m.max-batch-size", "did you mean 'max_batch_size'?"),
        ("models.m.Inputs", "did you mean 'inputs'?"),
        ("models.m.weights.fiel", "did you mean 'file'?"),
        ("targets", "did you mean 'target'?"),
        ("zzzzzz", "known: schema, repository, target, evidence, models"),
    ],
)
def test_another_spelling_is_suggested_at_its_own_level_first(where, text):
    assert key_places.hint(tuple(where.split(".")), Spec) == text


WRONG = """schema: 1
models:
  m:
    source: m.pt
    backend: ort
    precision: half
    weights: {fiel: w.pt}
    inputs:
      x: {dtype: flaot32, shape: [4]}
    outputs:
      y: {kind: segmentaton}
    triton:
      instance_group: [{kind: KIND_GPUS, cuont: 1}]
      dynamicBatching: {}
      kind: KIND_CPU
      opset: 18
      rtol: 1
      optimization: {execution_accelerators: {gpu_execution_accelerators: []}}
      dynamic_batching: {priority_queue_policy: {1: {timeout_action: REJCT}}}
      model_warmup: {name: w}
      version_policy: {latest: 3}
"""


def test_every_level_and_value_of_a_spec_gets_its_suggestion():
    Path("s.yaml").write_text(WRONG)
    with pytest.raises(UsageError) as error:
        loader.load(Path("s.yaml"), check_triton=config_section.problems)
    triton = "models.m.triton"
    assert list(error.value.details) == [
        "line 5: models.m.backend: unknown value 'ort'; did you mean 'onnxruntime'?",
        "line 6: models.m.precision: unknown value 'half'; did you mean 'fp16'?",
        "line 7: models.m.weights.file: this key is required",
        "line 7: models.m.weights.fiel: unknown key; did you mean 'file'?",
        "line 9: models.m.inputs.x.dtype: unknown element type 'flaot32'; did you mean 'fp32'?",
        "line 11: models.m.outputs.y.kind: unknown value 'segmentaton'; did you mean 'segmentation'?",
        f"line 13: {triton}.instance_group.0.kind: unknown value 'KIND_GPUS'; did you mean 'KIND_GPU'?",
        f"line 13: {triton}.instance_group.0.cuont: is not a field of instance_group.0; did you mean 'count'?",
        f"line 14: {triton}.dynamicBatching: is not a field of Triton's ModelConfig; did you mean 'dynamic_batching'?",
        f"line 15: {triton}.kind: is not a field of Triton's ModelConfig; write it at triton.instance_group.0.kind",
        f"line 16: {triton}.opset: is not a field of Triton's ModelConfig; opset belongs beside triton, to the model",
        f"line 17: {triton}.rtol: is not a field of Triton's ModelConfig; write it at models.<name>.tolerance.rtol",
        f"line 18: {triton}.optimization.execution_accelerators.gpu_execution_accelerators: is not a field of "
        "optimization.execution_accelerators; did you mean 'gpu_execution_accelerator'?",
        f"line 19: {triton}.dynamic_batching.priority_queue_policy.1.timeout_action: unknown value 'REJCT'; did you mean 'REJECT'?",
        f"line 20: {triton}.model_warmup: must be a list; put '- ' before the mapping, or brackets around it",
        f"line 21: {triton}.version_policy.latest: must be a mapping with fields such as num_versions; found 3",
    ]


def test_the_error_names_line_and_place():
    Path("s.yaml").write_text("schema: 1\nmodels:\n  m:\n    source: m.pt\n    kind: classes\n    inputz: {}\n")
    with pytest.raises(UsageError) as error:
        loader.load(Path("s.yaml"))
    first, second = error.value.details
    assert first.startswith("line 5: models.m.kind:")
    assert first.endswith("models.m.outputs.<name>.kind")
    assert "did you mean 'inputs'?" in second


def test_the_readmes_request_names_a_spec_with_plans():
    """The command itself is run with the others of the documentation."""
    line = next(
        line
        for line in (CHECKOUT / "docs/how-to/tensorrt-plans.md").read_text().splitlines()
        if "tritonize plan request examples" in line
    )
    specification = loader.load(CHECKOUT / line.split()[3])
    assert {model.backend for model in specification.models.values()} <= set(from_spec.MODULES)


def test_a_request_for_a_model_without_plans_names_the_backend_to_write():
    with pytest.raises(UsageError) as error:
        plan_request.request(loader.load(CHECKOUT / "examples/first/first.yaml"), Path("request"))
    assert error.value.code == "no-plans"
    assert "backend: tensorrt" in error.value.next_step
