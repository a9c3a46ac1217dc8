"""Evidence contains neither paths of this machine nor secrets among a factory's arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonize import repository
from tritonize.core import redaction
from tritonize.core.artifacts import StagedVersion
from tritonize.core.reports import Finding, Report
from tritonize.spec import schema
from tritonize.workflows import evidence, portable_spec


def test_texts_with_a_name_or_form_of_a_secret_are_redacted():
    kwargs = {
        "token": "very-secret-1",
        "apiKey": "very-secret-2",
        "options": {"password": "very-secret-3", "auth": ["very-secret-4", 5]},
        "name": "hf_abcdefghijklmnop",
        "url": "https://user:very-secret-5@host/path",
        "tokenizer": "bert",
        "num_tokens": 512,
        "max_token": 7,
        "hidden": [1, 2],
    }
    found = redaction.redacted(kwargs)
    assert not [text for text in redaction.secrets(kwargs) if text in str(found)]
    assert "very-secret" not in str(found)
    assert found["url"] == f"https://{redaction.REDACTED}@host/path"
    assert {name: found[name] for name in ("tokenizer", "num_tokens", "max_token", "hidden")} == {
        "tokenizer": "bert",
        "num_tokens": 512,
        "max_token": 7,
        "hidden": [1, 2],
    }
    assert found["options"]["auth"] == [redaction.REDACTED, 5]


def test_an_ordinary_word_is_redacted_only_as_an_argument():
    kwargs = {"token_mixer": "attention", "key": "image", "password": "attention2", "token": "abcdefghijklmnopqrst"}
    assert set(redaction.redacted(kwargs).values()) == {redaction.REDACTED}
    found = redaction.sanitized({"/attention/MatMul": "image"}, folders={}, hidden=redaction.secrets(kwargs))
    assert found == {"/attention/MatMul": "image"}
    assert set(redaction.secrets(kwargs)) == {"attention2", "abcdefghijklmnopqrst"}


def test_paths_of_the_command_line_become_relative_or_names():
    command = [
        "tritonize",
        "build",
        "/data/secret",
        "place/heart.pt",
        "--plans=/mnt/plans",
        "--input",
        "x:fp32:1x4",
        "--url",
        "http://host/a",
        "--name",
        "a/b",
    ]
    text = "/data/secret place/heart.pt and /mnt/plans/one.plan and /here/model.pt and http://host/a"
    found = redaction.sanitized(text, words=["/data/secret place/heart.pt", *command], folders={Path("/here"): ""})
    assert found == "heart.pt and plans/one.plan and model.pt and http://host/a"


def test_no_file_of_the_evidence_has_local_paths_or_secrets(tmp_path):
    staged = StagedVersion(root=tmp_path / "area" / "run" / "repository", model="m", version=1)
    staged.version_directory.mkdir(parents=True)
    (staged.model_directory / repository.CONFIG).write_text('name: "m"')
    model = schema.Model.model_validate(
        {"source": "zoo:make", "kwargs": {"token": "very-secret", "hidden": 16}, "inputs": {"x": {"shape": [1]}}}
    )
    again = f"tritonize build {tmp_path}/heart.yaml --plans /mnt/somewhere/plans"
    report = Report(
        command="run",
        model="m",
        version=1,
        verdict="passed",
        findings=(Finding(where=str(staged.version_directory / "model.onnx"), what="the model said very-secret"),),
        notes=(f"Again: {again} --sample-file {tmp_path}/models/m/1/evidence/worst.npz",),
        details={"worst": {"command": again}, "attempts": []},
    )
    places = evidence.Places(repository=tmp_path / "models", staged=staged.root.parent, command=again)
    evidence.write(staged, report, model, places=places)
    for path in (staged.version_directory / "evidence").iterdir():
        text = path.read_text()
        assert "very-secret" not in text, path.name
        assert str(tmp_path) not in text, path.name
        assert "/mnt/somewhere" not in text, path.name
    assert "Again: tritonize build heart.yaml --plans plans" in " ".join(
        (staged.version_directory / "evidence" / "report.txt").read_text().split()
    )
    plain = repository.read_manifest(staged.version_directory)
    assert plain["spec"]["kwargs"] == {"token": redaction.REDACTED, "hidden": 16}


@pytest.mark.parametrize(
    ("given", "command"),
    [
        ("scans/Jane_Doe.npz", "tritonize build spec.yaml --sample-file scans/Jane_Doe.npz"),
        ("scans/Jane_Doe.npz", "tritonize build spec.yaml --sample-file=./scans/Jane_Doe.npz"),
        ("scans/Jane Doe.npz", "tritonize build spec.yaml --sample-file 'scans/Jane Doe.npz' -m m"),
        ("Jane_Doe", "tritonize build spec.yaml --sample-file Jane_Doe"),
        ("scans/Jane_*.npz", "tritonize build spec.yaml --sample-file 'scans/Jane_*.npz'"),
        ("Jane_Doe/1.npz", "tritonize build spec.yaml"),
    ],
)
def test_names_of_sample_files_are_in_no_text_of_a_report(given, command):
    Path("scans").mkdir()
    Path("scans/Jane_Doe.npz").touch()
    model = schema.Model.model_validate(
        {"source": "m.pt", "inputs": {"x": {"shape": [1]}}, "samples": {"files": [str(Path(given).absolute())]}}
    )
    texts = [f"Again: {command}", f"{command} --sample-file models/m/1/evidence/golden/inputs/0"]
    texts += [f"{Path(given).absolute()}: the shape is [1]"]
    if Path(given).suffix:
        texts.append(f"see {Path(given).name}, and model.npz")
    if "*" in given:
        texts.append("Jane_Doe.npz has NaN")
    found = evidence.Places(command=command).removed_from({"notes": texts, "x.npz": 1}, model)
    assert "Jane" not in str(found)
    assert found["x.npz"] == 1
    assert len(found["notes"]) == len(texts)
    if "--sample-file" in command:
        assert found["notes"][1].count("SAMPLE_FILE") == 1
        assert found["notes"][1].endswith(" --sample-file models/m/1/evidence/golden/inputs/0")
    assert "Jane" not in str(portable_spec.portable(model))
