"""All commands by name, each imported when it is used: `--help` of the program needs none of them."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer
from typer.core import TyperGroup

from tritonize.cli import terminal

if TYPE_CHECKING:
    from typer._click import Command, Context, HelpFormatter


class Entry(NamedTuple):
    """A command in the program's help."""

    section: str
    name: str
    function: str
    """Module below `tritonize.cli`, and function or Typer app in it."""
    summary: str
    """At most 64 characters: a terminal of 80 columns shows them whole."""


_BUILD = "Build and publish"
_VERIFY = "Serve and verify"
_EXPLAIN = "Find the cause of an error"
_REPOSITORY = "Model repositories"
_DEPLOY = "Deploy and sign"
_MACHINE = "TensorRT and this machine"
ENTRIES: Final = tuple(
    Entry(*row)
    for row in (
        (_BUILD, "init", "init:init", "Write a spec with comments, from what a model says."),
        (_BUILD, "run", "run:run", "Export, serve, verify and publish models."),
        (_BUILD, "build", "run:build", "Export and stage a version; start no server, publish nothing."),
        (_BUILD, "adopt", "adopt:adopt", "Prove the ONNX models of a hand-made repository as they are."),
        (_BUILD, "config", "config:config", "Print the config.pbtxt that Triton would complete for a file."),
        (_VERIFY, "serve", "serve:serve", "Serve a model repository with the embedded Triton."),
        (_VERIFY, "verify", "verify:verify", "Verify published versions and the responses of a server."),
        (_VERIFY, "bench", "bench:bench", "Measure latency and throughput; compare every response."),
        (_VERIFY, "golden", "golden:app", "Write, read and check golden files."),
        (_EXPLAIN, "check", "check:check", "Compare the outputs of two model files."),
        (_EXPLAIN, "tolerance", "tolerance:tolerance", "Compute the smallest tolerance with which each output passes."),
        (_EXPLAIN, "locate", "locate:locate", "Find the node of the ONNX file that an error comes from."),
        (_EXPLAIN, "diff", "diff:diff", "Compare two versions: outputs, configuration, graph, latency."),
        (_EXPLAIN, "inspect", "inspect:inspect", "Print a model's inputs, outputs, operators and parameters."),
        (_EXPLAIN, "view", "view:view", "Open a model's graph in Netron."),
        (_REPOSITORY, "list", "list_versions:list_versions", "List models and versions, with their verdicts."),
        (_REPOSITORY, "show", "show:show", "Print what the manifest of a version says."),
        (_REPOSITORY, "report", "report:report", "Open the reports of a repository, or of one version."),
        (_REPOSITORY, "lint", "lint:lint", "Check a repository by Triton's rules, without a server."),
        (_REPOSITORY, "promote", "promote:promote", "Serve one version, with its configuration."),
        (_REPOSITORY, "rollback", "promote:rollback", "Serve an earlier version again, with its configuration."),
        (_REPOSITORY, "prune", "prune:prune", "Remove old versions that are not served."),
        (_REPOSITORY, "clean", "clean:clean", "Remove leftovers of killed runs, and old caches."),
        (_REPOSITORY, "push", "push:push", "Publish to a repository in an object store."),
        (_DEPLOY, "deploy", "deploy:app", "Write files for compose, Kubernetes, KServe, Helm or an image."),
        (_DEPLOY, "pack", "pack:pack", "Write a folder with only the files that a server loads."),
        (_DEPLOY, "sign", "sign:sign", "Sign a published version with a key."),
        (_DEPLOY, "provenance", "sign:provenance", "Print where a version comes from, as JSON."),
        (_MACHINE, "plan", "plan:app", "Build TensorRT plans here or on other machines."),
        (_MACHINE, "doctor", "doctor:doctor", "Check what this machine can do."),
    )
)


class _Loaded(MutableMapping[str, "Command"]):
    """The commands by name; a command is imported when it is looked up."""

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self._entries = {entry.name: entry for entry in ENTRIES}
        self._loaded = dict(commands)

    def __getitem__(self, name: str) -> Command:
        if name not in self._loaded:
            self._loaded[name] = load(self._entries[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries | self._loaded)

    def __len__(self) -> int:
        return len(self._entries | self._loaded)


FIRST: Final = ("tritonize run examples/first/first.yaml", "tritonize verify model_repository", "tritonize run -h")
"""The examples of the program's help."""


class Commands(TyperGroup):
    """The group of all commands; lists them in sections without importing them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Loaded(self.commands)

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002 - Typer's method
        """The names, in the order of the help."""
        return list(self.commands)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002 - Typer's method
        """Write one list per section."""
        width = max(len(entry.name) for entry in ENTRIES)
        for section, entries in itertools.groupby(ENTRIES, lambda entry: entry.section):
            with formatter.section(terminal.heading(section)):
                formatter.write_dl([(entry.name.ljust(width), entry.summary) for entry in entries])
        with formatter.section(terminal.heading("Examples")):
            for example in FIRST:
                formatter.write(f"  {example}\n")


def imported(entry: Entry) -> typer.Typer | Callable[..., object]:
    """The app of a group of commands, or the function of a command."""
    module, _, name = entry.function.partition(":")
    found: typer.Typer | Callable[..., object] = getattr(importlib.import_module(f"tritonize.cli.{module}"), name)
    return found


def load(entry: Entry) -> Command:
    """Import a command, as Typer runs it."""
    from tritonize.cli.help_command import HelpCommand, HelpGroup

    found, parent = imported(entry), typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    if isinstance(found, typer.Typer):
        for command in found.registered_commands:
            command.cls = HelpCommand
        parent.add_typer(found, name=entry.name, cls=HelpGroup, short_help=entry.summary)
    else:
        parent.command(entry.name, cls=HelpCommand, short_help=entry.summary)(found)
    return typer.main.get_group(parent).commands[entry.name]
