"""`tritonize lint` and `tritonize config` as a user sees them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.support import lint_cases, tiny_onnx
from tests.support.command import CHECKOUT, invoke
from tests.support.lint_cases import BASE, Model
from tests.support.tiny_onnx import FLOAT
from tritonize.lint import catalogue, formats, oracle
from tritonize.lint.oracle import Verdict
from tritonize.lint.repository import Repository

WRONG = BASE.replace("[ 3 ]", "[ 0 ]", 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one healthy model and one with an error and a note."""
    repository = tmp_path / "repository"
    Model().write(repository / "good")
    Model(config=WRONG + "response_cache { enable: true }\n").write(repository / "bad")
    return repository


def test_text_is_one_paragraph_per_finding_within_80_columns(root: Path) -> None:
    done = invoke("lint", "repository")
    assert done.returncode == 1
    assert done.stdout.startswith(
        "bad/config.pbtxt:3:50: error TR205 dim\n"
        "  A dim is neither a positive size nor -1.\n"
        "    found: input 'X', dim 0: 0\n"
        "    expected: 1 or more, or -1\n"
        "    fix: use -1 for an axis of any size\n"
        "\n"
        "bad/config.pbtxt:5:26: info TR309"
    )
    assert done.stdout.endswith("1 error, 1 note in 2 models.\n")
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_only_errors_make_the_exit_code_1(root: Path) -> None:
    assert invoke("lint", "repository", "good").returncode == 0
    assert invoke("lint", "repository", "--ignore", "TR205").returncode == 0
    assert invoke("lint", "repository", "--ignore", "dim,cache-needs-server").stdout == "No problems in 2 models.\n"


def test_json_is_one_document(root: Path) -> None:
    done = invoke("lint", "repository", "--json")
    document = json.loads(done.stdout)
    assert {name: document[name] for name in ("schema", "models", "error", "warning", "info")} == {
        "schema": 1,
        "models": 2,
        "error": 1,
        "warning": 0,
        "info": 1,
    }
    first = document["diagnostics"][0]
    assert (first["rule"], first["path"], first["line"], first["column"], first["triton"]) == (
        "TR205",
        "bad/config.pbtxt",
        3,
        50,
        "refuses",
    )


def test_sarif_names_the_rule_and_the_place(root: Path) -> None:
    log = json.loads(invoke("lint", "repository", "--format", "sarif").stdout)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    first, second = run["results"]
    assert run["tool"]["driver"]["rules"][first["ruleIndex"]]["id"] == first["ruleId"] == "TR205"
    assert (first["level"], second["level"]) == ("error", "note")
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "repository/bad/config.pbtxt"
    assert place["region"] == {"startLine": 3, "startColumn": 50}


def test_annotations_of_github_are_escaped(root: Path) -> None:
    Model(config="x: '%,:\n").write(root / "a,b%")
    lines = invoke("lint", str(root), "--format", "github").stdout.splitlines()
    assert lines[1].startswith("::error file=repository/a%2Cb%25/config.pbtxt,line=1,col=")
    assert next(line for line in lines if "TR205" in line).startswith(
        "::error file=repository/bad/config.pbtxt,line=3,col=50,title=TR205 dim::A dim is neither"
    )


def test_control_characters_of_names_are_not_printed(root: Path) -> None:
    Model(config='name: "\\033[2J"\n' + BASE).write(root / "evil\x1b[31m")
    for form in ("text", "json", "sarif", "github"):
        assert "\x1b" not in invoke("lint", "repository", "--format", form).stdout


def test_names_that_are_not_utf8_are_printed_in_every_form(root: Path) -> None:
    name = os.fsdecode(b"\xff\xfe")
    Model(config="x").write(root / name)
    for form in ("text", "json", "sarif", "github"):
        done = invoke("lint", "repository", "--format", form)
        assert done.returncode == 1
        assert "TR003" in done.stdout


def test_a_rule_is_explained_by_id_and_by_name() -> None:
    by_id, by_name = invoke("lint", "--explain", "tr205"), invoke("lint", "--explain", "dim")
    assert by_id.returncode == 0
    assert by_id.stdout == by_name.stdout
    assert " ".join(by_id.stdout.split()) == " ".join(catalogue.page(catalogue.RULES["TR205"]).split())


@pytest.mark.parametrize("name", catalogue.RULES)
def test_an_explanation_fits_80_columns_and_keeps_its_examples(name: str) -> None:
    rule = catalogue.RULES[name]
    text = catalogue.explanation(rule)
    assert f"```\n{rule.wrong}\n```" in text
    assert f"```\n{rule.right}\n```" in text
    prose = text.replace(rule.wrong, "").replace(rule.right, "")
    assert max(map(len, prose.splitlines())) <= 80


def test_all_rules_are_listed() -> None:
    lines = invoke("lint", "--rules").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(catalogue.RULES)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["lint"], "no such model repository. where: model_repository"),
        (["lint", "nowhere"], "no such model repository"),
        (["lint", "repository", "hart"], "no such model"),
        (["lint", "--explain", "TR999"], "no such lint rule"),
        (["lint", "repository", "--ignore", "TR999"], "no such lint rule"),
        (["lint", "repository", "--oracle", "--ignore", "TR205"], "cannot be combined"),
        (["config", "nowhere.onnx"], "cannot be read"),
        (["config", "repository"], "no version with a model file"),
        (["config", "repository/good/config.pbtxt"], "not an ONNX file"),
        (["config", "repository/good/1/model.onnx", "--name", "сердце"], "name is not valid"),
    ],
)
def test_wrong_usage_exits_with_2(root: Path, arguments: list[str], text: str) -> None:
    done = invoke(*arguments)
    assert done.returncode == 2
    assert text in " ".join(done.stderr.split())


def test_fixes_are_told_and_what_remains_is_reported(root: Path) -> None:
    Model(config='name: "other"\n' + BASE).write(root / "named")
    done = invoke("lint", "repository", "--fix")
    assert done.stderr == "named/config.pbtxt: 1 fixed\n"
    assert "TR104" not in done.stdout
    assert done.returncode == 1


def test_a_model_without_configuration_is_a_note(root: Path) -> None:
    Model(config=None).write(root / "bare")
    done = invoke("lint", "repository", "bare")
    assert done.returncode == 0
    assert "info TR101" in done.stdout


def test_the_comparison_with_the_server_names_what_differs_and_what_was_not_run() -> None:
    verdicts = [
        Verdict(model="a", lint=True, server=True, reason=""),
        Verdict(model="b", lint=True, server=False, reason="no memory"),
        Verdict(model="c", lint=False, server=None, reason="the embedded server has no backend tensorrt"),
        Verdict(model="d", lint=None, server=True, reason=""),
    ]
    assert list(formats.comparison(verdicts)) == [
        "Lint and the server agree on 1 of 2 models.",
        "  b: lint says that Triton loads it, and it refuses it",
        "    no memory",
        "Not run: 2.",
        "  c: the embedded server has no backend tensorrt",
        "  d: the rule depends on the server",
    ]


def test_what_the_embedded_server_would_leave_out_is_not_asked_of_it(root: Path) -> None:
    Model(config=BASE + "instance_group [ { kind: KIND_GPU } ]\n").write(root / "gpu")
    Model(config=BASE.replace("onnxruntime", "dali")).write(root / "dali")
    step = lint_cases.ENSEMBLE.replace('"part"', '"gpu"')
    Model(config=step, files={"1": None}).write(root / "pipeline")
    repository = Repository(root)
    verdicts = oracle.ask(repository, ["gpu", "dali", "pipeline"], found=list(repository.lint()), directory=root.parent)
    reason = "instance_group[0]: the embedded server's ONNX Runtime has no GPU"
    assert {each.model: each.reason for each in verdicts} == {
        "gpu": reason,
        "dali": "the embedded server has no backend dali",
        "pipeline": f"the step gpu: {reason}",
    }
    assert not any(each.compared for each in verdicts)


def test_the_hook_for_pre_commit_runs_this_command() -> None:
    (hook,) = YAML(typ="safe").load((CHECKOUT / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"].split() == ["tritonize", "lint"]
    for name in ("m/config.pbtxt", "m/1/model.onnx", "m/1/model.plan.json", "m/labels.txt", "m/1/model.py"):
        assert re.search(hook["files"], name)
    assert not re.search(hook["files"], "src/network.py")


def test_config_prints_what_triton_completes_without_importing_torch_or_onnx(root: Path) -> None:
    """The unit tests bar these packages, so an import of one would fail."""
    done = invoke("config", "repository/good/1/model.onnx")
    assert done.returncode == 0
    assert done.stderr == ""
    assert 'name: "good"\nplatform: "onnxruntime_onnx"\nbackend: "onnxruntime"\n' in done.stdout
    assert "max_batch_size: 4\n" in done.stdout
    assert "default-max-batch-size" in done.stdout
    assert 'name: "X"\n    data_type: TYPE_FP32\n    dims: [ 3 ]\n' in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_name_is_the_files_unless_every_file_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "segment v2.onnx").write_bytes(lint_cases.IDENTITY)
    text = invoke("config", "segment v2.onnx").stdout
    assert 'name: "segment_v2"' in text
    assert 'default_model_filename: "segment v2.onnx"' in text


def test_config_says_why_a_model_takes_no_batches(tmp_path: Path) -> None:
    values = [("X", FLOAT, [1, 3])], [("Y", FLOAT, ["b", 3])]
    (tmp_path / "fixed.onnx").write_bytes(tiny_onnx.identity(*values))
    text = invoke("config", "fixed.onnx").stdout
    assert "max_batch_size: 0" in text
    assert "the first axis of input 'X' has the fixed size 1" in " ".join(text.replace("#", "").split())
    assert "dims: [ 1, 3 ]" in text
    done = invoke("config", "fixed.onnx", "--max-batch-size", "8")
    assert done.returncode == 2
    assert "The model takes no batches" in done.stderr


def test_names_of_axes_are_comments_on_their_line(tmp_path: Path) -> None:
    values = [("X", FLOAT, ["b", 3, "height\nname: 'x'"])], [("Y", FLOAT, ["b", 3, "h"])]
    (tmp_path / "a.onnx").write_bytes(tiny_onnx.identity(*values))
    text = invoke("config", "a.onnx", "--max-batch-size", "16").stdout
    assert "dims: [ 3, -1 ]  # 3 x height?name: 'x'\n" in text
    assert "max_batch_size: 16\n" in text


def test_config_of_a_plan_needs_its_metadata(tmp_path: Path) -> None:
    Model(config=None, files=lint_cases.described()).write(tmp_path / "heart")
    text = invoke("config", "heart/1/model.plan").stdout
    assert 'name: "heart"\nplatform: "tensorrt_plan"\nbackend: "tensorrt"\n' in text
    assert "max_batch_size: 4\n" in text
    assert invoke("config", "heart/1/model.plan", "--max-batch-size", "9").returncode == 2
    (tmp_path / "heart/1/model.plan.json").unlink()
    done = invoke("config", "heart/1/model.plan")
    assert done.returncode == 5
    assert "cannot be told without its metadata" in done.stderr


def test_config_refuses_what_triton_cannot_serve(tmp_path: Path) -> None:
    values = [("X", 0, None)], [("Y", FLOAT, [3])]
    (tmp_path / "maps.onnx").write_bytes(tiny_onnx.identity(*values))
    done = invoke("config", "maps.onnx")
    assert done.returncode == 2
    assert "'X' is no tensor" in done.stderr


def test_what_config_prints_passes_lint(tmp_path: Path) -> None:
    Model(config=None).write(tmp_path / "repository/heart")
    (tmp_path / "repository/heart/config.pbtxt").write_text(invoke("config", "repository/heart/1/model.onnx").stdout)
    assert invoke("lint", "repository").stdout == "No problems in 1 model.\n"
