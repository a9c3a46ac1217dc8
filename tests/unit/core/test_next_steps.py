"""Every command in a next step of the catalogue is accepted by the command line's own parser."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.support import next_steps
from tests.support.command import CHECKOUT
from tests.support.next_steps import Command
from tests.unit.core.test_messages import messages
from tritonize.cli import usage_hints

OF_OTHER_TOOLS = {
    "--cap-add": "docker run",
    "--shm-size": "docker run",
    "--force-reinstall": "pip install",
    "--no-deps": "pip install",
    "--model-control-mode": "tritonserver",
    "--model-repository": "tritonserver",
    "--saveEngine": "trtexec",
    "--sequence-length": "perf_analyzer",
    "--streaming": "perf_analyzer",
}


def test_the_parser_accepts_every_command():
    refused = [
        f"{message.code}: {' '.join(command.words)}: {problem}"
        for message in messages()
        for command in next_steps.commands(next_steps.filled(message))
        if (problem := next_steps.problem(command))
    ]
    assert refused == []


def test_every_flag_belongs_to_a_command():
    known = {option for _, command in usage_hints.every_command() for option in usage_hints.options(command)}
    known |= {"--isolate", "--log"}  # of the program, not of a command
    unknown = {
        message.code: left
        for message in messages()
        if (left := next_steps.flags(next_steps.filled(message)) - known - set(OF_OTHER_TOOLS))
    }
    assert unknown == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tritonize lst", "no such command or flag: 'lst'"),
        ("see: tritonize list --al", "no such command or flag: --al"),
        ("run: tritonize golden export", "Missing argument"),
        ("run `tritonize golden exprt`", "no such command or flag: 'exprt'"),
        ("publish it: tritonize run", "Missing argument"),
        ("pip instal x", "pip has no command instal"),
        ("pip install a==", "Expected"),
    ],
)
def test_a_wrong_command_is_refused(text, problem):
    (command,) = next_steps.commands(text)
    assert problem in str(next_steps.problem(command))


def test_commands_are_found_at_the_end_and_in_backticks():
    text = "use `tritonize doctor`; or: rm -r x && tritonize config x --write && tritonize adopt y"
    assert list(next_steps.commands(text)) == [
        Command(words=("tritonize", "config", "x", "--write"), whole=True),
        Command(words=("tritonize", "adopt", "y"), whole=True),
        Command(words=("tritonize", "doctor"), whole=False),
    ]


def test_the_extras_that_errors_name_exist():
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    code = "\n".join(path.read_text() for path in (CHECKOUT / "tritonize").rglob("*.py"))
    named = set(re.findall(r'require\([^)]*extra="([a-z-]+)"', code)) | {"tensorrt", "tensorrt-rtx"}
    assert named <= set(extras)
