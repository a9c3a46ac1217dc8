"""The help of a command: its options in sections, and examples that work as typed in a checkout."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from typer.core import TyperCommand, TyperGroup

from tritonize.cli.examples import EXAMPLES
from tritonize.cli.terminal import heading

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

FEW: Final = 9
"""Up to so many options are one list."""
SECTIONS: Final = {
    "Model and samples": (
        *("--input", "--sample-function", "--sample-file", "--samples", "--seed", "--text", "--output", "--name"),
        *("--max-batch-size", "--no-batch", "--opset", "--operators", "--no-simplify", "--rtol", "--atol", "--spec"),
    ),
    "What is read": ("--model", "--version", "--all-versions", "--golden", "--plans", "--follow-links", "--hash"),
    "Server": (
        *("--server", "--server-repository", "--url", "--protocol", "--http-port", "--grpc-port", "--metrics", "--bind"),
        *("--model-control", "--no-restart"),
    ),
    "Requests": (
        *("--profile", "--rate", "--concurrency", "--arrivals", "--batch", "--warm-up", "--window", "--most-windows"),
        *("--requests", "--perf-analyzer"),
    ),
    "Repeat, and compare with a baseline": (
        *("--watch", "--metrics-port", "--on-change", "--on-change-command"),
        *("--baseline", "--baseline-version", "--max-slowdown"),
    ),
    "What is published": ("--repository", "--replace-config", "--drop-config-fields", "--allow-unproven", "--quick", "--force"),
    "What passes": ("--serve-anyway", "--only-proven", "--require-signature", "--ignore", "--oracle"),
    "Output": (
        *("--out", "--json", "--junit", "--html", "--format", "--export-perf-analyzer", "--write", "--fix", "--rules"),
        *("--explain",),
    ),
    "Connection to a running server": (
        *("--ca", "--cert", "--key", "--insecure", "--header", "--timeout", "--wait", "--compression", "--keep-alive"),
        *("--max-message-size",),
    ),
}
"""Section to its options, in the order of the help. What is in none of them is under `Options`, at the end."""
EVERYWHERE: Final = ("-q, -v, --isolate, --log", "Options of every command: see tritonize -h.")
_COLUMN = 26
"""Columns of the longest option that shares its line with its description."""
_TYPE = re.compile(r" <(?:str|Path|int|float|list\[\w+\])>$")
"""The Python type that Typer adds to an argument, which says nothing to a user."""


class HelpCommand(TyperCommand):
    """A command whose help has sections and examples."""

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write arguments, options and examples."""
        records = [(param, param.get_help_record(ctx)) for param in self.get_params(ctx)]
        arguments = [
            (_TYPE.sub("", record[0]), record[1]) for param, record in records if record and param.param_type_name == "argument"
        ]
        options = [(set(param.opts), record) for param, record in records if record and param.param_type_name != "argument"]
        _write(formatter, "Arguments", arguments)
        if len(options) > FEW:
            for title, flags in SECTIONS.items():
                _write(formatter, title, [record for names, record in options if names & set(flags)])
            known = {flag for flags in SECTIONS.values() for flag in flags}
            options = [(names, record) for names, record in options if not names & known]
        _write(formatter, "Options", [*(record for _, record in options), EVERYWHERE])
        _write_examples(formatter, EXAMPLES.get(ctx.command_path.partition(" ")[2], ()))


class HelpGroup(TyperGroup):
    """A group of commands whose help has an example of each."""

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write each command with the first paragraph of its help, and examples."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        records = [(name, _first_paragraph(command.help or "")) for name, command in commands.items() if command]
        _write(formatter, "Commands", records)
        path = ctx.command_path.partition(" ")[2]
        _write_examples(formatter, tuple(EXAMPLES[f"{path} {name}"][0] for name in commands if f"{path} {name}" in EXAMPLES))


def _first_paragraph(text: str) -> str:
    return " ".join(text.strip().partition("\n\n")[0].split())


def _write(formatter: HelpFormatter, title: str, records: list[tuple[str, str]]) -> None:
    if records:
        with formatter.section(heading(title)):
            formatter.write_dl(records, col_max=_COLUMN)


def _write_examples(formatter: HelpFormatter, examples: tuple[str, ...]) -> None:
    """Write each example on one line, so that it can be copied."""
    if examples:
        with formatter.section(heading("Examples" if len(examples) > 1 else "Example")):
            for each in examples:
                formatter.write(f"{' ' * formatter.current_indent}{each}\n")
