"""Every block of code in the documentation is tested, or says why not; specs in it are valid."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import CHECKOUT
from tests.support.documentation import Block, blocks, pages
from tritonize.cli.commands import ENTRIES, load
from tritonize.core.messages import Message
from tritonize.spec import loader
from tritonize.triton import config_section

BLOCKS = [block for page in pages() for block in blocks(page)]
MARKS = {
    "sh": ("tested", "tested in test-slow", "file: ", "untested: "),
    "console": ("tested", "tested in test-slow", "untested: "),
    "python": ("file: ", "untested: "),
    "yaml": ("file: ", "spec", "untested: "),
    "json": ("file: ", "untested: "),
}
_MODEL = "schema: 1\nmodels:\n  m:\n"
_BASE = "    source: m.pt\n    inputs: {x: {shape: [batch, 4]}}\n    max_batch_size: 4\n"


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages and not block.mark.startswith("untested")]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_the_block_says_how_it_is_tested(block: Block) -> None:
    if block.language in MARKS:
        assert block.mark.startswith(MARKS[block.language]), f"{block}: {block.mark!r}; see tests/support/documentation.py"
        assert not block.mark.startswith("untested: ") or len(block.mark) > len("untested: ") + 5
    else:
        assert block.language in ("", "text", "mermaid", "pbtxt", "dockerfile"), f"{block}: a new language; how is it tested?"


def test_python_and_json_are_valid() -> None:
    for block in of("python", "json"):
        try:
            ast.parse(block.text) if block.language == "python" else json.loads(block.text)
        except (SyntaxError, ValueError) as error:
            pytest.fail(f"{block}: {error}")


def _as_spec(block: Block) -> str:
    text = textwrap.dedent(block.text)
    kind = block.mark.removeprefix("spec").removeprefix(": ")
    if kind == "top":
        return f"{_MODEL}{_BASE}{text}"
    if kind.startswith("models."):
        own = textwrap.indent(text, "    ")
        defaults = [line for line in _BASE.splitlines(keepends=True) if f"\n{line.split(':')[0]}:" not in f"\n{own}"]
        if "    python:" in own or "    ensemble:" in own:
            defaults = []
        return f"{_MODEL}{''.join(defaults)}{own}".replace("  m:", f"  {kind.removeprefix('models.')}:")
    return text


@pytest.mark.parametrize(
    "block", [each for each in of("yaml") if each.mark.startswith("spec") or (each.file or "").endswith("spec.yaml")], ids=str
)
def test_the_spec_is_valid(block: Block, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(_as_spec(block), encoding="utf-8")
    (tmp_path / "steps.py").write_text("def decode(image): ...\n\n\ndef count(x): ...\n", encoding="utf-8")
    assert loader.load(spec, check_triton=config_section.problems).models


def _commands(text: str) -> Iterator[list[str]]:
    """The words of each command line of tritonize in a text, in a block or in a code span."""
    spans = re.findall(r"`(tritonize [^`\n]*)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    lines = [
        line
        for block in re.findall(r"^```(?:sh|console)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        for line in re.sub(r"\\\n", " ", block).splitlines()
    ]
    for line in [*spans, *lines]:
        for part in re.split(r"&&|\|\||;", line):
            if re.match(r"\s*(?:\.venv/bin/)?tritonize ", part):
                yield shlex.split(part.replace('"', ""), comments=True)[1:]  # a part of `sh -c "… && …"` has one quote


@pytest.mark.parametrize("page", [page for page in pages() if not page.match("docs/reference/*")], ids=str)
def test_the_commands_and_options_on_the_page_exist(page: Path) -> None:
    entries = {entry.name: entry for entry in ENTRIES}
    everywhere = {"--isolate", "--log", "--help", "--version", "--install-completion"}
    for words in _commands((CHECKOUT / page).read_text(encoding="utf-8")):
        names = [word for word in words if not word.startswith("-")]
        if not names or not re.fullmatch("[a-z]+", names[0]):
            continue  # an option of the program, or SPEC
        assert names[0] in entries, f"{page}: tritonize {names[0]}"
        command = load(entries[names[0]])
        inner = getattr(command, "commands", None)
        if inner and len(names) > 1:
            assert names[1].rstrip(",|") in inner, f"{page}: tritonize {names[0]} {names[1]}"
            command = inner[names[1]]
        known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | everywhere
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert inner or given <= known, f"{page}: tritonize {' '.join(words)}: {given - known}"


def _printed(template: str, heading: str) -> bool:
    """Whether a heading is a message with values for its `{…}`, or, where it ends with `…`, the first words of one."""
    parts = re.split(r"((?:\{\w+(?:![rs])?(?::[^}]*)?\}\S*)|\s+)", template)
    words = [re.sub(r"\\\{.*?\\\}", ".+", re.escape(part)) for part in parts if part]
    if not heading.endswith("…"):
        return re.fullmatch("".join(words), heading, re.DOTALL) is not None
    beginning = heading.removesuffix("…").rstrip()
    return any(
        re.fullmatch("".join(words[:count]), beginning, re.DOTALL) for count in range(1, len(words)) if ".+" not in words[count - 1]
    )


def test_a_heading_is_a_message_as_it_is_printed() -> None:
    template = "The {protocol} port {port!r} of {name} cannot be used."
    assert _printed(template, "The HTTP port 8000 of heart cannot be used.")
    assert _printed(template, "The HTTP port …")
    assert not _printed(template, "The HTTP port 8000 of heart is in use.")
    assert not _printed(template, "The HTTP port 8000 of heart")
    assert not _printed(template, "The HTTP door …")


def test_the_troubleshooting_has_the_texts_as_they_are_printed() -> None:
    """So that a search of the page for the first words of an error finds it; only the end may be left out, as `…`."""
    text = (CHECKOUT / "docs/how-to/troubleshooting.md").read_text(encoding="utf-8")
    catalogue = {}
    for path in (CHECKOUT / "tritonize/core/messages").glob("[a-z]*.py"):
        module = importlib.import_module(f"tritonize.core.messages.{path.stem}")
        catalogue |= {each.code: each for each in vars(module).values() if isinstance(each, Message)}
    entries = re.findall(r"^### (.*)\n<!-- message: (.*) -->$", text, re.MULTILINE)
    assert len(entries) > 25
    for heading, code in entries:
        assert _printed(catalogue[code].what, heading), f"{code}: {catalogue[code].what!r}"
