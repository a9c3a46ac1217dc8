"""Write docs/reference from the code: commands, spec, exit codes, environment variables, Python API and the report's JSON.

`make reference` runs it, and a test holds the pages to the code. `--check` prints the pages that differ and writes none.
Nothing here depends on a terminal: the text of an option is what the code says, not what Typer prints.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import re
import string
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
FOLDER = ROOT / "docs" / "reference"
WRITTEN = "Written by `make reference` from the code."

Lines = Iterator[str]


def flat(text: str) -> str:
    """A text in one line, as a cell of a table; what would be HTML or an emphasis stays text."""
    parts = re.split(r"(`[^`]*`)", re.sub(r"\s+", " ", text).strip())
    parts = [each if each.startswith("`") else each.replace("<", "&lt;").replace(" * ", " \\* ") for each in parts]
    return "".join(parts).replace("|", "\\|")


def prose(*sentences: str) -> Lines:
    """A paragraph in lines that can be read in a diff."""
    yield from textwrap.wrap(" ".join(sentences), 120, break_long_words=False, break_on_hyphens=False)


def paragraphs(docstring: str | None) -> list[str]:
    """The paragraphs of a docstring before its sections (`Args:` and the others), each in one line."""
    text = inspect.cleandoc(docstring or "").partition("\f")[0]
    text = re.split(r"^(?:Args|Returns|Raises|Source):", text, maxsplit=1, flags=re.MULTILINE)[0]
    return [_paragraph(each) for each in text.split("\n\n") if each.strip()]


def _paragraph(text: str) -> str:
    """A paragraph in one line; an example as a block of code."""
    return f"```text\n{text.strip()}\n```" if text.startswith(">>> ") else flat(text).replace("\\|", "|")


# Commands


def cli() -> Lines:
    """docs/reference/cli.md."""
    from tritonize.cli.commands import ENTRIES

    yield from ("# Command line", "", WRITTEN, "")
    yield from prose(
        "Each command prints a report for a person, or one JSON document with `--json`; progress goes to standard error.",
        "Every command accepts `--isolate`, `--log`, `--quiet` and `--verbose`, before or after its name.",
        "`tritonize --install-completion` sets up your shell. [Exit codes](exit-codes.md) are the same for all commands.",
    )
    for section in dict.fromkeys(entry.section for entry in ENTRIES):
        yield from ("", f"**{section}**", "", "| command | what it does |", "|---|---|")
        for entry in ENTRIES:
            if entry.section == section:
                yield f"| [`tritonize {entry.name}`](#tritonize-{entry.name}) | {flat(entry.summary)} |"
    yield from ("", "## Options of every command", "")
    yield from _options(_root().params)
    for entry in ENTRIES:
        yield from _command(f"tritonize {entry.name}", _loaded(entry), 2)


def _root() -> Any:
    import typer

    from tritonize.cli.app import app

    return typer.main.get_command(app)


def _loaded(entry: Any) -> Any:
    from tritonize.cli.commands import load

    return load(entry)


def _command(name: str, command: Any, level: int) -> Lines:
    inner = getattr(command, "commands", None)
    yield from ("", f"{'#' * level} {name}", "")
    for paragraph in paragraphs(command.help):
        yield from (paragraph, "")
    if inner:
        for word, each in inner.items():
            yield from _command(f"{name} {word}", each, level + 1)
        return
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    words = " ".join(_argument(each) for each in arguments)
    yield from ("```text", f"{name} [OPTIONS] {words}".rstrip(), "```", "")
    if arguments:
        yield from ("| argument | what it is |", "|---|---|")
        for each in arguments:
            yield f"| `{_metavar(each)}` | {_help(each)} |"
        yield ""
    yield from _options(command.params)


def _argument(argument: Any) -> str:
    name = _metavar(argument) + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper()).strip("{}[]").removesuffix("...")


def _options(parameters: list[Any]) -> Lines:
    options = [each for each in parameters if each.param_type_name == "option" and not each.hidden and "--help" not in each.opts]
    if not options:
        return
    yield from ("| option | what it does | default |", "|---|---|---|")
    for each in options:
        names = ", ".join(
            f"`{name}`" for name in sorted((*each.opts, *each.secondary_opts), key=lambda name: name.startswith("--"))
        )
        value = "" if each.is_flag or each.count else f" `{_value(each)}`"
        yield f"| {names}{value} | {_help(each)} | {_default(each)} |"


def _value(option: Any) -> str:
    annotation = option.type_descriptor.annotation
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return "\\|".join(str(each.value) for each in annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return "\\|".join(typing.get_args(annotation))
    return str(option.metavar or annotation.__name__.upper()).replace("|", "\\|")


def _help(parameter: Any) -> str:
    repeated = " May be repeated." if getattr(parameter, "multiple", False) else ""
    bounds = [f"at least {parameter.min:g}"] if parameter.min is not None else []
    bounds += [f"at most {parameter.max:g}"] if parameter.max is not None else []
    return flat((parameter.help or "") + repeated + (f" ({' and '.join(bounds)})" if bounds else ""))


def _default(option: Any) -> str:
    default = option.default
    default = None if callable(default) or "Sentinel" in type(default).__name__ else default
    if (default in (None, (), [], "", False) and not isinstance(default, int | float)) or default is False:
        return ""
    shown = getattr(default, "value", default)
    return f"`{shown:g}`" if isinstance(shown, float) and shown < 1e6 else f"`{shown}`"


# Spec


def spec() -> Lines:
    """docs/reference/spec.md."""
    from tritonize.spec.schema import Spec

    schema = Spec.model_json_schema(by_alias=True)
    yield from ("# Spec", "", WRITTEN, "")
    yield from prose(
        "A spec is a YAML file that describes one model repository. [Write a spec](../how-to/write-a-spec.md) has examples.",
        "[`spec.schema.json`](../spec.schema.json) is the JSON Schema for your editor.",
        "Relative paths in a spec start at its folder. Unknown keys are errors.",
    )
    done: list[str] = []
    yield from _section(schema, "The file", done)
    for name in done:
        yield from _section(schema["$defs"][name], name, done)


def _section(section: Mapping[str, Any], title: str, done: list[str]) -> Lines:
    yield from ("", f"## {title}", "", flat(section.get("description", "")), "")
    yield from ("| key | type | default | meaning |", "|---|---|---|---|")
    for key, field in section["properties"].items():
        default = "required" if key in section.get("required", ()) else _spec_default(field.get("default"))
        yield f"| `{key}` | {_type(field, done)} | {default} | {flat(field.get('description', ''))} |"


def _spec_default(value: Any) -> str:
    if value is None or isinstance(value, dict):  # a section: the defaults are in its own table
        return ""
    import json

    return f"`{json.dumps(value)}`"


def _type(field: Mapping[str, Any], done: list[str]) -> str:
    """The type of a field in words; sections that it names are added to `done`."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        if name not in done:
            done.append(name)
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(_type(each, done) for each in field["anyOf"] if each.get("type") != "null")
    if "enum" in field or "const" in field:
        return ", ".join(f"`{each}`" for each in field.get("enum", [field.get("const")]))
    bounds = [
        f"{words} {field[key]:.10g}"
        for key, words in (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"))
        if key in field
    ]
    match field.get("type"):
        case "array" if "prefixItems" in field:
            return f"list of {len(field['prefixItems'])} numbers"
        case "array":
            return f"list of {_type(field['items'], done)}"
        case "object":
            inner = field.get("additionalProperties") or next(iter(field.get("patternProperties", {}).values()), None)
            return f"name to {_type(inner, done)}" if isinstance(inner, dict) else "mapping"
        case kind:
            word = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}.get(kind, "any")
            word = "path" if field.get("format") == "path" else word
            return " ".join([word, *bounds])


# Exit codes and environment


def exit_codes() -> Lines:
    """docs/reference/exit-codes.md."""
    from tritonize.core import errors
    from tritonize.core import exit_codes as meanings

    yield from ("# Exit codes", "", WRITTEN, "", "| code | meaning |", "|---|---|")
    for code, meaning in meanings.MEANINGS.items():
        yield f"| {code} | {flat(meaning)} |"
    yield ""
    yield from prose(
        "If a command checks several models, its exit code is the worst of theirs:",
        "an error, then a difference (1), then *not run* (3).",
        "With `--json`, the document has the error under `error`, with its `exit_code`.",
    )
    yield from (
        "",
        "## Error classes",
        "",
        "From Python, a failure is one of these exceptions; all are a `tritonize.TritonizeError`.",
        "",
    )
    yield from ("| class | code | meaning |", "|---|---|---|")
    for name, kind in errors._KINDS.items():
        yield f"| `{name}` | {kind.exit_code} | {paragraphs(kind.__doc__)[0]} |"


def environment() -> Lines:
    """docs/reference/environment.md."""
    from tritonize.core import environment as variables

    yield from ("# Environment variables", "", WRITTEN, "", "| variable | what it does | without it |", "|---|---|---|")
    for each in variables.TABLE:
        yield f"| `{each.name}` | {flat(each.meaning)} | {flat(each.default)} |"
    yield ""
    passed_on = ", ".join(f"`{each}`" for each in variables.PASSED_ON)
    yield from prose(
        f"If the embedded server serves plans, it gets these variables too: {passed_on}.",
        "`--header NAME=@env:VARIABLE` and `--on-change @env:VARIABLE` read a variable of your choice.",
        "The library of an object store reads its credentials, such as `AWS_ACCESS_KEY_ID` for `s3://`.",
        "Isolated workers (`--isolate`) get no credentials.",
    )


# Python


def python() -> Lines:
    """docs/reference/python.md."""
    import tritonize

    yield from ("# Python API", "", WRITTEN, "")
    yield from prose(
        "`import tritonize` loads neither PyTorch nor a server; each name is loaded at its first use.",
        "Functions return reports; they never print and never exit.",
        "[Use it from Python](../how-to/use-from-python.md) has examples.",
    )
    classes = [name for name in tritonize.__all__ if inspect.isclass(getattr(tritonize, name))]
    for name in (name for name in tritonize.__all__ if name not in classes):
        yield from _function(f"tritonize.{name}", getattr(tritonize, name), 2)
    for name in classes:
        yield from _class(name, getattr(tritonize, name))


def _function(name: str, function: Callable[..., Any], level: int) -> Lines:
    yield from ("", f"{'#' * level} {name}", "", "```text", *_signature(name, function), "```", "")
    for paragraph in paragraphs(function.__doc__):
        yield from (paragraph, "")
    for title, rows in _docstring_sections(function.__doc__):
        yield from (f"**{title}**", "", *rows, "")


def _signature(name: str, function: Callable[..., Any]) -> Lines:
    """One parameter per line, as the code writes it."""
    signature = inspect.signature(function)
    yield f"{name}("
    keyword_only = False
    for each in signature.parameters.values():
        if each.kind is each.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            yield "    *,"
        stars = {each.VAR_KEYWORD: "**", each.VAR_POSITIONAL: "*"}.get(each.kind, "")
        annotation = f": {each.annotation}" if each.annotation is not each.empty else ""
        default = f" = {each.default!r}" if each.default is not each.empty else ""
        yield f"    {stars}{each.name}{annotation}{default},"
    yield f") -> {signature.return_annotation}" if signature.return_annotation is not signature.empty else ")"


def _docstring_sections(docstring: str | None) -> Iterator[tuple[str, list[str]]]:
    text = inspect.cleandoc(docstring or "")
    parts = re.split(r"^(Args|Returns|Raises):\n", text, flags=re.MULTILINE)[1:]
    titles = {"Args": "Arguments", "Returns": "Returns", "Raises": "Raises"}
    for title, body in zip(parts[::2], parts[1::2], strict=True):
        entries = re.split(r"\n(?=    \S)", body.rstrip())
        rows = [flat(each).replace("\\|", "|") for each in entries]
        yield titles[title], [re.sub(r"^([\w, ]+): ", r"- `\1`: ", row) if title != "Returns" else row for row in rows]


def _class(name: str, kind: type[Any]) -> Lines:
    yield from ("", f"## tritonize.{name}", "")
    for paragraph in paragraphs(kind.__doc__):
        yield from (paragraph, "")
    if issubclass(kind, Exception):
        yield f"Exit code: {kind.exit_code}. [All codes](exit-codes.md)."
    elif name == "Spec":
        yield "[The spec](spec.md) has its fields."
    elif name == "Report":
        yield "[The report's JSON](report-json.md) has its fields."
    elif dataclasses.is_dataclass(kind):
        yield from _fields(kind, {})


# Report


def report_json() -> Lines:
    """docs/reference/report-json.md."""
    from tritonize.core.reports import Report
    from tritonize.core.stages import StageName
    from tritonize.report import text

    yield from ("# The report's JSON", "", WRITTEN, "")
    yield from prose(
        "`--json` prints this document, a published version keeps it as `evidence/report.json`, and from Python it is a",
        '`tritonize.Report`. A command prints `{"reports": [...]}` with one report per model, or `{"error": {...}}`.',
        "Numbers are in the output's own unit unless the field says otherwise; times are in seconds, memory in bytes.",
    )
    kinds: dict[str, type[Any]] = {"Report": Report}
    for name in kinds_in_order(kinds):
        yield from ("", f"## {name}", "")
        for paragraph in paragraphs(kinds[name].__doc__):
            yield from (paragraph, "")
        yield from _fields(kinds[name], kinds)
        if name == "Report":
            yield f"| `answers` | list of [SummaryRow](#summaryrow) | {flat(SUMMARY)} |"
    kinds["SummaryRow"] = text.SummaryRow
    yield from ("", "## SummaryRow", "", *paragraphs(text.SummaryRow.__doc__), "", *_fields(text.SummaryRow, kinds))
    yield from ("", "## Names of stages", "", "| name | on a terminal | in a report |", "|---|---|---|")
    for each in StageName:
        yield f"| `{each.value}` | {flat(each.action)} | {flat(each.heading)} |"


SUMMARY = "All comparisons, counted by stage, batch size and output; `checks` lists at most a few of a kind."

SUMMARY_FIELDS = {"answers": "Number of comparisons.", "failed": "How many of them failed."}
"""The fields of a summary that no comparison has."""


def kinds_in_order(kinds: dict[str, type[Any]]) -> Iterator[str]:
    """The names of the classes. `_fields` adds those that a class refers to, meanwhile."""
    done: set[str] = set()
    while left := [name for name in kinds if name not in done]:
        done.add(left[0])
        yield left[0]


def _fields(kind: type[Any], kinds: dict[str, type[Any]]) -> Lines:
    """The table of a class's fields; classes of the fields are added to `kinds`. A summary's fields are those of a comparison."""
    own = field_docs(kind)
    shared = () if dataclasses.is_dataclass(kind) else ("Metrics", "Gate", "Check", "TensorCheck")
    meanings = {key: text for each in shared for key, text in field_docs(kinds[each]).items()} | SUMMARY_FIELDS | own
    hints = typing.get_type_hints(kind)
    yield from ("| field | type | meaning |", "|---|---|---|")
    for name, hint in hints.items():
        yield f"| `{name}` | {_hint(hint, kinds)} | {flat(meanings.get(name, ''))} |"


def field_docs(kind: type[Any]) -> dict[str, str]:
    """Field to the string below it in the source."""
    import ast

    (node,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(kind))).body
    assert isinstance(node, ast.ClassDef)
    found = {}
    for before, after in zip(node.body, node.body[1:], strict=False):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
            match after:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    found[before.target.id] = text
    return found


def _hint(hint: Any, kinds: dict[str, type[Any]]) -> str:
    """A type as JSON has it."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        kinds.setdefault(hint.__name__, hint)
        return f"[{hint.__name__}](#{hint.__name__.lower()})" if kinds else f"`{hint.__name__}`"
    if isinstance(hint, type) and issubclass(hint, str):
        return "string"
    if origin is typing.Literal:
        return ", ".join(f'`"{each}"`' for each in inner)
    if origin is tuple and inner[-1] is Ellipsis:
        return f"list of {_hint(inner[0], kinds)}"
    if origin is tuple:
        return "list of " + " and ".join(_hint(each, kinds) for each in inner)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"object: {_hint(inner[0], kinds)} to {_hint(inner[1], kinds)}"
    if inner:  # a union
        return " or ".join(dict.fromkeys(_hint(each, kinds) for each in inner))
    hint = getattr(hint, "__supertype__", hint)
    names = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null", Path: "path", bytes: "bytes"}
    return names.get(hint, "any")


# Messages


def messages() -> Lines:
    """docs/reference/messages.md."""
    from tritonize.core.messages import Message

    yield from ("# Messages", "", WRITTEN, "")
    yield from prose(
        "Every error, warning and note, by subject, with its likely cause and the next step.",
        "*Slanted words* stand for names and numbers.",
        "The texts may change; a code stays, and `--json` has it as `code`.",
        "[Troubleshooting](../how-to/troubleshooting.md) describes the most frequent ones.",
    )
    for path in sorted((ROOT / "tritonize/core/messages").glob("[a-z]*.py")):
        module = importlib.import_module(f"tritonize.core.messages.{path.stem}")
        found = [each for each in vars(module).values() if isinstance(each, Message)]
        yield from ("", f"## {path.stem.replace('_', ' ').capitalize()}", "", paragraphs(module.__doc__)[0], "")
        for each in found:
            yield f"- {_listed(each.what)}"
            if each.cause:
                yield f"    - Likely cause: {_listed(each.cause)}"
            if each.next_step:
                yield f"    - Next: {_listed(each.next_step)}"
            yield f"    - Code: `{each.code}`"


def _listed(text: str) -> str:
    """A text as an item of a list; outside a table, a bar needs no backslash."""
    return _filled(text).replace("\\|", "|")


def _filled(text: str | None) -> str:
    """A text with its placeholders as slanted words, or as plain ones inside code."""
    fields = string.Formatter().parse(text or "")
    marked = "".join(literal + (f"\x01{name.replace('_', ' ')}\x02" if name else "") for literal, name, _, _ in fields)
    parts = re.split(r"(`[^`]*`)", flat(marked))
    plain = [part if part.startswith("`") else re.sub(r"\*(?!not |\w+\*)(?<!\w\*)", r"\\*", part) for part in parts]
    shown = [re.sub("[\x01\x02]", "" if part.startswith("`") else "*", part) for part in plain]
    return "".join(shown)


PAGES: dict[str, Callable[[], Lines]] = {
    "cli.md": cli,
    "spec.md": spec,
    "exit-codes.md": exit_codes,
    "environment.md": environment,
    "python.md": python,
    "report-json.md": report_json,
    "messages.md": messages,
}


def page_text(page: str) -> str:
    """The content of a page."""
    return re.sub(r"\n{3,}", "\n\n", "\n".join(PAGES[page]())).rstrip() + "\n"


def main() -> int:
    """Write the pages; with `--check` only compare them."""
    stale = []
    for page in PAGES:
        path, content = FOLDER / page, page_text(page)
        if not path.is_file() or path.read_text(encoding="utf-8") != content:
            stale.append(page)
            if "--check" not in sys.argv:
                FOLDER.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
    print("\n".join(stale) or "All pages are current.")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
