"""`backend: tensorrt_rtx` from PyTorch to a staged version: built for real, and not run for want of a GPU."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.command import tritonize
from tests.support.plan_requests import stock_plan
from tritonize.core.artifacts import TensorSpec
from tritonize.core.recorder import Recorder
from tritonize.plans import compatibility, from_spec, gpu, plan_file
from tritonize.spec import rules, schema
from tritonize.triton import model_config
from tritonize.workflows import build_plans

NETWORK = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return torch.relu(self.first(x))
"""
SPEC = """
schema: 1
target: {{compute_capabilities: {targets}}}
models:
  net:
    source: network:Net
    backend: {backend}
    strategies: [legacy]
    inputs: {{x: {{shape: [batch, 3, 8, 8]}}}}
    max_batch_size: 4
    triton: {{dynamic_batching: {{preferred_batch_size: [1, 2]}}}}
"""
without_gpu = pytest.mark.skipif(gpu.find() is not None, reason="not run: these say what happens without a GPU")


@pytest.fixture(autouse=True)
def _files() -> None:
    Path("network.py").write_text(NETWORK)


def run(command: str, *arguments: str, targets: str = '["8.9", "12.0"]', backend: str = "tensorrt_rtx"):
    Path("spec.yaml").write_text(SPEC.format(targets=targets, backend=backend))
    done = tritonize(command, "spec.yaml", "--json", *arguments)
    return done, json.loads(done.stdout)


@without_gpu
def test_a_plan_that_did_not_run_is_unproven_and_not_published():
    done, answer = run("run")
    assert done.returncode == 3, done.stderr
    (report,) = answer["reports"]
    assert report["verdict"] == "not run"
    assert not report["published"]
    assert not Path("model_repository").exists()
    assert ("plan run", "not run", "no GPU") in {(stage["name"], stage["verdict"], stage["note"]) for stage in report["stages"]}
    version = Path(report["location"])
    for name, capability in (("model.sm89.plan", "8.9"), ("model.sm120.plan", "12.0")):
        assert plan_file.read_header(version / name).compute_capabilities == (capability,)
        known = plan_file.read_metadata(version / name)
        assert known.profiles[0]["x"] == {"min": (1, 3, 8, 8), "opt": (2, 3, 8, 8), "max": (4, 3, 8, 8)}
        assert str(Path.cwd()) not in (version / "evidence" / f"{Path(name).stem}.log").read_text()
    assert not (version / "model.onnx").exists()
    config = model_config.parse((version.parent / "config.pbtxt").read_text(), where="config.pbtxt")
    assert config["backend"] == "tensorrt_rtx"
    assert not config.get("platform")
    assert config["cc_model_filenames"] == {"8.9": "model.sm89.plan", "12.0": "model.sm120.plan"}


@pytest.mark.slow
@without_gpu
def test_allow_unproven_publishes_it_with_a_note():
    done, answer = run("run", "--allow-unproven", targets='["8.9"]')
    assert done.returncode == 0, done.stderr
    (report,) = answer["reports"]
    assert report["published"]
    version = Path(report["location"])
    assert (version / "model.plan").is_file()
    assert json.loads((version / "evidence" / "manifest.json").read_text())["verdict"] == "not run"
    assert "No GPU ran the plan" in (version / "evidence" / "report.txt").read_text()
    checked = tritonize("verify", "--json")
    assert checked.returncode == 3, checked.stderr  # nothing changed, but the plan cannot run here
    assert "no GPU" in json.loads(checked.stdout)["error"]["what"] + checked.stderr
    exported = tritonize("golden", "export", "model_repository", "net")
    assert exported.returncode == 0, exported.stderr


@without_gpu
def test_plans_and_limits_are_checked_before_the_export():
    Path("empty").mkdir()
    for place, code, words in (("nowhere", 2, "does not exist"), ("empty", 2, "no plan"), ("network.py", 5, "not a TensorRT plan")):
        done, answer = run("run", "--plans", place)
        assert (done.returncode, "Export" in done.stderr) == (code, False), done.stderr
        assert words in answer["error"]["what"]
    Path("spec.yaml").write_text(SPEC.format(targets='["8.9"]', backend="tensorrt_rtx"))
    done = tritonize("run", "spec.yaml", env={"TRITONIZE_PLAN_CACHE_GIB": "much"})
    assert (done.returncode, "Export" in done.stderr) == (2, False)


@pytest.mark.slow
@without_gpu
def test_a_plan_that_cannot_be_built_here_is_an_error_before_the_export():
    done, answer = run("run", backend="tensorrt")
    assert done.returncode == 3
    assert answer["error"]["next_step"]
    assert "Export" not in done.stderr
    done, answer = run("run", targets="[]")
    assert done.returncode == 2
    assert "names none" in answer["error"]["what"]
    for targets, words in (('["banana"]', "banana"), ('["8.9", "8.9"]', "only once"), ('["8.7"]', "RTX does not support")):
        done, answer = run("run", targets=targets)
        assert done.returncode == 2
        assert words in done.stdout
        assert "Export" not in done.stderr
    Path("spec.yaml").write_text(SPEC.format(targets='["8.9"]', backend="tensorrt_rtx") + "    builder: {optimization_level: 3}\n")
    done = tritonize("run", "spec.yaml", "--json")
    assert done.returncode == 2
    assert "optimization_level" in done.stdout
    assert "Export" not in done.stderr


def test_if_the_build_fails_the_log_of_the_builder_stays():
    """The other files of the run are removed; the error names the log."""
    Path("network.py").write_text(NETWORK.replace("torch.relu(", "torch.nonzero("))
    text = SPEC.format(targets='["8.9"]', backend="tensorrt_rtx").replace("max_batch_size: 4", "max_batch_size: 0")
    Path("spec.yaml").write_text(text.replace("[batch, 3", "[1, 3"))
    done = tritonize("run", "spec.yaml", "--json")
    error = json.loads(done.stdout)["error"]
    assert error["error"] == "PlanError"
    assert "NonZero" in json.dumps(error)
    log = Path(error["next_step"].removeprefix("read the builder's log: "))
    assert log.is_file()
    assert [each for each in log.parent.iterdir() if each.is_dir()] == []


@pytest.mark.parametrize(("version", "verdict"), [("10.16.1.11", "passed"), ("10.13.3.9", "failed"), (None, "not run")])
def test_the_report_states_whether_the_plan_loads_at_the_declared_target(version, verdict, monkeypatch):
    """Before any server starts, and as a finding where it does not."""
    plan = stock_plan("model.plan", (10, 16, 1, 11))
    image = compatibility.ImageVersion(image="image", version=version, source="asked")
    monkeypatch.setattr(compatibility, "of_image", lambda release: image)
    recorder = Recorder()
    findings = build_plans._at_target(SimpleNamespace(path=plan, metadata=SimpleNamespace(module="tensorrt")), "26.06", recorder)
    assert [(stage.name, stage.verdict) for stage in recorder.stages] == [("target", verdict)]
    assert [each.what for each in findings] == (["it does not load in Triton 26.06"] if verdict == "failed" else [])
    of_rtx = SimpleNamespace(path=plan, metadata=SimpleNamespace(module="tensorrt_rtx"))
    assert build_plans._at_target(of_rtx, "26.06", recorder) == ()
    assert recorder.stages[-1].verdict == "not run"
    assert "no backend for plans of TensorRT-RTX" in recorder.stages[-1].note


def test_a_folder_that_is_not_empty_is_an_error_before_the_export():
    Path("spec.yaml").write_text(SPEC.format(targets='["8.9"]', backend="tensorrt_rtx"))
    Path("asked").mkdir()
    (Path("asked") / "mine").touch()
    done = tritonize("plan", "request", "spec.yaml", "--out", "asked")
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert "Export" not in done.stderr


def test_tf32_needs_a_plan_backend():
    Path("spec.yaml").write_text(
        SPEC.format(targets="[]", backend="onnxruntime").replace("backend:", "precision: tf32\n    backend:")
    )
    done = tritonize("build", "spec.yaml")
    assert done.returncode == 2
    assert "tf32 needs backend tensorrt or tensorrt_rtx" in " ".join(done.stderr.split())


def model(**fields) -> schema.Model:
    """One with a batch of up to 8 and a length of 1 to 9."""
    plain = {"source": "m.pt", "inputs": {"x": {"shape": ["batch", "length"]}}, "axes": {"length": {"min": 1, "opt": 5, "max": 9}}}
    return schema.Model.model_validate({**plain, "max_batch_size": 8, "backend": "tensorrt", **fields})


@pytest.mark.parametrize(("batching", "usual"), [({"preferred_batch_size": [2, 4]}, 4), ({}, 8), (None, 8)])
def test_opt_is_the_preferred_batch_size(batching, usual):
    (shapes,) = from_spec.profiles(model(triton={} if batching is None else {"dynamic_batching": batching}))
    assert (shapes["x"].min, shapes["x"].opt, shapes["x"].max) == ((1, 1), (usual, 5), (8, 9))


def test_the_opt_of_the_batch_axis_overrides_the_preferred_batch_size():
    axes = {"length": {"min": 1, "max": 9}, "batch": {"min": 1, "opt": 2, "max": 8}}
    (shapes,) = from_spec.profiles(model(axes=axes, triton={"dynamic_batching": {"preferred_batch_size": [4]}}))
    assert (shapes["x"].min, shapes["x"].opt, shapes["x"].max) == ((1, 1), (2, 9), (8, 9))


def test_a_profile_may_set_some_of_the_axes():
    asked = [{"batch": {"max": 2}}, {"batch": {"min": 2, "opt": 4}, "length": {"opt": 3}}]
    first, second = from_spec.profiles(model(profiles=asked))
    assert (first["x"].min, first["x"].opt, first["x"].max) == ((1, 1), (2, 5), (2, 9))
    assert (second["x"].min, second["x"].opt, second["x"].max) == ((2, 1), (4, 3), (8, 9))


def groups(**fields) -> list[dict]:
    made = model(**fields)
    assert [text for _, text in rules.problems(made)] == []
    tensor = TensorSpec(name="x", dtype="fp32", shape=("batch", "length"))
    artifact = SimpleNamespace(inputs=(tensor,), outputs=(replace(tensor, name="y"),), optional=())
    return model_config.parse(model_config.render("m", made, artifact), where="m").get("instance_group", [])


def test_profiles_that_cover_every_size_get_their_own_instances():
    assert groups(profiles=[{"batch": {"opt": 1}}, {}]) == [
        {"kind": "KIND_GPU", "count": 1, "profile": ["0"]},
        {"kind": "KIND_GPU", "count": 1, "profile": ["1"]},
    ]
    assert groups() == []
    assert groups(profiles=[{"batch": {"opt": 1}}, {}], backend="tensorrt_rtx") == []  # Triton refuses the field there


def test_profiles_that_divide_the_sizes_share_an_instance():
    """Triton sends a request to any instance, and an instance with only the small profile would refuse a large batch."""
    shared = [{"batch": {"max": 4}}, {"batch": {"min": 5}}]
    assert groups(profiles=shared) == [{"kind": "KIND_GPU", "count": 1, "profile": ["0", "1"]}]
    configured = {"instance_group": [{"kind": "KIND_GPU", "count": 2, "gpus": [1]}]}
    assert groups(profiles=shared, triton=configured) == [{"kind": "KIND_GPU", "count": 2, "gpus": [1], "profile": ["0", "1"]}]
    own = {"instance_group": [{"kind": "KIND_GPU", "profile": ["1", "0"]}]}
    assert groups(profiles=shared, triton=own) == [{"kind": "KIND_GPU", "profile": ["1", "0"]}]


@pytest.mark.parametrize(
    ("fields", "where", "words"),
    [
        ({"profiles": [{"batch": {"max": 4}}]}, "profiles", "no profile covers batch 5, length 1 (max_batch_size is 8)"),
        ({"profiles": [{"batch": {"max": 4}}, {"batch": {"min": 6}}]}, "profiles", "no profile covers batch 5"),
        ({"profiles": [{"batch": {"max": 4}}, {"length": {"max": 8}}]}, "profiles", "no profile covers batch 5, length 9"),
        (
            {"profiles": [{"length": {"max": 10}}]},
            "profiles.0.length",
            "must be within the range of the axis, 1 to 9; found 1 to 10",
        ),
        ({"profiles": [{"length": {"min": 4, "opt": 2}}]}, "profiles.0.length", "min <= opt <= max must hold; found 4, 2, 9"),
        (
            {"profiles": [{"width": {"min": 4}}]},
            "profiles.0.width",
            "no input has a dynamic axis 'width'; known: batch, length",
        ),
        ({"profiles": [{}], "backend": "onnxruntime"}, "profiles", "needs backend tensorrt"),
        (
            {"profiles": [{"batch": {"max": 4}}, {}], "triton": {"instance_group": [{"profile": ["1"]}, {"profile": ["0"]}]}},
            "triton.instance_group.1.profile",
            "its profiles do not cover batch 5",
        ),
        (
            {"profiles": [{}, {}], "triton": {"instance_group": [{"profile": ["2"]}]}},
            "triton.instance_group.0.profile",
            "must list profiles by number, from 0 to 1; found ['2']",
        ),
        (
            {"triton": {"instance_group": [{"profile": ["3"]}]}},
            "triton.instance_group.0.profile",
            "must list profiles by number, from 0 to 0; found ['3']",
        ),
        (
            {"triton": {"instance_group": [{"kind": "KIND_CPU", "count": 2}]}},
            "triton.instance_group.0.kind",
            "plans run on GPUs only",
        ),
        (
            {"profiles": [{}, {}], "backend": "tensorrt_rtx", "triton": {"instance_group": [{"profile": ["0"]}]}},
            "triton.instance_group.0.profile",
            "Triton supports it for platform tensorrt_plan only",
        ),
    ],
)
def test_every_problem_of_the_profiles_is_listed(fields, where, words):
    found = {".".join(path): text for path, text in rules.problems(model(**fields))}
    assert words in found.get(where, ""), found


def test_sizes_outside_the_steps_of_an_axis_need_no_profile():
    axes = {"length": {"min": 4, "max": 12, "step": 4}}
    parts = [{"length": {"max": 4, "opt": 4}}, {"length": {"min": 8}}]
    assert list(rules.problems(model(axes=axes, profiles=parts))) == []
