"""The command line as a user meets it, as far as no model is read: help, bad input, exit codes."""

from __future__ import annotations

import json
import os
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from typer.models import ParameterInfo

from tests.support.command import CHECKOUT, invoke
from tests.support.leaks import INPUT, refused
from tritonize.cli import commands
from tritonize.cli.commands import ENTRIES


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run"], 2, ["Missing argument"]),
        (["run", "nowhere.pt", *INPUT], 2, ["The model file does not exist.", "nowhere.pt"]),
        (["run", "nowhere.yaml"], 2, ["The specification file does not exist."]),
        (["run", "classifier.pt", "--input", "INPUT__0:fp33:1x4"], 2, ["fp33", "did you mean 'fp32'"]),
        (["run", "classifier.pt", "--input", "INPUT__0:fp32:1x4.5"], 2, ["Invalid --input flag."]),
        (["run", "classifier.pt", "--input", "INPUT__0:fp32:1x0"], 2, ["a whole number from 1"]),
        (["run", "classifier.pt", "--input", "a\tb:fp32:1x4"], 2, ["is not a valid tensor name"]),
        (["run", "classifier.pt", *INPUT, *INPUT], 2, ["Two --input flags have the same name."]),
        (["run", "classifier.pt", *INPUT, "--name", "a/b"], 2, ["is not a valid model name", "a_b"]),
        (["run", "classifier.pt", *INPUT, "--name", ".."], 2, ["is not a valid model name"]),
        (["run", "classifier.pt", *INPUT, "--name", ""], 2, ["is not a valid model name"]),
        (["verify", "nowhere"], 2, ["no such model repository"]),
        (["serve", "nowhere"], 2, ["no such model repository"]),
        (["verify", "--url", "http://127.0.0.1:1"], 2, ["no such model repository"]),
    ],
)  # fmt: skip
def test_bad_input_gets_one_error_and_leaves_no_files(arguments, code, words):
    Path("classifier.pt").touch()
    before = set(os.listdir())
    refused(invoke(*arguments), code, words)
    assert set(os.listdir()) == before


def test_the_public_names_are_listed_and_documented():
    import tritonize as package

    assert package.__all__ == [
        "build", "build_plans", "check_plan", "collect_plans", "compare_models", "diff", "isolate", "measure_tolerance", "operator",
        "prove_plans", "read_golden", "request_plans", "run", "verify", "write_golden",
        "ConnectionOptions", "ModelDescription", "Progress", "Report", "Stage", "ToleranceAdvice",
        "Axis", "Input", "Model", "Output", "Quality", "Samples", "Spec", "Tolerance",
        "ExportError", "InferenceError", "MissingError", "PlanError",
        "RepositoryError", "ServerError", "TritonizeError", "UnprovenError", "UsageError",
    ]  # fmt: skip
    for name in package.__all__:
        assert getattr(package, name).__doc__
    with pytest.raises(AttributeError):
        package.nothing  # noqa: B018


def test_every_help_text_fits_80_columns():
    for command in ([], ["run"], ["build"], ["serve"], ["verify"], ["check"], ["locate"], ["inspect"], ["doctor"]):
        done = invoke(*command, "--help", env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
        assert done.returncode == 0
        assert max(map(len, done.stdout.splitlines())) <= 80


def test_errors_are_json_with_the_json_flag():
    done = invoke("run", "nowhere.pt", *INPUT, "--json")
    error = json.loads(done.stdout)["error"]
    assert (error["error"], error["exit_code"], error["where"]) == ("UsageError", 2, "nowhere.pt")
    assert done.returncode == 2


def test_every_exit_code_is_documented():
    from tritonize.core import errors

    design = (CHECKOUT / "docs" / "design.md").read_text()
    kinds = (
        errors.UsageError,
        errors.MissingError,
        errors.ExportError,
        errors.RepositoryError,
        errors.ServerError,
        errors.InferenceError,
    )
    for code in {kind.exit_code for kind in kinds} | {0, errors.EXIT_DIFFERS, errors.EXIT_BUG, errors.EXIT_INTERRUPTED}:
        assert f"| {code} |" in design


@pytest.mark.parametrize("arguments", [("run",), ("verify", "--bogus"), ("plan", "build"), ("check", "a.onnx"), ("nosuch",)])
def test_an_invalid_command_line_is_a_json_document_with_the_json_flag(arguments):
    plain = invoke(*arguments)
    assert (plain.returncode, plain.stdout) == (2, "")
    done = invoke(*arguments, "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["exit_code"] == 2
    assert error["what"].rstrip(".") in " ".join(done.stderr.split())


def _of_type_path(function: Callable[..., object]) -> Iterator[ParameterInfo]:
    """The declarations of all parameters of a command that are paths."""
    for declared in typing.get_type_hints(function, include_extras=True).values():
        if typing.get_origin(declared) is typing.Annotated:
            kind, info = typing.get_args(declared)
            if "Path" in str(kind):
                yield info


def test_every_path_of_every_command_refuses_addresses():
    from tritonize.core.local_paths import local

    found = [commands.imported(entry) for entry in ENTRIES]
    groups = [each.registered_commands for each in found if isinstance(each, typer.Typer)]
    functions = [each for each in found if not isinstance(each, typer.Typer)] + [
        each.callback for group in groups for each in group
    ]
    infos = [(function.__name__, info) for function in functions for info in _of_type_path(function)]
    assert len(infos) > 25
    assert [name for name, info in infos if info.parser is not local] == []


def test_the_help_lists_every_command_in_80_columns_and_cuts_no_summary():
    done = invoke("--help")
    for entry in ENTRIES:
        assert f"  {entry.name:<10}  {entry.summary}\n" in done.stdout
        assert "..." not in entry.summary
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert invoke("-h").stdout == done.stdout


@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.name) for entry in ENTRIES])
def test_every_command_has_its_help_by_both_options(entry):
    long, short = invoke(entry.name, "--help"), invoke(entry.name, "-h")
    assert f"Usage: tritonize {entry.name} " in long.stdout
    assert long.stdout == short.stdout


def test_a_misspelt_command_is_corrected():
    done = invoke("verfy")
    assert done.returncode == 2
    assert "Did you mean 'verify'?" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["build", "classifier.pt", *INPUT, "--repository", "s3://key:hunter2@bucket/models"],
        ["run", "s3://key:hunter2@bucket/model.onnx"],
        ["build", "classifier.pt", *INPUT, "--repository", "gs://bucket/models"],
        ["inspect", "az://container/model.onnx"],
        ["show", "s3://bucket/models", "heart"],
        ["rollback", "s3://bucket/models", "heart"],
        ["golden", "export", "heart", "--out", "s3://bucket/heart.golden"],
        ["plan", "request", "spec.yaml", "--out", "s3://bucket/request"],
    ],
)  # fmt: skip
def test_an_address_is_refused_and_makes_no_local_folder(arguments):
    Path("classifier.pt").touch()
    before = set(os.listdir())
    done = invoke(*arguments)
    assert done.returncode == 2
    assert "only a local path is supported" in " ".join(done.stderr.split())
    assert "hunter2" not in done.stdout + done.stderr
    assert set(os.listdir()) == before


def test_an_address_with_credentials_is_refused(monkeypatch):
    for command in (["run", "classifier.pt", *INPUT, "--repository"], ["list"], ["lint"], ["verify"], ["push", "."]):
        done = invoke(*command, "s3://key:hunter2@bucket/models")
        assert done.returncode == 2
        assert "contains a user, a password or a query" in " ".join(done.stderr.split())
        assert "hunter2" not in done.stdout + done.stderr
