"""Fields of a configuration that the embedded server cannot load, and the verdict of a version that was served without them."""

from __future__ import annotations

import copy

import pytest

from tritonize.core.artifacts import SetAside
from tritonize.core.results import Verdict
from tritonize.spec.schema import Target
from tritonize.triton import model_config, set_aside
from tritonize.workflows import target_only

GPU = "instance_group { count: 2 kind: KIND_GPU gpus: [0, 1] } "
RT = 'gpu_execution_accelerator { name: "tensorrt" } '
VINO = 'cpu_execution_accelerator { name: "openvino" } '
PYTHON = 'backend: "python" '
ONNX = 'backend: "onnxruntime" '


@pytest.mark.parametrize(
    ("text", "fields", "needs", "kept"),
    [
        (ONNX + GPU, ["instance_group[0]"], {"gpu"}, ONNX + "instance_group { count: 2 kind: KIND_CPU }"),
        (
            'platform: "onnxruntime_onnx" instance_group { kind: KIND_CPU } ' + GPU,
            ["instance_group[1]"],
            {"gpu"},
            'platform: "onnxruntime_onnx" instance_group { kind: KIND_CPU } instance_group { count: 2 kind: KIND_CPU }',
        ),
        (
            ONNX + "optimization { graph { level: 1 } execution_accelerators { " + RT + VINO + "} }",
            [f"optimization.execution_accelerators.{kind}_execution_accelerator" for kind in ("gpu", "cpu")],
            {"gpu", "triton"},
            ONNX + "optimization { graph { level: 1 } }",
        ),
        (ONNX + 'model_repository_agents { agents { name: "checksum" } }', ["model_repository_agents"], {"triton"}, ONNX),
        (ONNX + "model_metrics { }", ["model_metrics"], {"triton"}, ONNX),
        (
            'platform: "ensemble" ensemble_scheduling { max_inflight_requests: 4 }',
            ["ensemble_scheduling.max_inflight_requests"],
            {"triton"},
            'platform: "ensemble" ensemble_scheduling { }',
        ),
        (
            PYTHON + GPU,
            ["instance_group[0]"],
            {"gpu"},
            'backend: "python" instance_group { count: 2 kind: KIND_CPU }',
        ),
    ],
)
def test_fields_are_left_out(text: str, fields: list[str], needs: set[str], kept: str) -> None:
    config = model_config.parse(text, where="")
    before = copy.deepcopy(config)
    found, left_out = set_aside.without(config)
    assert sorted(each.field for each in left_out) == sorted(fields)
    assert {each.needs for each in left_out} == needs
    assert found == model_config.parse(kept, where="")
    assert config == before


@pytest.mark.parametrize(
    "text",
    [
        ONNX + "instance_group { kind: KIND_CPU }",
        ONNX + "instance_group { kind: KIND_AUTO }",
        ONNX + "optimization { cuda { graphs: true } } dynamic_batching { }",
        'backend: "tensorrt" ' + GPU,
        'platform: "tensorrt_plan" ' + GPU,
        'backend: "tensorrt_rtx" ' + GPU,
        # What no Triton loads is not for a target to load; the embedded server refuses it.
        ONNX + "instance_group { kind: KIND_GPU gpus: [ -1 ] }",
        ONNX + 'optimization { execution_accelerators { gpu_execution_accelerator { name: "tensorrrt" } } }',
        ONNX + "optimization { execution_accelerators { " + VINO + 'cpu_execution_accelerator { name: "tensorrt" } } }',
    ],
)
def test_everything_else_stays(text: str) -> None:
    config = model_config.parse(text, where="")
    assert set_aside.without(config) == (config, ())


def test_a_python_model_stays_on_the_gpu_of_a_server_that_has_one() -> None:
    config = model_config.parse(PYTHON + GPU, where="")
    assert set_aside.without(config, gpu=True) == (config, ())
    onnx = model_config.parse(ONNX + GPU, where="")
    assert set_aside.without(onnx, gpu=True)[1]  # ONNX Runtime has no GPU there either


def _field(needs: str) -> SetAside:
    return SetAside(field=f"of {needs}", value="", reason="why", needs="gpu" if needs == "gpu" else "triton")


EVERYWHERE = Target(triton="26.06", compute_capabilities=["8.9"])


@pytest.mark.parametrize(
    ("found", "needs", "target", "verdict", "missing"),
    [
        ("passed", [], Target(), "passed", ""),
        ("passed", ["gpu"], Target(), "not run", "target.compute_capabilities"),
        ("passed", ["gpu"], Target(triton="26.06"), "not run", "target.compute_capabilities"),
        ("passed", ["triton"], Target(compute_capabilities=["8.9"]), "not run", "target.triton"),
        ("passed", ["gpu", "triton"], Target(), "not run", "target.compute_capabilities and target.triton"),
        ("passed", ["gpu", "triton"], EVERYWHERE, "passed here", ""),
        ("failed", ["gpu"], EVERYWHERE, "failed", ""),
        ("not run", ["gpu"], EVERYWHERE, "not run", ""),
    ],
)
def test_the_verdict(found: Verdict, needs: list[str], target: Target, verdict: str, missing: str) -> None:
    fields = [_field(each) for each in needs]
    assert target_only.verdict(found, fields, target) == verdict
    stages = target_only.stages(fields, target)
    assert len(stages) == bool(needs)
    for stage in stages:
        assert stage.verdict == "not run"
        assert stage.optional == (not missing)
        assert all(f"of {each}" in stage.note for each in needs)
        assert stage.note.endswith(f"in the spec: {missing}") == bool(missing)
