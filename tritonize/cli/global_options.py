"""The options that every command accepts, before or after its name."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

ISOLATE = "--isolate"
LOG = "--log"
QUIET = ("-q", "--quiet")
VERBOSE = ("-v", "--verbose")


class CommandLine(NamedTuple):
    """The words of a command line after the program's name."""

    isolation: list[str]
    """`--isolate`, if it is given."""
    logging: list[str]
    """`--log` with its value, if it is given."""
    verbosity: list[str]
    """`--quiet` or `--verbose` with their short forms, if they are given."""
    command: list[str]
    """The command's name, its arguments and its own options."""

    def words(self) -> list[str]:
        """Return all words, with the global options in front, where Typer reads them."""
        return [*self.isolation, *self.logging, *self.verbosity, *self.command]


def split(words: Sequence[str]) -> CommandLine:
    """Separate the global options from the command; words after `--` are the command's own."""
    end = list(words).index("--") if "--" in words else len(words)
    isolation, logging, verbosity, command, rest = [], [], [], [], iter(words[:end])
    for word in rest:
        if word == ISOLATE:
            isolation.append(word)
        elif word.startswith(f"{LOG}="):
            logging.append(word)
        elif word == LOG:
            logging += [word, *itertools.islice(rest, 1)]
        elif word in (*QUIET, *VERBOSE):
            verbosity.append(word)
        else:
            command.append(word)
    return CommandLine(isolation, logging, verbosity, [*command, *words[end:]])
