"""Add to an error about the command line what was meant: an option of this or of another command, a subcommand, a file."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritonize.core import suggestions

if TYPE_CHECKING:
    from typer._click import Command

_MODELS = (".pt", ".pth", ".pt2", ".onnx", ".ts", ".yaml", ".yml")
_NO_COMMAND = "No such command "
_MOST = 3


def improve(error: Any) -> None:
    """Complete the text of Typer's error, which its own name and its parser's class do not make public."""
    if getattr(error, "option_name", None) and getattr(error, "ctx", None) and hasattr(error, "possibilities"):
        error.possibilities = None
        error.message = f"{error.message}.{_about_option(error.option_name, error.ctx.command)}"
    elif "Input should be" in str(getattr(error, "message", "")):  # pydantic's words for a value
        error.message = error.message.replace("Input should be", "it must be").partition(", unable to parse")[0]
    elif str(getattr(error, "message", "")).startswith(_NO_COMMAND):
        sentence = error.message.partition(" Did you mean")[0]  # Typer suggests `list` for `inspct`, too
        name = sentence[len(_NO_COMMAND) :].rstrip(".").strip("'")
        error.message = f"{sentence}{_about_command(name, error.ctx.command)}"


def _about_option(option: str, command: Command) -> str:
    if near := suggestions.near(option, options(command)):
        return f" Did you mean {' or '.join(near)}?"
    others = [path for path, other in every_command() if option in options(other)]
    if not others:
        return ""
    more = f" and {len(others) - _MOST} more" if len(others) > _MOST else ""
    return f" It is an option of {', '.join(f'`tritonize {path}`' for path in others[:_MOST])}{more}."


def _about_command(name: str, group: Command) -> str:
    if Path(name).suffix.lower() in _MODELS:
        return f" To export and prove a model: tritonize run {shlex.quote(name)}"
    if near := suggestions.near(name, getattr(group, "commands", ())):
        return f" Did you mean {' or '.join(map(repr, near))}?"
    inside = [path for path, _ in every_command() if path.split()[-1] == name]
    return f" Did you mean `tritonize {inside[0]}`?" if inside else ""


def every_command() -> Iterator[tuple[str, Command]]:
    """Yield every command with its words, such as `golden export`; this imports all of them."""
    from tritonize.cli import commands

    for entry in commands.ENTRIES:
        command = commands.load(entry)
        inner = getattr(command, "commands", None)
        yield from ((f"{entry.name} {name}", each) for name, each in inner.items()) if inner else ((entry.name, command),)


def options(command: Command) -> list[str]:
    """Return the options of a command, such as `--model` and `-m`."""
    return [name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts) if name.startswith("-")]
