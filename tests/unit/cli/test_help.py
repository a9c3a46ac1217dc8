"""The help of every command: sections, examples that can be parsed, and the width."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

from tests.support.command import CHECKOUT, invoke
from tritonize.cli import commands, examples, help_command
from tritonize.cli.app import app

if TYPE_CHECKING:
    from typer._click import Command

_MADE = ("examples/heart/heart.pt",)
"""What `make demo` writes."""


def leaves() -> Iterator[tuple[str, Command]]:
    """Every command that runs something, by its words."""
    for entry in commands.ENTRIES:
        command = commands.load(entry)
        for name, sub in getattr(command, "commands", {}).items():
            yield f"{entry.name} {name}", sub
        if not hasattr(command, "commands"):
            yield entry.name, command


LEAVES = dict(leaves())


def test_every_command_has_an_example_and_no_example_is_left_over() -> None:
    assert sorted(examples.EXAMPLES) == sorted(LEAVES), "write an example of a new command into cli/examples.py"


@pytest.mark.parametrize("example", [each for several in examples.EXAMPLES.values() for each in several] + [*commands.FIRST])
def test_an_example_is_parsed_and_its_files_exist(example: str) -> None:
    program, *words = shlex.split(example)
    root = typer.main.get_command(app)
    context = root.make_context(program, words[:1], resilient_parsing=True)
    command, rest = root, words
    while hasattr(command, "commands"):
        command, rest = command.commands[rest[0]], rest[1:]
    if rest != ["-h"]:
        command.make_context(" ".join(words), list(rest), parent=context)  # raises for an option that does not exist
    assert len(example) <= 78
    for word in words:
        if word.startswith(("examples/", "model_repository")) and word not in _MADE:
            assert Path(CHECKOUT, word).exists(), word


def test_each_option_in_a_section_exists() -> None:
    known = {flag for command in LEAVES.values() for parameter in command.params for flag in parameter.opts}
    listed = [flag for flags in help_command.SECTIONS.values() for flag in flags]
    assert set(listed) - known == set()
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize(("words", "columns"), [*((words, 80) for words in ["", *LEAVES, "golden", "plan"]), ("verify", 120)])
def test_a_help_fits_the_terminal(words: str, columns: int) -> None:
    done = invoke(*words.split(), "-h", env={"COLUMNS": str(columns)})
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line for line in lines if len(line) > columns] == []
    assert any(line in ("Example:", "Examples:") for line in lines)
    assert "<str>" not in done.stdout
    assert "to..." not in done.stdout


def test_a_long_help_has_sections() -> None:
    text = invoke("verify", "--help").stdout
    places = [text.index(f"\n{title}:\n") for title in ("Arguments", "What is read", "Server", "Output", "Options", "Examples")]
    assert places == sorted(places)
    assert "--url" in text[places[2] : places[3]]
