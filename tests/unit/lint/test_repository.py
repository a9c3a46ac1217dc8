"""Lint of a whole repository: rules about more than one model, hostile files, the places of fields."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.support import lint_cases, plain_versions
from tests.support.lint_cases import BASE, ENSEMBLE, IDENTITY, ONE, UNBATCHED, Model
from tritonize.core.errors import UsageError
from tritonize.lint import repository
from tritonize.lint.repository import Repository
from tritonize.workflows import completed_config


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty repository."""
    folder = tmp_path / "repository"
    folder.mkdir()
    return folder


def found(root: Path, models: dict[str, Model], **options: bool) -> dict[str, list[str]]:
    """The ids of the rules that each model breaks, after the models were written."""
    for name, model in models.items():
        model.write(root / name)
    ids: dict[str, list[str]] = {}
    for each in Repository(root, **options).lint():
        ids.setdefault(each.model, []).append(each.rule.id)
    return ids


def test_a_models_directory_is_not_taken_for_a_repository(root: Path) -> None:
    Model().write(root / "heart")
    first, *_ = Repository(root / "heart").lint()
    assert first.rule.id == "TR001"


def test_a_repository_without_models_is_a_warning(root: Path) -> None:
    (root / "notes.txt").write_text("")
    assert found(root, {}) == {"": ["TR011"]}
    (root / "notes.txt").unlink()
    assert found(root, {"heart": Model(config=None, files={"1/x": "x"})}) == {"heart": ["TR105"]}


def test_a_broken_link_at_the_root_is_found(root: Path) -> None:
    (root / "old").symlink_to("gone")
    assert found(root, {"heart": Model()}) == {"": ["TR004"]}


def test_links_that_lead_outside_are_read_only_on_request(root: Path) -> None:
    secret = root.parent / "secret"
    secret.write_text("password: 1234\n")
    Model().write(root.parent / "elsewhere")
    Model(config="-> ../../secret").write(root / "config")
    Model(config="-> config").write(root / "text")
    root.joinpath("whole").symlink_to(root.parent / "elsewhere")
    (root / "text/config.pbtxt").unlink()
    (root / "text/config.pbtxt").symlink_to("../config/config.pbtxt")
    messages = list(Repository(root).lint())
    assert {(each.model, each.rule.id) for each in messages} == {("config", "TR005"), ("text", "TR005"), ("whole", "TR005")}
    assert "password" not in repr(messages)
    assert found(root, {}, follow=True) == {"config": ["TR102"], "text": ["TR102"]}


def test_a_model_file_that_leads_outside_is_found(root: Path) -> None:
    (root.parent / "secret").write_text("password: 1234\n")
    Model().write(root / "heart")
    (root / "heart/1/labels.txt").symlink_to("../../../secret")
    (root / "heart/1/same.txt").symlink_to("model.onnx")
    (message,) = Repository(root).lint()
    assert (message.rule.id, message.path) == ("TR005", "heart/1/labels.txt")
    assert found(root, {}, follow=True) == {}


def test_a_configuration_that_is_not_text_is_found(root: Path) -> None:
    Model(config=None).write(root / "utf16")
    (root / "utf16/config.pbtxt").write_bytes(BASE.encode("utf-16"))
    Model(config=None, files=ONE | {"config.pbtxt": None}).write(root / "folder")
    Model(config=None).write(root / "pipe")
    os.mkfifo(root / "pipe/config.pbtxt")
    Model(config="# " + "x" * 2**23).write(root / "large")
    ids = found(root, {})
    assert ids == {"folder": ["TR008", "TR103"], **{name: ["TR103"] for name in ("large", "pipe", "utf16")}}


def test_a_version_without_permission_is_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by its mode, since the tests may run as root, who reads everything."""
    Model().write(root / "heart")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "1":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert found(root, {}) == {"heart": ["TR006"]}


def test_a_directory_without_permission_is_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Model().write(root / "heart")
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "heart":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert found(root, {}) == {"heart": ["TR006"]}


@pytest.mark.parametrize(
    "text",
    [
        "input { " * 50_000,
        "[" * 50_000,
        'name: "' + "x" * 100_000,
        "parameters { key: 'a' value { string_value: '\\x' } }" * 1000,
        "\0" * 1000,
        "input [ " + "{}, " * 5_000 + "{} ]",
        "max_batch_size: " + "9" * 10_000,
        "ensemble_scheduling { " + "step { model_name: 'heart' } " * 5_000 + "}",
        "a: <" * 1000,
    ],
    ids=["deep", "brackets", "open text", "escapes", "zeros", "entries", "number", "steps", "angles"],
)
def test_hostile_configurations_are_diagnostics(root: Path, text: str) -> None:
    ids = found(root, {"heart": Model(config=text)})
    assert ids["heart"]


@pytest.mark.parametrize("name", ["x" * 5000, "a\\000b", "x/" * 3000, "..", "", "/", "\\377", "~"])
def test_hostile_file_names_are_diagnostics_or_accepted(root: Path, name: str) -> None:
    y = lint_cases.Y.replace("dims", f'label_filename: "{name}" dims')
    configs = {
        "file": BASE + f'default_model_filename: "{name}"\n',
        "label": BASE.replace(lint_cases.Y, y),
        "plan": BASE.replace("onnxruntime", "tensorrt") + f'cc_model_filenames {{ key: "8.9" value: "{name}" }}\n',
        "library": BASE + f'model_operations {{ op_library_filename: "{name}" }}\n',
        "warmup": lint_cases.warm(f'dims: [ 3 ] input_data_file: "{name}"').config,
        "environment": lint_cases.PYTHON + lint_cases.ENVIRONMENT.replace("$$TRITON_MODEL_DIRECTORY/env.tar.gz", name),
        "script": lint_cases.SCRIPT + f'default_model_filename: "{name}"\n',
    }
    ids = found(root, {key: Model(config=each) for key, each in configs.items()})
    assert "TR422" not in ids.get("warmup", [])
    assert {"plan", "library"} <= set(ids)


def test_a_model_has_at_most_a_thousand_findings(root: Path) -> None:
    ids = found(root, {"heart": Model(config="input { }\n" * 2_000)})
    assert len(ids["heart"]) == 1_001
    assert ids["heart"][-1] == "TR010"


def test_dims_without_end_take_no_time(root: Path) -> None:
    dims = f"dims: [ {', '.join(['9223372036854775807'] * 10_000)} ] reshape {{ shape: [ 1 ] }}"
    started = time.monotonic()
    (model,) = found(root, {"heart": Model(config=BASE.replace("dims: [ 3 ]", dims, 1))}).values()
    assert time.monotonic() - started < 10
    assert model == ["TR606"]


def test_a_file_that_disappears_meanwhile_is_a_diagnostic(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: Path) -> None:
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(repository.onnx_files.files, "is_directory", gone)
    assert found(root, {"heart": Model()}) == {"heart": ["TR006"]}


def test_a_large_archive_is_not_read(root: Path) -> None:
    end = b"PK\x05\x06" + b"\0" * 8 + (2**30).to_bytes(4, "little") + b"\0" * 6
    assert found(root, {"script": Model(config=lint_cases.SCRIPT, files={"1/model.pt": b"PK" * 100 + end})}) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x3a",
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xff" * 100_000,
        b"\x3a\x05hello",
        IDENTITY[:-9],
        b"\x08\x08" * 100,
    ],
    ids=["empty", "cut", "long number", "ones", "garbage", "truncated", "no graph"],
)
def test_hostile_onnx_files_are_diagnostics(root: Path, content: bytes) -> None:
    assert found(root, {"heart": Model(files={"1/model.onnx": content})}) == {"heart": ["TR601"]}


def test_the_file_outside_of_its_version_is_a_warning(root: Path) -> None:
    shared = Model(config=BASE + 'default_model_filename: "../model.onnx"\n', files={"model.onnx": IDENTITY, "1": None})
    assert found(root, {"heart": shared}) == {"heart": ["TR112"]}


def test_a_backend_that_is_gone_is_a_warning(root: Path) -> None:
    old = Model(config=BASE.replace('backend: "onnxruntime"', 'platform: "tensorflow_savedmodel"'))
    assert found(root, {"heart": old}) == {"heart": ["TR113"]}


def test_a_profile_is_named_by_a_number(root: Path) -> None:
    for name, ids in (("small", ["TR403"]), ("1", [])):
        config = BASE.replace("onnxruntime", "tensorrt") + f'instance_group [ {{ kind: KIND_GPU profile: [ "{name}" ] }} ]\n'
        assert [
            each for each in found(root / name, {"plan": Model(config=config)}).get("plan", []) if each.startswith("TR4")
        ] == ids


JOIN = (
    'step [ { model_name: "part" model_version: -1 input_map { key: "X" value: "IN" } output_map { key: "Y" value: "ONE" } },'
    ' { model_name: "SECOND" model_version: -1 input_map { key: "X" value: "IN" } output_map { key: "Y" value: "TWO" } },'
    ' { model_name: "pair" model_version: -1 input_map { key: "A" value: "ONE" } input_map { key: "B" value: "TWO" }'
    ' output_map { key: "C" value: "OUT" } } ]'
)


def test_outputs_of_an_ensemble_come_from_one_decoupled_model(root: Path) -> None:
    steps = f"step [ {lint_cases.STREAM.format('OUT')}, {lint_cases.STREAM.format('OTHER')} ]"
    other = ENSEMBLE.replace(lint_cases.ENSEMBLE_STEP, steps) + 'output [ { name: "OTHER" data_type: TYPE_FP32 dims: [ 3 ] } ]\n'
    models = {"stream": lint_cases.PARTS["stream"], "all": Model(config=other, files={"1": None})}
    assert found(root, models) == {"all": ["TR521"]}


def test_tensors_of_models_that_are_not_decoupled_are_joined(root: Path) -> None:
    joined = ENSEMBLE.replace(lint_cases.ENSEMBLE_STEP, JOIN.replace("SECOND", "part"))
    models = {"part": Model(), "pair": lint_cases.PARTS["pair"], "all": Model(config=joined, files={"1": None})}
    assert found(root, models) == {}


def test_ensembles_of_ensembles_are_followed(root: Path) -> None:
    inner = Model(config=ENSEMBLE, files={"1": None})
    outer = Model(config=ENSEMBLE.replace('"part"', '"inner"').replace('"X"', '"IN"').replace('"Y"', '"OUT"'), files={"1": None})
    part = Model(config=BASE.replace("TYPE_FP32", "TYPE_FP16", 1))
    assert found(root, {"part": part, "inner": inner, "outer": outer}) == {
        "part": ["TR605"],
        "inner": ["TR517"],
        "outer": ["TR512"],
    }


def test_named_models_alone_are_linted(root: Path) -> None:
    for name in ("one", "two"):
        Model(config="x").write(root / name)
    assert {each.model for each in Repository(root).lint(["two"])} == {"two"}
    with pytest.raises(UsageError, match="no such model"):
        list(Repository(root).lint(["three"]))


def test_a_repository_that_does_not_exist_is_an_error(root: Path) -> None:
    with pytest.raises(UsageError):
        Repository(root / "nowhere")


def test_a_backend_that_completes_tensors_may_leave_out_types(root: Path) -> None:
    models = {
        name: Model(
            config=BASE.replace("onnxruntime", name).replace("data_type: TYPE_FP32 ", "", 1), files={f"1/{file}": lint_cases.CODE}
        )
        for name, file in (("python", "model.py"), ("onnxruntime", "model.onnx"))
    }
    assert found(root, models) == {"python": ["TR111"], "onnxruntime": ["TR601", "TR203"]}


def test_names_with_dots_are_addressable(root: Path) -> None:
    assert found(root, {"llava-1.5": Model(), "heart v2": Model()}) == {"heart v2": ["TR003"]}


def test_backends_of_others_join_ragged_requests_themselves(root: Path) -> None:
    ragged = UNBATCHED.replace("dims", "allow_ragged_batch: true dims", 1)
    models = {
        "own": Model(config=ragged.replace("onnxruntime", "tensorrtllm")),
        "python": Model(config=ragged.replace("onnxruntime", "python")),
    }
    assert "TR212" in found(root, models)["python"]
    assert "own" not in found(root, {})


def test_a_pipe_in_place_of_a_model_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "model.onnx"
    os.mkfifo(pipe)
    with pytest.raises(UsageError) as refused:
        completed_config.text(pipe)
    assert refused.value.found == "it is not a regular file"


def test_a_manifest_of_another_model_is_told_in_words(root: Path) -> None:
    plain_versions.publish(root, "one", name="own")
    (root / "own").rename(root / "other")
    (message, *_) = [each for each in Repository(root).lint() if each.rule.id == "TR901"]
    assert (message.found, message.expected) == ("the manifest's model differs: own", "other")
