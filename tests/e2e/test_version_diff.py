"""Version against version: outputs, configuration, graph, files, latency."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support import small_versions
from tests.support.command import tritonize
from tritonize.cli import diff as shown
from tritonize.core.artifacts import to_json
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.repository import manifest
from tritonize.workflows import diff as diff_workflow
from tritonize.workflows.diff import Request, VersionDiff

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five versions: 2 is 1 again; 3 has other weights, 4 another operator and configuration, 5 other inputs."""
    place = tmp_path_factory.mktemp("diff") / "models"
    changed = small_versions.WEIGHTS.copy()
    changed[0, 0] += np.float32(0.5)
    small_versions.publish(place, 1)
    small_versions.publish(place, 2)
    small_versions.publish(place, 3, changed, samples={"count": 3, "seed": 7})
    small_versions.publish(
        place,
        4,
        operators=("Relu", "Abs"),
        triton={"dynamic_batching": {"max_queue_delay_microseconds": 100}, "version_policy": {"all": {}}},
    )
    small_versions.publish(place, 5, np.ones((8, 10), np.float32), inputs={"x": {"shape": ["batch", 8]}})
    return place


def diff(root: Path, before: int, after: int) -> VersionDiff:
    """The comparison, its text within 80 columns."""
    found = diff_workflow.diff(Request(repository=root, model="small", before=before, after=after, requests=10))
    text = list(shown.lines(found))
    assert max(map(len, text)) <= 80, text
    assert json.loads(json.dumps(to_json(found)))["versions"] == [before, after]
    return found


def test_a_version_and_its_copy_do_not_differ(root):
    # The configuration in place is version 5's, which suits neither: each is served with its own.
    found = diff(root, 1, 2)
    assert (found.verdict, found.findings, found.notes) == ("passed", (), ())
    (output,) = found.drift
    assert (output.output, output.samples, output.metrics.max_abs, output.metrics.equal) == ("y", 8, 0.0, True)
    assert output.k[1] == output.k[2]
    assert output.k[1] is not None
    assert 0 <= output.k[1] <= 10
    assert found.graph
    assert (found.graph.operators, found.graph.weights_changed, found.graph.weights) == ({}, (), (1, 1))
    assert [(each.version, each.requests, each.batch_size) for each in found.latency] == [(1, 10, 1), (2, 10, 1)]
    assert all(0 < each.median_ms <= each.p95_ms for each in found.latency)
    assert found.files["model.onnx"][0] == (root / "small/1/model.onnx").stat().st_size


def test_changed_weights_are_reported_with_the_size_of_the_difference(root):
    found = diff(root, 1, 3)
    assert found.verdict == "failed"
    assert found.findings == ()
    (output,) = found.drift
    assert output.samples == 6 + 3 + 2  # other seeds; zeros and ones are the same in both
    assert output.metrics.max_abs is not None
    assert 0.1 < output.metrics.max_abs < 5
    assert 0 < output.mismatched_samples < output.samples
    assert output.metrics.mismatched <= 11  # only the first of ten classes
    # Each is compared with its own float64 outputs, so both are right.
    assert all(k is not None and k <= 10 for k in output.k.values())
    assert set(output.k) == {1, 3}
    assert found.graph
    (weight,) = found.graph.weights_changed
    assert weight.name == "w"
    assert weight.sha256[0] != weight.sha256[1]
    assert weight.relative == pytest.approx(0.5 / np.linalg.norm(small_versions.WEIGHTS), rel=1e-5)
    assert "w" in "\n".join(shown.lines(found))


def test_graph_and_configuration_are_compared_field_by_field(root):
    found = diff(root, 1, 4)
    assert found.verdict == "failed"
    (output,) = found.drift
    assert output.metrics.equal  # |relu(x)| is relu(x): the outputs agree, the configuration does not
    fields = {finding.what: (finding.expected, finding.found) for finding in found.findings}
    assert fields["dynamic_batching.max_queue_delay_microseconds"] == ("nothing", "100")
    assert "version_policy" in " ".join(fields)
    assert found.graph
    assert found.graph.operators == {"Abs": (0, 1)}
    assert found.graph.nodes == (2, 3)


def test_versions_with_other_inputs_are_compared_without_outputs(root):
    found = diff(root, 1, 5)
    assert found.verdict == "failed"
    assert ("input x", "fp32 [?, 16]", "fp32 [?, 8]") in [(each.where, each.expected, each.found) for each in found.findings]
    assert any("refused" in finding.what for finding in found.findings)


def test_a_configuration_without_a_copy_is_reported_as_unknown(root, tmp_path):
    place = tmp_path / "models"
    shutil.copytree(root, place)
    path = place / "small/1/evidence/manifest.json"  # as tritonize published before it kept them
    known = json.loads(path.read_text())
    del known["files"]["1/evidence/config.pbtxt"]
    path.write_text(json.dumps({**known, "sha256": manifest.own_sha256(known)}))
    (place / "small/1/evidence/config.pbtxt").unlink()
    found = diff(place, 1, 4)
    (finding,) = [each for each in found.findings if each.where == "config.pbtxt"]
    assert "unknown" in finding.what
    assert any("no copy of it exists" in note for note in found.notes)


def test_equal_missing_or_damaged_versions_are_an_error(root, tmp_path):
    with pytest.raises(UsageError, match="two different versions"):
        diff_workflow.diff(Request(repository=root, model="small", before=1, after=1))
    with pytest.raises(UsageError, match="no such version"):
        diff_workflow.diff(Request(repository=root, model="small", before=1, after=9))
    shutil.copytree(root, tmp_path / "models")
    shutil.rmtree(tmp_path / "models/small/2/evidence")
    with pytest.raises(RepositoryError) as error:
        diff_workflow.diff(Request(repository=tmp_path / "models", model="small", before=1, after=2))
    assert error.value.code == "version-no-evidence"


def test_the_command_has_the_exit_code_of_its_verdict(root):
    done = tritonize("diff", str(root), "small", "1", "3", "--requests", "5")
    assert done.returncode == 1, done.stderr
    assert done.stdout.rstrip().endswith("DIFFER  small version 3 against version 1")
    assert max(map(len, done.stdout.splitlines())) <= 80
    shutil.copytree(root, "model_repository")
    same = tritonize("diff", "small", "1", "2", "--requests", "5", "--json")
    assert same.returncode == 0, same.stderr
    assert json.loads(same.stdout)["verdict"] == "passed"
    assert tritonize("diff", "small", "1").returncode == 2
    assert tritonize("diff", "small", "1", "x").returncode == 2
