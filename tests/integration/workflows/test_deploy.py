"""Deployment files of a version with a golden set: the golden files in them, and the chart as Helm renders it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support import deploy_schemas, small_versions
from tests.support.command import invoke
from tests.support.deploy_schemas import documents
from tritonize.workflows import golden

IMAGE = ("--image", "r.example/small:1", "--triton", "26.06")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two served versions."""
    place = tmp_path_factory.mktemp("deploy") / "models"
    for version in (1, 2):
        small_versions.publish(place, version, triton={"version_policy": {"all": {}}})
    return place


def deployed(root: Path, kind: str, *options: str) -> dict[str, Any]:
    done = invoke("deploy", kind, str(root), "--out", kind, "--json", *options)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def objects(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = [each for path in folder.glob("*.yaml") for each in documents(path.read_text())]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def test_each_served_version_has_its_golden_file_in_a_config_map(root: Path, tmp_path: Path) -> None:
    found = deployed(root, "kubernetes", *IMAGE)
    versions = {each["name"]: each["version"] for each in found["verifications"]}
    assert versions == {"small-verify-1": 1, "small-verify-2": 2}
    known = objects(Path("kubernetes"))
    for name, version in versions.items():
        (content,) = known["ConfigMap", name]["binaryData"].values()
        (tmp_path / "a.golden").write_bytes(base64.b64decode(content))
        assert golden.look(tmp_path / "a.golden").origin.version == version
        container = known["Job", name]["spec"]["template"]["spec"]["containers"][0]
        assert ("--version" in container["args"]) is (version == 1)
    for each in known.values():
        deploy_schemas.validate_object(each)


def test_golden_files_that_are_too_large_stay_in_a_folder_for_a_volume(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tritonize.deploy.files.CONFIG_MAP_BYTES", 100)
    found = deployed(root, "kubernetes", *IMAGE)
    assert sorted(path.name for path in Path("kubernetes/golden").iterdir()) == ["small-verify-1.golden", "small-verify-2.golden"]
    assert any("small-golden" in note for note in found["notes"])
    known = objects(Path("kubernetes"))
    assert "ConfigMap" not in {kind for kind, _ in known}
    pod = known["Job", "small-verify-1"]["spec"]["template"]["spec"]
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "small-golden"


def test_the_chart_is_rendered_to_the_same_objects(root: Path, tmp_path: Path) -> None:
    if shutil.which("helm") is None:
        pytest.skip("not rendered: helm is not on PATH")
    found = deployed(root, "helm", *IMAGE, "--gpu")
    assert "helm linted and rendered the chart: 11 objects." in found["notes"]
    done = subprocess.run(["helm", "template", "small", "helm"], capture_output=True, text=True, timeout=60, check=True)
    rendered = {(each["kind"], each["metadata"]["name"]): each for each in documents(done.stdout)}
    deployed(root, "kubernetes", *IMAGE, "--gpu")
    wanted = objects(Path("kubernetes"))

    def managed_by_helm(plain: Any) -> Any:
        return json.loads(json.dumps(plain).replace('managed-by": "tritonize"', 'managed-by": "Helm"'))

    assert rendered == {key: managed_by_helm(each) for key, each in wanted.items()}
    switched = ["podMonitor.enabled=false", "autoscaling.enabled=false", "verification.job=false", "verification.schedule="]
    flags = [word for each in switched for word in ("--set", each)]
    done = subprocess.run(["helm", "template", "small", "helm", *flags], capture_output=True, text=True, timeout=60, check=True)
    assert sorted(each["kind"] for each in documents(done.stdout)) == ["ConfigMap", "ConfigMap", "Deployment", "Service", "Service"]
    (server,) = [each for each in documents(done.stdout) if each["kind"] == "Deployment"]
    assert server["spec"]["replicas"] == 1
    deploy_schemas.validate_object(server)


def test_a_helm_that_refuses_the_chart_is_an_error_and_nothing_is_written(root: Path, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "helm"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'Error: no such function'\nexit 1\n")
    program.chmod(0o755)
    done = invoke(
        "deploy", "helm", str(root), "--out", "chart", *IMAGE, env={"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    )
    assert (done.returncode, Path("chart").exists()) == (3, False)
    assert "`helm lint` refused the chart" in done.stderr
    assert "no such function" in done.stderr
