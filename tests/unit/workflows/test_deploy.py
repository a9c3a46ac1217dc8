"""`tritonize deploy`, from the command line to the written folder: what is refused, what is copied, what is said."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support import deploy_schemas
from tests.support.command import invoke
from tests.support.plain_versions import config, publish
from tests.unit.provenance.test_signatures import new_key
from tritonize.core.errors import MissingError, RepositoryError, UsageError
from tritonize.provenance import signatures
from tritonize.workflows import deploy as workflow
from tritonize.workflows import rendered_chart
from tritonize.workflows.deploy import Request, Written

PLACE = Path("model_repository")
TARGET = {"target": {"triton": "26.06"}}
NEEDED = {"kubernetes": ["--image", "r.example/m:1"], "helm": ["--image", "r.example/m:1"], "kserve": ["--storage-uri", "s3://b/m"]}


@pytest.fixture(autouse=True)
def _without_helm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path("bin").absolute()))


def deployed(kind: str, *options: str) -> Any:
    return invoke("deploy", kind, str(PLACE), "--out", "out", *NEEDED.get(kind, ()), *options)


def write(kind: Any = "image", **options: Any) -> Written:
    """The same by code, without the time that a command line takes."""
    return workflow.deploy(Request(kind=kind, repository=PLACE, out=Path("out"), **options))


def report(**facts: object) -> dict[str, Any]:
    return {**TARGET, "proved_by": {"tritonserver": "2.51.0"}, **facts}


@pytest.mark.parametrize("kind", workflow.KINDS)
def test_every_kind_is_written_complete_and_says_what_it_has(kind: str) -> None:
    publish(PLACE, "one", facts=report())
    publish(PLACE, "two", facts=report())
    done = deployed(kind, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    written = sorted(str(path.relative_to("out")) for path in Path("out").rglob("*") if path.is_file())
    assert (found["folder"], found["files"]) == ("out", written)
    assert (found["models"], found["triton"]) == ({"m": [2]}, "nvcr.io/nvidia/tritonserver:26.06-py3")
    assert any("m version 2 has no golden file" in note for note in found["notes"])
    assert any("memory of the running models was not measured" in note for note in found["notes"])
    if kind in ("image", "compose"):
        models = sorted(str(path.relative_to("out/models")) for path in Path("out/models").rglob("*") if path.is_file())
        assert models == ["m/2/model.onnx", "m/config.pbtxt"]
        assert Path("out/models/m/2/model.onnx").read_text() == "two"
    here = str(Path.cwd())
    assert [path for path in Path("out").rglob("*") if path.is_file() and here in path.read_text()] == []


def test_what_is_written_is_readable_by_the_servers_user_under_any_umask() -> None:
    publish(PLACE, "one", facts=report())
    before = os.umask(0o077)
    try:
        write()
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in Path("out").rglob("*") if path.is_file()}
    folders = {path.stat().st_mode & 0o777 for path in (Path("out"), *Path("out").rglob("*")) if path.is_dir()}
    assert (modes, folders) == ({0o644}, {0o755})


def test_the_release_is_that_of_the_versions_or_of_the_option() -> None:
    publish(PLACE, "one", facts={})
    refused = deployed("image")
    assert (refused.returncode, "--triton YY.MM" in refused.stderr, Path("out").exists()) == (2, True, False)
    assert 'target: {triton: "26.06"}' in refused.stderr
    with pytest.raises(UsageError, match="Invalid Triton release"):
        write(release="26.6")
    write(release="25.12")
    assert "FROM nvcr.io/nvidia/tritonserver:25.12-py3\n" in Path("out/Dockerfile").read_text()
    shutil.rmtree("out")

    publish(PLACE, "n", name="n", text=config("n"), facts={"target": {"triton": "26.05"}})
    publish(PLACE, "o", name="o", text=config("o"), facts=TARGET)
    with pytest.raises(UsageError, match="different releases") as refusal:
        write()
    assert "n version 1: 26.05" in refusal.value.details
    write(models=["n"])
    assert "tritonserver:26.05-py3" in Path("out/Dockerfile").read_text()
    shutil.rmtree("out")
    assert "n version 1 was declared for Triton 26.05; the image has 26.06, as --triton says." in write(release="26.06").notes


def test_a_version_that_is_not_what_was_proven_is_refused_as_serve_refuses_it() -> None:
    publish(PLACE, "one", facts=report())
    (PLACE / "m/1/model.onnx").write_text("two")
    for kind in ("image", "kserve"):
        refused = deployed(kind)
        assert (refused.returncode, Path("out").exists()) == (1, False)
        assert "m/1/model.onnx: the file was changed after it was proven" in refused.stderr
        assert "tritonize verify" in refused.stderr
    found = json.loads(deployed("image", "--json").stdout)
    assert (found["folder"], found["findings"][0]["where"]) == (None, "m/1/model.onnx")
    (PLACE / "m/1/evidence/manifest.json").write_text("{")
    with pytest.raises(RepositoryError):
        write()


def test_a_served_version_without_evidence_beside_proven_ones_is_refused() -> None:
    publish(PLACE, "one", text=config(policy="version_policy { all { } }"), facts=report())
    (PLACE / "m/2").mkdir()
    (PLACE / "m/2/model.onnx").write_text("foreign")
    assert [finding.where for finding in write("compose").findings] == ["m/2"]
    assert not Path("out").exists()


def test_an_unproven_version_is_named() -> None:
    publish(PLACE, "one", facts=report(verdict="not run", proved_by={}))
    assert any("m version 1 is not proven in full (verdict: not run)" in note for note in write().notes)
    assert "# Proven with no server (unproven)." in Path("out/Dockerfile").read_text()


def test_a_key_requires_a_signature_of_every_version() -> None:
    private, public = new_key("own")
    publish(PLACE, "one", facts=report())
    refused = deployed("image", "--require-signature", str(public))
    assert (refused.returncode, Path("out").exists()) == (1, False)
    signatures.sign(PLACE, "m", 1, key=private)
    assert write(key=public).findings == ()
    shutil.rmtree("out")
    publish(PLACE, "n", name="n", text=config("n"), facts=report())
    assert [finding.where for finding in write(key=public).findings] == ["n/1"]
    assert not Path("out").exists()


@pytest.mark.parametrize("name", ["m/config.pbtxt", "m/1/model.onnx"])
def test_a_file_that_changes_between_check_and_copy_is_not_packed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(PLACE, "one", facts=report())
    pack = workflow.packing.pack

    def changed(*arguments: Any) -> Any:
        done = pack(*arguments)
        (arguments[1] / name).write_text("other")
        return done

    monkeypatch.setattr(workflow.packing, "pack", changed)
    with pytest.raises(RepositoryError) as refusal:
        write()
    assert (refusal.value.where, Path("out").exists()) == (name, False)


def test_with_a_key_nothing_is_packed_that_no_signature_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = new_key("own")
    publish(PLACE, "one", facts=report())
    signatures.sign(PLACE, "m", 1, key=private)
    pack = workflow.packing.pack

    def more(*arguments: Any) -> Any:
        done = pack(*arguments)
        (arguments[1] / "m/labels.txt").write_text("other")
        return done

    monkeypatch.setattr(workflow.packing, "pack", more)
    with pytest.raises(RepositoryError) as refusal:
        write(key=public)
    assert (refusal.value.where, refusal.value.details) == ("m/labels.txt", ("the file is served, and no check covers it",))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image": "R.example/m"}, "registry.example/heart:1"),
        ({"image": "m:1 --privileged"}, "registry.example/heart:1"),
        ({"image": "m:1", "verifier": "m\nn"}, "registry.example/heart:1"),
        ({"image": f"m@sha256:{'0' * 64}"}, "--verifier"),
        ({"image": "m:1", "name": "Heart"}, "lower-case letters"),
        ({"image": "m:1", "models": ["absent"]}, "no such model"),
        ({"storage_uri": "s3://user:secret@bucket/models"}, "service account"),
        ({"storage_uri": "s3://bucket/models?token=secret"}, "service account"),
        ({"storage_uri": "bucket/models"}, "s3://bucket/models"),
    ],
)
def test_an_invalid_option_is_a_usage_error(options: dict[str, Any], words: str) -> None:
    publish(PLACE, "one", facts=report())
    with pytest.raises(UsageError) as refusal:
        write("kserve" if "storage_uri" in options else "kubernetes", **options)
    assert words in str(refusal.value)
    assert "secret" not in str(refusal.value)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("image", "verifier"),
    [
        ("r.example:5000/m", "r.example:5000/m:latest-verify"),
        ("r.example:5000/m:1", "r.example:5000/m:1-verify"),
        ("m", "m:latest-verify"),
    ],
)
def test_the_image_that_verifies_is_named_after_the_other(image: str, verifier: str) -> None:
    assert workflow._verifier(image) == verifier


def test_an_existing_folder_and_one_in_the_repository_are_refused() -> None:
    publish(PLACE, "one", facts=report())
    Path("out").mkdir()
    with pytest.raises(RepositoryError, match="already exists"):
        write()
    assert list(Path("out").iterdir()) == []
    with pytest.raises(RepositoryError, match="inside the repository"):
        workflow.deploy(Request(kind="image", repository=PLACE, out=PLACE / "deploy"))
    assert not (PLACE / "deploy").exists()
    assert not any(path.name.startswith(".tritonize") for path in Path().iterdir())


def test_a_model_that_the_image_cannot_load_is_refused() -> None:
    publish(PLACE, "one", text=config().replace("onnxruntime", "tensorrt_rtx"), facts=report())
    with pytest.raises(MissingError, match="no backend 'tensorrt_rtx'"):
        write()


@pytest.mark.parametrize(
    "text",
    [config(policy="instance_group [ { kind: KIND_GPU } ]"), 'platform: "tensorrt_plan"', 'backend: "tensorrt"'],
)
def test_a_model_that_needs_a_gpu_says_so_without_one(text: str) -> None:
    publish(PLACE, "one", text=text, facts=report())
    assert any("add --gpu" in note for note in write("compose").notes)
    shutil.rmtree("out")
    assert not any("add --gpu" in note for note in write("compose", gpu=True).notes)
    (found,) = deploy_schemas.documents(Path("out/compose.yaml").read_text())
    deploy_schemas.validate_compose(found)


def name_of(done: Written) -> str:
    shutil.rmtree("out")
    assert done.deployment is not None
    return done.deployment.name


def test_models_get_a_name_together_and_one_its_own() -> None:
    publish(PLACE, "one", name="Ganz_Groß", text=config("Ganz_Groß"), facts=report())
    assert re.fullmatch(r"ganz-gro-[0-9a-f]{8}", name_of(write("kserve", storage_uri="s3://b/m")))
    publish(PLACE, "two", name="n", text=config("n"), facts=report())
    assert name_of(write("kserve", storage_uri="s3://b/m")) == "triton"
    assert name_of(write("kserve", storage_uri="s3://b/m", name="hearts")) == "hearts"


def test_a_model_without_any_evidence_is_deployed_with_a_note_as_it_is_served() -> None:
    (PLACE / "m/1").mkdir(parents=True)
    (PLACE / "m/1/model.onnx").write_text("hand-made")
    (PLACE / "m/config.pbtxt").write_text(config())
    assert "m version 1 has no evidence, so nothing was checked." in write(release="26.06").notes
    assert Path("out/models/m/1/model.onnx").read_text() == "hand-made"


def test_without_helm_the_chart_is_not_rendered_and_that_is_said() -> None:
    publish(PLACE, "one", facts=report())
    assert any("*not rendered*" in note for note in write("helm", image="m:1").notes)
    assert Path("out/templates/deployment.yaml").is_file()


def test_memory_is_read_from_the_proof_of_every_version() -> None:
    publish(PLACE, "one", facts=report())
    version = PLACE / "m/1"
    written = {"stages": [{"name": "export", "peak_memory": 7}, {"name": "onnxruntime", "peak_memory": 5 * 2**20}]}
    checked: Any = type("Checked", (), {"version_directory": version})()
    for content, expected in (
        (json.dumps(written), 5 * 2**20),
        (json.dumps({"stages": [{"name": "onnxruntime", "peak_memory": 0}]}), None),
        (json.dumps({"stages": "none"}), None),
        ("[]", None),
        ("{", None),
    ):
        (version / "evidence/report.json").write_text(content)
        assert workflow.deployed_models._memory(checked) == expected


def test_a_request_by_code_takes_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    publish(PLACE, "one", facts=report())
    monkeypatch.setattr(rendered_chart, "render", lambda chart, name: f"rendered {name} with {len(list(chart.iterdir()))} entries")
    done = workflow.deploy(Request(kind="helm", repository=PLACE, out=Path("out"), image="m:1"))
    assert "rendered m with 3 entries" in done.notes
    assert done.deployment is not None
    assert done.deployment.verifier == "m:1-verify"
