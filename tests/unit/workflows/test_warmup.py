"""Inputs of the warmup, made from samples or from the user's own files; and named variants of a configuration."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import lint_cases
from tritonize import repository
from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.errors import UsageError
from tritonize.spec import rules, schema
from tritonize.triton import model_config
from tritonize.workflows import made_from, portable_spec, stage_beside, warmup
from tritonize.workflows import run as run_workflow
from tritonize.workflows.stage_beside import Beside

X = [[1.0, 2.0, 3.0]]


def spec(evidence: str = "all", **model: Any) -> schema.Spec:
    described = {"source": "m.pt", "inputs": {"X": {"shape": ["b", 3]}}, "max_batch_size": 4, **model}
    return schema.Spec.model_validate({"schema": 1, "evidence": {"samples": evidence}, "models": {"m": described}})


def drawn(folder: Path, *items: dict[str, Any], batched: bool = True) -> SampleSet:
    tensors = tuple(
        TensorSpec(name=name, dtype=arrays.dtype_name(np.asarray(each)), shape=("b", "n")) for name, each in items[0].items()
    )
    files = TensorFiles(directory=folder / "samples", tensors=tensors, count=len(items))
    for index, item in enumerate(items):
        arrays.save(files, index, {name: np.asarray(each) for name, each in item.items()})
    return SampleSet(files=files, batched=batched, origin="here")


def prepared(specification: schema.Spec, folder: Path, samples: SampleSet | None = None) -> Beside:
    """What lies beside a version of the model `m` with this spec; the model is the identity."""
    model = specification.models["m"]
    assert list(rules.problems(model)) == []
    tensors = (TensorSpec(name="X", dtype="fp32", shape=("b", 3)),)
    outputs = (TensorSpec(name="Y", dtype="fp32", shape=("b", 3)),)
    known = samples or drawn(folder, {"X": np.float32(X)})

    def render(changed: schema.Model) -> str:
        return model_config.render_tensors("m", changed, inputs=tensors, outputs=outputs, labels={})

    return stage_beside.prepare(specification, "m", model, render=render, samples=known, folder=folder)


def config(beside: Beside, name: str = "config.pbtxt") -> dict[str, Any]:
    return dict(model_config.parse(beside.texts[name], where=name))


def test_every_shape_is_warmed_up_alone_and_in_the_largest_batch(tmp_path: Path) -> None:
    two = np.float32([[4.0, 5.0]])
    samples = drawn(tmp_path, {"X": np.float32(X)}, {"X": np.float32(X) + 1}, {"X": two})
    beside = prepared(spec(warmup="samples", inputs={"X": {"shape": ["b", "n"]}}, axes={"n": {"max": 3}}), tmp_path, samples)
    settings = config(beside)["model_warmup"]
    assert [(each["name"], each["batch_size"]) for each in settings] == [
        ("sample 0, batch 1", 1),
        ("sample 0, batch 4", 4),
        ("sample 2, batch 1", 1),
        ("sample 2, batch 4", 4),
    ]
    entry = settings[2]["inputs"]["X"]
    assert (entry["data_type"], entry["dims"]) == ("TYPE_FP32", ["2"])
    assert beside.files[f"warmup/{entry['input_data_file']}"].read_bytes() == two.tobytes()
    assert len(beside.files) == 2
    assert "# model_warmup: samples of the spec" in beside.texts["config.pbtxt"]
    assert beside.notes == ()


def test_text_has_its_length_before_it_and_bfloat16_is_its_bits(tmp_path: Path) -> None:
    texts = np.array([["é", ""]], object)
    numbers = np.array([[1.0]], arrays.numpy_dtype("bf16"))
    samples = drawn(tmp_path, {"T": texts, "B": numbers})
    (tmp_path / "files").mkdir()
    made = warmup.of_samples(samples, spec().models["m"], {}, keep=schema.Evidence(), folder=tmp_path / "files")
    inputs = made.samples[0]["inputs"]
    content = {name: made.files[f"warmup/{each['input_data_file']}"].read_bytes() for name, each in inputs.items()}
    assert content == {"T": struct.pack("<I", 2) + "é".encode() + struct.pack("<I", 0), "B": b"\x80\x3f"}
    assert (inputs["T"]["data_type"], inputs["B"]["data_type"], inputs["T"]["dims"]) == ("TYPE_STRING", "TYPE_BF16", [2])


@pytest.mark.parametrize(
    ("keep", "own", "values"),
    [
        ("all", True, True),
        ("all", False, True),
        ("synthetic", False, True),
        ("synthetic", True, False),
        ("hashes", False, False),
        ("hashes", True, False),
    ],
)
def test_values_of_samples_are_published_only_where_evidence_may_keep_them(
    keep: str, own: bool, values: bool, tmp_path: Path
) -> None:
    beside = prepared(spec(keep, warmup="samples", samples={"files": "patient.npz"} if own else {}), tmp_path)
    inputs = [each["inputs"]["X"] for each in config(beside)["model_warmup"]]
    assert len(inputs) == 2
    assert all(("input_data_file" in each) == values and bool(each.get("zero_data")) != values for each in inputs)
    assert bool(beside.files) == values
    assert bool(beside.notes) == (own and values)


def test_a_batch_is_smaller_where_the_inputs_are_large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(warmup, "_MOST_BYTES", 24)
    assert [each["batch_size"] for each in config(prepared(spec(warmup="samples"), tmp_path))["model_warmup"]] == [1, 2]


def own(*files: str, named: str, **model: Any) -> schema.Spec:
    entry = {"data_type": "TYPE_FP32", "dims": [3], "input_data_file": named}
    settings = [{"name": "w", "batch_size": 1, "inputs": {"X": entry}}]
    return spec(triton={"model_warmup": settings}, warmup_files=list(files), **model)


def test_own_files_are_named_by_their_hash_so_that_older_versions_keep_theirs(tmp_path: Path) -> None:
    names = []
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        Path("inputs/deep").mkdir(parents=True, exist_ok=True)
        Path("inputs/deep/x.bin").write_bytes(np.float32([number] * 3).tobytes())
        beside = prepared(own("inputs", named="deep/x.bin"), tmp_path / str(number))
        (name,) = beside.files
        assert name == f"warmup/{config(beside)['model_warmup'][0]['inputs']['X']['input_data_file']}"
        assert beside.files[name].read_bytes() == Path("inputs/deep/x.bin").read_bytes()
        names.append(name)
    assert names[0] != names[1]
    assert all(len(name) == len("warmup/0123456789ab.bin") for name in names)


@pytest.mark.parametrize(
    ("files", "named", "code"),
    [
        ([], "x.bin", "warmup-missing"),
        (["y.bin"], "x.bin", "warmup-missing"),
        (["x.bin", "y.bin"], "x.bin", "warmup-unused"),
        (["nothing.bin"], "x.bin", "warmup-unreadable"),
    ],
)
def test_own_files_that_do_not_fit_the_configuration_are_refused(files: list[str], named: str, code: str, tmp_path: Path) -> None:
    for each in ("x.bin", "y.bin"):
        Path(each).write_bytes(bytes(12))
    with pytest.raises(UsageError) as refused:
        prepared(own(*files, named=named), tmp_path)
    assert refused.value.code == code


def test_a_configuration_of_the_users_own_names_its_files_as_they_are(tmp_path: Path) -> None:
    Path("x.bin").write_bytes(bytes(12))
    entry = 'inputs { key: "X" value { data_type: TYPE_FP32 dims: [ 3 ] input_data_file: "x.bin" } }'
    text = lint_cases.BASE.replace("onnxruntime", "python") + f'model_warmup {{ name: "w" batch_size: 1 {entry} }}\n'
    Path("own.pbtxt").write_text(text.replace("python", "onnxruntime"))
    beside = prepared(spec(config="own.pbtxt", warmup_files=["x.bin"]), tmp_path)
    assert list(beside.files) == ["warmup/x.bin"]
    assert beside.texts == {"config.pbtxt": Path("own.pbtxt").read_text()}
    (note,) = beside.notes
    assert "files under their own names (1), since the configuration own.pbtxt" in note


def test_a_variant_replaces_fields_of_the_section_and_is_warmed_up_too(tmp_path: Path) -> None:
    section = {"instance_group": [{"kind": "KIND_CPU", "count": 1}], "parameters": {"a": 1}}
    wanted = spec(triton=section, variants={"large": {"instance_group": [{"kind": "KIND_CPU", "count": 4}]}}, warmup="samples")
    beside = prepared(wanted, tmp_path)
    usual, large = config(beside), config(beside, "configs/large.pbtxt")
    assert [each["instance_group"][0]["count"] for each in (usual, large)] == [1, 4]
    assert large | {"instance_group": None} == usual | {"instance_group": None}


@pytest.mark.parametrize(("fields", "rule"), [({}, ""), ({"instance_group": [{"kind": "KIND_CPU", "gpus": [0]}]}, "TR")])
def test_a_variant_that_triton_would_refuse_fails_the_run(fields: dict[str, Any], rule: str, tmp_path: Path) -> None:
    beside = prepared(spec(variants={"odd": fields}), tmp_path)
    with repository.staging(Path("models")) as run:
        (run.work / "model.onnx").write_bytes(lint_cases.IDENTITY)
        texts = {**beside.texts, "1/evidence/report.json": "{}"}
        staged = repository.stage(run, "m", 1, files={"1/model.onnx": run.work / "model.onnx"}, texts=texts)
        if not rule:
            stage_beside.require_sound_variants(staged)
            return
        with pytest.raises(UsageError) as refused:
            stage_beside.require_sound_variants(staged)
    assert (refused.value.code, refused.value.where) == ("variant-refused", "configs/odd.pbtxt")
    assert refused.value.details[0].startswith(rule)


@pytest.mark.parametrize(
    ("model", "where"),
    [
        ({"warmup": "samples", "triton": {"model_warmup": []}}, "warmup"),
        ({"warmup": "samples", "warmup_files": ["x"]}, "warmup_files"),
        ({"warmup": "samples", "triton": {"sequence_batching": {}}}, "warmup"),
        ({"warmup": "samples", "config": "own.pbtxt"}, "warmup"),
        ({"variants": {"a": {}}, "config": "own.pbtxt"}, "variants"),
        ({"warmup": "samples", "ensemble": [{"model": "a"}], "outputs": {"Y": {}}}, "warmup"),
    ],
)
def test_what_does_not_go_together(model: dict[str, Any], where: str) -> None:
    assert (where,) in [place for place, _ in rules.problems(spec(**model).models["m"])]


def test_the_manifest_has_no_names_of_the_users_files_and_their_content_counts() -> None:
    Path("Jane_Doe.bin").write_bytes(bytes(12))
    wanted = own("Jane_Doe.bin", named="Jane_Doe.bin")
    plain = portable_spec.portable(wanted.models["m"])
    assert plain["warmup_files"] == 1
    assert "Jane" not in str(plain)
    first = made_from.given(wanted, "m", {})
    Path("Jane_Doe.bin").write_bytes(bytes(16))
    assert made_from.given(wanted, "m", {}) != first
    assert "Jane" not in str(first)


def test_a_missing_file_is_found_before_the_model_is_read() -> None:
    Path("m.onnx").write_bytes(b"no model")
    with pytest.raises(UsageError) as missing:
        run_workflow.build(own("nowhere.bin", named="nowhere.bin", source="m.onnx"))
    assert missing.value.where == "nowhere.bin"
