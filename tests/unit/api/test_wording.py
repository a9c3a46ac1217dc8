"""Errors that a public function raises name keyword arguments, not flags."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

import tritonize
from tritonize import api
from tritonize.api.model_description import ModelDescription
from tritonize.api.wording import FLAGS, in_python, python_words
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import UsageError
from tritonize.core.messages import Message


def test_every_keyword_argument_exists() -> None:
    functions = [getattr(api, name) for name in api.__all__]
    named = {name for function in functions for name in inspect.signature(function).parameters} | set(
        ModelDescription.__annotations__
    )
    named |= {field.name for field in fields(ConnectionOptions)}
    for keyword in FLAGS.values():
        for name in re.findall(r"(\w+)=", keyword):
            assert name in named, keyword


@pytest.mark.parametrize(
    ("flags", "python"),
    [
        ("add --allow-unproven to serve it", "add allow_unproven=True to serve it"),
        ("add --url http://host:8000 or --url grpc://host:8001", 'add urls=["http://host:8000"] or urls=["grpc://host:8001"]'),
        ("use another disk with TMPDIR or --repository", "use another disk with TMPDIR or repository"),
        ("wait for it with --wait SECONDS", "wait for it with connection=ConnectionOptions(wait_s=...)"),
        ("set it to 0 (--no-batch on the command line), or change the model", "set it to 0, or change the model"),
        ("set simplify: false in the spec (--no-simplify on the command line)", "set simplify: false in the spec"),
        ("or share a folder: --server-repository FOLDER", 'or share a folder: server_repository="FOLDER"'),
        ("for `tritonize run`: --server https://HOST", 'for `tritonize run`: server="https://HOST"'),
        ("such as --input x:fp32:1x3", 'such as inputs={"x": {"dtype": "fp32", "shape": ["batch", 3]}}'),
        ("such as --input x:fp32:1x…; or", 'such as inputs={"x": {"dtype": "fp32", "shape": ["batch", ...]}}; or'),
        ("run: tritonize doctor --install-server", None),
        ("run `tritonize verify -m heart --version 3`, which lists all", None),
        ("start it with --model-control-mode=explicit", None),
        ("in a container: docker run --shm-size=4g", None),
    ],
)  # fmt: skip
def test_flags_become_keyword_arguments_outside_of_commands(flags: str, python: str | None) -> None:
    assert python_words(flags) == (flags if python is None else python)


def test_an_error_of_a_public_function_keeps_its_code_and_its_cause() -> None:
    message = Message(code="a-code", what="Failed with --quick.", cause="of --no-batch", next_step="remove --replace-config")

    @in_python
    def fail() -> None:
        raise UsageError.of(message, found="--url of the user") from ValueError("cause")

    with pytest.raises(UsageError, match="Failed with quick=True") as caught:
        fail()
    error = caught.value
    assert (error.code, error.found) == ("a-code", "--url of the user")
    assert (error.cause, error.next_step) == ("of max_batch_size=0", "remove replace_config=True")
    assert "--" not in str(error).replace("--url of the user", "")
    assert isinstance(error.__cause__, ValueError)


@pytest.mark.parametrize("name", api.__all__)
def test_every_public_function_speaks_python(name: str) -> None:
    function = getattr(api, name)
    assert hasattr(function, "__wrapped__")
    assert getattr(tritonize, name) is function


def test_a_real_error_has_no_flag(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        tritonize.verify(golden=tmp_path / "heart.golden")
    assert caught.value.next_step == 'add urls=["http://host:8000"] or urls=["grpc://host:8001"]'
