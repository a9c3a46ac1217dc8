"""Plans proven on the machines that built them, for a version made on another; with stand-ins (`tests/support/fake_gpu`)."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.support import fake_driver, plan_requests
from tests.support.command import tritonize
from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.errors import PlanError, UsageError
from tritonize.plans import proof_input, proof_record
from tritonize.plans.proof_input import ProofInput
from tritonize.quality import golden_set
from tritonize.quality.golden_set import GoldenSet, Rules
from tritonize.spec.schema import Tolerance

SPEC = """
schema: 1
target: {{compute_capabilities: ["8.9", "9.0"]}}
models:
  net:
    source: m.onnx
    backend: tensorrt
    max_batch_size: 4
    outputs: {{y0: {{tolerance: {{rtol: {rtol}, atol: 1.0e-4}}}}}}
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_driver.compiled(tmp_path_factory.mktemp("driver"))


def machine(library: Path, capability: str, **variables: str) -> dict[str, str]:
    """The environment of a machine with a GPU of a kind, and a cache of its own."""
    cache = Path(f"cache{capability}").absolute()
    if not cache.exists():
        cache.mkdir()
        (cache / "server").symlink_to(Path(os.environ["TRITONIZE_CACHE"], "server"))
    return {**fake_driver.environment(library), "TRITONIZE_CACHE": str(cache), "FAKE_GPU_CAPABILITY": capability, **variables}


def asked() -> None:
    """A model, its spec, and the request for its plans."""
    onnx.save(onnx.shape_inference.infer_shapes(onnx.load(plan_requests.network("m.onnx"))), "m.onnx")
    Path("spec.yaml").write_text(SPEC.format(rtol="1.0e-4"))
    done = tritonize("plan", "request", "spec.yaml", "--out", "asked")
    assert done.returncode == 0, done.stderr
    assert "tritonize plan prove plans/ --question question/" in done.stdout


def built(library: Path, capability: str, **variables: str):
    """Build and prove on one machine, which has only the folder of the request; returns the result of `plan prove`."""
    env = machine(library, capability, **variables)
    done = tritonize("plan", "build", "--request", "asked/request.json", "--out", f"plans{capability}", env=env)
    assert done.returncode == 0, done.stderr
    return tritonize("plan", "prove", f"plans{capability}", "--question", "asked/question", env=env)


def run(**env: str):
    shutil.rmtree("together", ignore_errors=True)
    assert tritonize("plan", "collect", "plans8.9", "plans9.0", "--out", "together").returncode == 0
    done = tritonize("run", "spec.yaml", "--plans", "together", "--json", env=env or None)
    assert '"reports"' in done.stdout, done.stdout
    return done.returncode, json.loads(done.stdout)["reports"][0]


def test_each_plan_is_proven_on_its_gpu_and_the_version_where_it_is_served(library):
    asked()
    for capability in ("8.9", "9.0"):
        done = built(library, capability)
        assert done.returncode == 0, done.stderr
        record = proof_record.read(Path(f"plans{capability}", "model.plan"))
        assert record.verdict == "passed"
        assert record.facts["compute_capability"] == capability
        assert {row["batch_size"] for row in record.answers} == {1, 4}
        assert all(row["passed"] for row in record.answers)
    code, report = run()  # no GPU here: nothing serves them
    assert code == 3
    assert report["verdict"] == "not run"
    assert all(each["proof"].startswith("passed: on ") for each in report["details"]["plans"])
    assert ("server", "not run") in {(stage["name"], stage["verdict"]) for stage in report["stages"]}
    code, report = run(**machine(library, "8.9"))
    assert code == 0, report
    assert report["published"]
    proofs = {each["compute_capability"]: each["proof"] for each in report["details"]["plans"]}
    assert proofs["8.9"] == "passed"
    assert "from the proof record next to the plan" in proofs["9.0"]
    assert (Path(report["location"]) / "evidence" / "model.sm90.plan.proof.json").is_file()
    shutil.rmtree("model_repository")
    env = machine(library, "9.0", FAKE_GPU_ERROR="1.1")
    done = tritonize("plan", "prove", "plans9.0", "--question", "asked/question", env=env)
    assert done.returncode == 1
    assert "failed: y0: " in done.stdout
    code, report = run(**machine(library, "8.9"))
    assert code == 1
    assert not report["published"]
    assert [each["what"].startswith("the plan failed on ") for each in report["findings"]] == [True]
    shutil.copyfile(
        "plans8.9/model.plan.proof.json", "plans9.0/model.plan.proof.json"
    )  # of another kind of GPU, so it does not count
    code, report = run(**machine(library, "8.9"))
    assert code == 3
    assert not report["published"]
    assert "no GPU of compute capability 9.0" in report["details"]["plans"][1]["proof"]


def test_without_its_gpu_a_plan_is_not_run_and_no_record_is_written(library):
    asked()
    env = machine(library, "8.9")
    done = tritonize("plan", "build", "--request", "asked/request.json", "--out", "plans8.9", env=env)
    assert done.returncode == 0, done.stderr
    done = tritonize("plan", "prove", "plans8.9", "--question", "asked/question", env=machine(library, "9.0"))
    assert done.returncode == 3
    assert "not run: no GPU of compute capability 8.9 here" in done.stdout
    assert not list(Path("plans8.9").glob("*.proof.json"))
    done = tritonize("plan", "prove", "plans8.9", "--question", "asked")
    assert done.returncode == 2
    assert "no proof input" in done.stderr


def known(rtol: float = 1e-4) -> GoldenSet:
    """A golden set of two samples."""
    files = [
        TensorFiles(directory=Path(folder), tensors=(TensorSpec(name=name, dtype="fp32", shape=("b", 3)),), count=2)
        for folder, name in (("in", "x"), ("out", "y"))
    ]
    for number in range(2):
        for each in files:
            arrays.save(each, number, {each.tensors[0].name: np.full((1, 3), number, np.float32)})
    samples = SampleSet(files=files[0], batched=True, origin="here", edges={1: "ones"})
    rules = {"y": Rules(tolerance=Tolerance(rtol=rtol, atol=1e-4), noise_floor=10.0)}
    return GoldenSet(samples=samples, expected=files[1], max_batch_size=2, rules=rules, why_not="none")


def test_the_proof_input_is_read_back_unchanged_and_damage_is_an_error(monkeypatch):
    monkeypatch.setattr(golden_set, "BUDGET", 1)  # every sample is included, regardless of the budget of a version
    question = ProofInput(golden=known(), precision="fp16", deadline_s=60.0)
    proof_input.write(question, Path("question"))
    found = proof_input.read(Path("question"))
    assert found.sha256 == question.sha256
    assert (found.precision, found.deadline_s, found.golden.samples.files.count) == ("fp16", 60.0, 2)
    others = [proof_input.digest(known(2e-4), "fp16"), proof_input.digest(known(), "fp32")]
    arrays.save(question.golden.samples.files, 0, {"x": np.full((1, 3), 7, np.float32)})
    others.append(proof_input.digest(question.golden, "fp16"))
    assert len({*others, found.sha256}) == 4
    path = Path("question", "golden.json")
    path.write_text(path.read_text().replace('"rtol": 0.0001', '"rtol": 0.5'))
    with pytest.raises(UsageError, match="was changed"):
        proof_input.read(Path("question"))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": 2}', '{"schema": 1, "verdict": "passed"}'])
def test_a_damaged_record_is_an_error(text):
    Path("model.plan.proof.json").write_text(text)
    with pytest.raises(PlanError, match="cannot be read"):
        proof_record.read(Path("model.plan"))
    assert proof_record.read(Path("other.plan")) is None
