"""Plans that several machines built of one request, brought together into one version; and what does not go together."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.support.command import tritonize
from tests.support.plan_requests import network, request
from tritonize.core.errors import PlanError, UsageError
from tritonize.plans import builder as plan_builder
from tritonize.plans import collection as plan_collection
from tritonize.plans import compatibility, plan_file

SPEC = """
schema: 1
target: {compute_capabilities: ["8.0", "8.6", "8.9", "12.0"]}
models:
  net:
    source: m.onnx
    backend: tensorrt_rtx
    max_batch_size: 4
    profiles: [{batch: {opt: 1}}, {}]
"""


def source(factor: float = 1.0) -> None:
    """The model: an ONNX file, so that nothing waits for PyTorch."""
    model = onnx.shape_inference.infer_shapes(onnx.load(network("m.onnx")))
    for each in model.graph.initializer:
        array = onnx.numpy_helper.to_array(each)
        if array.dtype.kind == "f":
            each.CopyFrom(onnx.numpy_helper.from_array(array * np.float32(factor), each.name))
    onnx.save(model, "m.onnx")


@pytest.mark.slow  # tests/integration/plans/test_plan_proving.py goes the whole way with two machines and their proofs
def test_plans_of_four_machines_become_one_version(monkeypatch, tmp_path):
    """Each machine is a cache of its own and knows the request's folder alone."""
    source()
    Path("spec.yaml").write_text(SPEC)
    done = tritonize("plan", "request", "spec.yaml", "--out", "asked")
    assert done.returncode == 0, done.stderr
    asked = json.loads(Path("asked/request.json").read_text())
    assert asked["onnx"] == "model.onnx"
    assert len(asked["profiles"]) == 2
    for capability in asked["compute_capabilities"]:
        machine = tmp_path / f"machine{capability}"
        shutil.copytree("asked", machine)
        (machine / "request.json").write_text(json.dumps(asked | {"compute_capabilities": [capability]}))
        monkeypatch.setenv("TRITONIZE_CACHE", str(machine / "cache"))
        built = plan_builder.build(plan_builder.read_request(machine / "request.json"), machine / "plans")
        assert not built[0].cached
    folders = [str(tmp_path / f"machine{each}" / "plans") for each in reversed(asked["compute_capabilities"])]
    done = tritonize("plan", "collect", *folders, "--out", "together")
    assert done.returncode == 0, done.stderr
    done = tritonize("build", "spec.yaml", "--plans", "together", "--json")
    assert done.returncode == 3, done.stderr  # they did not run
    (report,) = json.loads(done.stdout)["reports"]
    version = Path(report["location"])
    names = {"8.0": "model.sm80.plan", "8.6": "model.sm86.plan", "8.9": "model.sm89.plan", "12.0": "model.sm120.plan"}
    config = (version.parent / "config.pbtxt").read_text()
    for capability, name in names.items():
        assert plan_file.read_header(version / name).compute_capabilities == (capability,)
        assert f'key: "{capability}"\n  value: "{name}"' in config
        assert (version / name).read_bytes() == (tmp_path / f"machine{capability}" / "plans" / "model.plan").read_bytes()
        assert plan_file.read_metadata(version / name) is not None
    assert "profile:" not in config  # Triton refuses it beside any platform but tensorrt_plan
    assert {each["compute_capability"] for each in report["details"]["plans"]} == set(names)
    source(2.0)
    done = tritonize("build", "spec.yaml", "--plans", "together", "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["what"] == "The plans do not match the spec."
    assert "onnx_sha256" in error["details"][0]
    shutil.rmtree("together")
    done = tritonize("plan", "collect", *folders[1:], "--out", "together")
    source()
    done = tritonize("build", "spec.yaml", "--plans", "together", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["details"] == ["there is none for compute capability 12.0"]


def test_a_single_collected_plan_is_named_in_the_configuration():
    """Triton looks for model.plan unless the configuration names another."""
    source()
    Path("spec.yaml").write_text(SPEC.replace('["8.0", "8.6", "8.9", "12.0"]', '["8.9"]'))
    assert tritonize("plan", "request", "spec.yaml", "--out", "asked").returncode == 0
    assert tritonize("plan", "build", "--request", "asked/request.json", "--out", "plans").returncode == 0
    done = tritonize("build", "spec.yaml", "--plans", "plans", "--json")
    assert done.returncode == 3, done.stderr
    version = Path(json.loads(done.stdout)["reports"][0]["location"])
    assert [path.name for path in version.glob("*.plan")] == ["model.sm89.plan"]
    assert 'key: "8.9"\n  value: "model.sm89.plan"' in (version.parent / "config.pbtxt").read_text()


def two() -> tuple[Path, Path]:
    """Two plans of one network, in folders of their own."""
    network("m.onnx")
    folders = Path("a"), Path("b")
    for folder, capability in zip(folders, ("8.6", "8.9"), strict=True):
        plan_builder.build(request(compute_capabilities=[capability]), folder)
    return folders


def changed(folder: Path, **fields) -> None:
    path = folder / "model.plan.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"onnx_sha256": "0" * 64}, "different ONNX files"),
        ({"settings": {"workspace_mib": 1}}, "different settings"),
        ({"profiles": [{"x": {"min": [1, 3], "opt": [1, 3], "max": [2, 3]}}]}, "different profiles"),
        ({"tf32": True}, "different TF32 settings"),
    ],
)
def test_plans_with_different_settings_are_rejected(fields, words):
    folders = two()
    changed(folders[1], **fields)
    with pytest.raises(UsageError, match="cannot be one version") as error:
        plan_collection.collect(folders, Path("out"))
    assert words in " ".join(error.value.details)


def stock(folder: str, version: tuple[int, ...], capability: str) -> Path:
    """A plan with the header of a stock one; no stock plan was ever seen here."""
    path = Path(folder) / "model.plan"
    path.parent.mkdir()
    path.write_bytes(b"ftrt" + bytes(20) + bytes(version) + bytes(64) + folder.encode())
    network("m.onnx")
    known = plan_builder.build(request(), Path(f"{folder}-rtx"))[0].metadata
    text = ".".join(map(str, version))
    plan_file.write_metadata(path, known)
    changed(path.parent, module="tensorrt", version=text, compute_capability=capability, plan_sha256=plan_file_sha256(path))
    return path.parent


def plan_file_sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_plans_of_different_tensorrt_versions_are_rejected():
    folders = stock("a", (10, 16, 1, 11), "8.6"), stock("b", (10, 16, 0, 72), "8.9")
    with pytest.raises(UsageError) as error:
        plan_collection.read(folders)
    assert "different TensorRT versions: 10.16.1.11" in error.value.details[0]


def test_two_different_plans_for_one_gpu_are_rejected():
    folders = stock("a", (10, 16, 1, 11), "8.6"), stock("b", (10, 16, 1, 11), "8.6")
    with pytest.raises(UsageError, match="cannot be one version") as error:
        plan_collection.read(folders)
    assert "two different plans are for compute capability 8.6" in error.value.details[0]
    shutil.copytree("a", "c")
    assert len(plan_collection.read([folders[0], Path("c")])) == 1


def test_a_plan_without_its_metadata_is_an_error():
    first, second = two()
    (second / "model.plan.json").unlink()
    with pytest.raises(PlanError, match="has no metadata"):
        plan_collection.read([first, second])
    shutil.copyfile(first / "model.plan.json", second / "model.plan.json")
    with pytest.raises(PlanError, match="not the one that its metadata describes"):
        plan_collection.read([first, second])
    with pytest.raises(UsageError, match="contain no plan"):
        plan_collection.read([Path("home")])


SKOPEO = """#!/bin/sh
[ "$3" = docker://nvcr.io/nvidia/tritonserver:26.06-py3 ] && echo '{"config": {"Env": ["A=1", "TRT_VERSION=10.16.1.11", "B=2"]}}'
"""


def test_the_tensorrt_version_of_a_release_is_read_from_its_image(monkeypatch):
    folder = Path("bin").absolute()
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.defpath}")
    nobody = compatibility.of_image("26.06")
    assert nobody.version is None
    assert "printenv TRT_VERSION" in nobody.source
    assert compatibility.of_image("26.02-trtllm-python-py3").version == "10.13.3.9"
    (folder / "skopeo").write_text(SKOPEO)
    (folder / "skopeo").chmod(0o755)
    asked = compatibility.of_image("26.06")
    assert (asked.image, asked.version) == ("nvcr.io/nvidia/tritonserver:26.06-py3", "10.16.1.11")
    assert "skopeo" in asked.source
    assert compatibility.of_image("26.07").version is None
    network("m.onnx")
    plan_builder.build(request(), Path("rtx"))
    done = tritonize("plan", "check", "rtx/model.plan", "--triton", "26.07")
    assert done.returncode == 1, done.stdout  # regardless of the version in that image
    stock("same", (10, 16, 1, 11), "8.6")
    stock("other", (10, 13, 3, 9), "8.6")
    for name, code, words in (("same", 0, "loads: all four"), ("other", 1, "does not load"), ("same-rtx", 1, "does not load")):
        done = tritonize("plan", "check", f"{name}/model.plan", "--triton", "26.06")
        assert done.returncode == code, done.stdout
        assert words in done.stdout
        assert "26.06-py3 has TensorRT 10.16.1.11: TRT_VERSION of the image, by skopeo" in " ".join(done.stdout.split())
    done = tritonize("plan", "check", "same/model.plan", "--triton", "26.07")
    assert done.returncode == 3
    assert "unknown" in done.stdout
    assert tritonize("plan", "check", "same/model.plan", "--triton", "latest").returncode == 2
