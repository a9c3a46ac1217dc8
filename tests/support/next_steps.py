"""The commands in the next steps of the catalogue, and a parse of each with the command line's own parser."""

from __future__ import annotations

import itertools
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer
from packaging.requirements import Requirement

from tritonize.cli import usage_hints
from tritonize.cli.app import app
from tritonize.core.messages import Message

_TOOLS = r"(?:tritonize|pip)"
_WHOLE = re.compile(rf"(?:^|: |&& ){_TOOLS} .+$")
_QUOTED = re.compile(rf"`({_TOOLS} [^`]+)`")
_FLAG = re.compile(r"(?<![\w-])--[a-z][A-Za-z-]+")
_VALUES = {"flags": "--input x:fp32:1x4"}
"""Values of placeholders that are more than one word."""
_NUMBERS = {"VERSION": "1", "N": "1"}
"""Words in capitals that stand for a number."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command in a next step."""

    words: tuple[str, ...]
    whole: bool
    """Whether it stands at the end, to be pasted; else it is named in a sentence, perhaps without its arguments."""


def filled(message: Message) -> str:
    """The next step with a value for every placeholder."""
    return (message.next_step or "").format_map(defaultdict(lambda: "1", _VALUES))


def commands(text: str) -> Iterator[Command]:
    """Yield the commands of a text."""
    plain = _QUOTED.sub("", text)
    if found := _WHOLE.search(plain):
        start = re.sub(r"^(: |&& )", "", found[0])
        for part in start.split(" && "):
            yield Command(words=tuple(shlex.split(part)), whole=True)
    for quoted in _QUOTED.findall(text):
        yield Command(words=tuple(shlex.split(quoted)), whole=False)


def flags(text: str) -> set[str]:
    """The flags in a text outside of commands of other tools."""
    return set(_FLAG.findall(text))


def problem(command: Command) -> str | None:
    """Why the parser refuses a command; `None` if it accepts it."""
    if command.words[0] == "pip":
        return _pip_problem(command.words[1:])
    if command.words[0] != "tritonize":
        return None
    try:
        _parse(command)
    except (KeyError, ValueError) as error:
        return f"no such command or flag: {error}"
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return str(error.format_message())
    return None


def _parse(command: Command) -> None:
    words = [_NUMBERS.get(word, word) for word in command.words[1:]]
    found: Any = typer.main.get_command(app)
    while hasattr(found, "commands") and words and not words[0].startswith("-"):
        found = found.commands[words.pop(0)]
    if unknown := {word.partition("=")[0] for word in words if word.startswith("-")} - set(usage_hints.options(found)):
        raise ValueError(", ".join(sorted(unknown)))
    if command.whole:
        found.make_context("tritonize", list(words))


def _pip_problem(words: tuple[str, ...]) -> str | None:
    if words[0] not in ("install", "uninstall"):
        return f"pip has no command {words[0]}"
    try:
        for word in words[1:]:
            if not word.startswith("-") and word != ".":
                Requirement(word)
    except ValueError as error:
        return str(error)
    return None


def printed(stderr: str) -> str:
    """The next step in an error as it is printed, its lines joined."""
    lines = iter(stderr.splitlines())
    first = next((line for line in lines if line.startswith("  next:")), "")
    rest = itertools.takewhile(lambda line: line.startswith("    "), lines)
    return " ".join([first.removeprefix("  next:"), *(line.strip() for line in rest)]).strip()
