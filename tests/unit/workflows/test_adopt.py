"""What adopt says of models that it cannot compare: decided from files alone, before any server is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import tiny_onnx
from tritonize.core.errors import UsageError
from tritonize.spec import schema
from tritonize.workflows import adopt, adopted_files
from tritonize.workflows.adopt import Adoption

ONNX = tiny_onnx.identity([("X", tiny_onnx.FLOAT, ["b", 3])], [("Y", tiny_onnx.FLOAT, ["b", 3])])


def model(name: str, config: str | None, *files: str) -> Path:
    directory = Path("models") / name
    directory.mkdir(parents=True)
    if config is not None:
        (directory / "config.pbtxt").write_text(config)
    for each in files:
        path = directory / each
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ONNX if each.endswith(".onnx") else b"class TritonPythonModel: ...\n")
    return directory


def only(**options: object) -> Adoption:
    (found,) = adopt.adopt(adopt.Request(repository=Path("models"), **options))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("config", "files", "outcome", "words", "code"),
    [
        ('backend: "python"', ["1/model.py"], "other backend", "backend python", 0),
        (None, ["1/model.py"], "other backend", "backend python", 0),
        ('platform: "tensorrt_plan"', ["1/model.plan"], "other backend", "backend tensorrt", 0),
        ('platform: "ensemble" ensemble_scheduling { step [ ] }', ["1/empty"], "other backend", "an ensemble", 0),
        ("max_batch_size: many", ["1/model.onnx"], "refused", "max_batch_size", 1),
        ('backend: "onnxruntime" version_policy { specific { versions: [ 2 ] } }', ["1/model.onnx"], "refused", "serves none", 1),
        (None, [], "refused", "is no model", 1),
        ("", ["1/weights.bin"], "refused", "neither the configuration nor the files", 1),
        ('backend: "onnxruntime"', ["1/net.onnx"], "unproven", "no model file net/1/model.onnx", 3),
    ],
)
def test_each_has_its_reason(config: str | None, files: list[str], outcome: str, words: str, code: int) -> None:
    model("net", config, *files)
    found = only()
    assert (found.model, found.outcome, found.exit_code) == ("net", outcome, code)
    assert words in found.reason
    assert not Path("models.evidence").exists()


def test_a_link_inside_the_version_is_not_followed() -> None:
    directory = model("net", 'backend: "onnxruntime"', "1/other.onnx")
    (directory / "1/model.onnx").symlink_to("other.onnx")
    assert only().reason.startswith("net/1/model.onnx is a symbolic link")


def test_the_files_in_folders_beside_the_version_are_copied_and_hashed(tmp_path: Path) -> None:
    files = ["1/model.onnx", "warmup/image", "configs/small.pbtxt", "initial_state/zeros"]
    model("net", 'backend: "onnxruntime"', *files, "2/model.onnx")
    copied = adopted_files.copy(Path("models"), "net", 1, root=tmp_path / "copy")
    assert sorted(copied.hashes) == sorted(["config.pbtxt", *files])
    assert all((tmp_path / "copy/net" / name).is_file() for name in files)


def test_with_all_versions_those_that_a_policy_does_not_name_are_listed() -> None:
    directory = model("net", 'backend: "python" version_policy { specific { versions: [ 1 ] } }', "1/model.py", "2/model.py")
    found = adopt.adopt(adopt.Request(repository=Path("models"), all_versions=True))
    assert [(each.version, each.outcome) for each in found] == [(1, "other backend"), (2, "other backend")]
    (directory / "config.pbtxt").write_text('backend: "onnxruntime" version_policy { specific { versions: [ 1 ] } }')
    found = adopt.adopt(adopt.Request(repository=Path("models"), all_versions=True))
    assert [each.version for each in found] == [1, 2]
    assert found[1].reason.startswith("the version policy names the versions to serve")


def test_unknown_models_are_errors() -> None:
    model("net", 'backend: "python"', "1/model.py")
    with pytest.raises(UsageError, match="no such model"):
        only(models=["nets"])
    spec = schema.Spec.model_validate({"schema": 1, "models": {"nets": {"source": "net.pt"}}})
    with pytest.raises(UsageError, match="describes models that the repository does not have") as raised:
        only(specification=spec)
    assert raised.value.found == "nets"
