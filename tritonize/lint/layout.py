"""Rules about directories and files: what Triton takes for a model or a version, and what it cannot read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tritonize.lint.files import Entry, entries
from tritonize.lint.model import CONFIG, SPECIAL, Model, as_version
from tritonize.lint.rule import Diagnostic, Rule

REPOSITORY_IS_MODEL = Rule(
    id="TR001",
    name="repository-is-a-model",
    severity="error",
    triton="refuses",
    what="The path is the directory of a model, not a model repository.",
    why="Triton takes every directory inside the repository for a model, so it would take the versions for models.",
    fix="name the directory that contains the model's directory",
    wrong="heart/            <- tritonserver --model-repository=heart\n├── config.pbtxt\n└── 1/model.onnx",
    right="model_repository/ <- tritonserver --model-repository=model_repository\n└── heart/\n    ├── config.pbtxt\n"
    "    └── 1/model.onnx",
)
STRAY_DIRECTORY = Rule(
    id="TR002",
    name="stray-directory",
    severity="error",
    triton="refuses",
    what="A directory in the repository is not a model, and Triton takes it for one.",
    why="Triton loads every directory at the repository's root, hidden ones too. One that it cannot load makes the server "
    "exit unless "
    "it runs with `--exit-on-error=false` (core, `Poll` in `model_repository_manager.cc`).",
    fix="move the directory out of the repository",
    wrong="model_repository/\n├── .git/\n└── heart/",
    right="model_repository/\n└── heart/",
)
ENTRY_NAME = Rule(
    id="TR003",
    name="model-name",
    severity="warning",
    triton="accepts",
    what="Clients cannot address a model of this name over HTTP.",
    why="Triton's HTTP server does not decode the path of a URL, and clients encode everything but ASCII letters, digits "
    "and `_.-~`. "
    "So a request for such a model is answered with 404, while gRPC finds it.",
    fix="rename the directory, and `name` in the configuration",
    wrong="model_repository/\n└── сердце/",
    right="model_repository/\n└── serdtse/",
)
BROKEN_LINK = Rule(
    id="TR004",
    name="broken-link",
    severity="error",
    triton="refuses",
    what="A symbolic link leads nowhere.",
    why="Triton asks the filesystem for every entry of a repository and of a model's directory. If one cannot be found, the whole "
    "directory counts as unreadable: at the root no model is loaded at all (`GetDirectorySubdirs` in core's filesystem).",
    fix="remove the link, or restore what it points to",
    wrong="model_repository/\n├── old -> ../gone\n└── heart/",
    right="model_repository/\n└── heart/",
)
LEADS_OUTSIDE = Rule(
    id="TR005",
    name="link-outside",
    severity="warning",
    triton="depends",
    what="A symbolic link leads out of the repository, so lint did not follow it.",
    why="A copy of the repository (in an image, in an object store) lacks what the link points to. Lint reads no file outside the "
    "repository unless `--follow-links` is given, since a repository of somebody else could make it show any file.",
    fix="copy the files into the repository, or pass --follow-links",
    wrong="model_repository/\n└── heart/1/model.onnx -> /data/model.onnx",
    right="model_repository/\n└── heart/1/model.onnx",
)
UNREADABLE = Rule(
    id="TR006",
    name="unreadable",
    severity="error",
    triton="depends",
    what="A file or directory cannot be read.",
    why="The server needs to read the model's directory, its versions and its files; lint runs as another user than the "
    "server may.",
    fix="give the user of the server permission to read it",
    wrong="drwx------ root  model_repository/heart",
    right="drwxr-xr-x root  model_repository/heart",
)
NO_VERSION = Rule(
    id="TR007",
    name="no-version",
    severity="error",
    triton="refuses",
    what="The model has no version directory.",
    why="Triton loads versions from directories whose names are numbers. Without one there is nothing to load (core, "
    "`VersionsToLoad` in `model_lifecycle.cc`). An ensemble needs one too, though it stays empty.",
    fix="put the model file into a directory named 1",
    wrong="heart/\n├── config.pbtxt\n└── model.onnx",
    right="heart/\n├── config.pbtxt\n└── 1/\n    └── model.onnx",
)
NOT_A_VERSION = Rule(
    id="TR008",
    name="not-a-version",
    severity="warning",
    triton="accepts",
    what="A directory in a model's directory is not a version, and Triton ignores it.",
    why="Only plain numbers without leading zeros are versions. Triton warns of other names; of `configs`, `warmup` and "
    "`initial_state` it knows the purpose.",
    fix="rename the directory to a number, or move it away",
    wrong="heart/\n├── config.pbtxt\n├── 1/\n└── 02/",
    right="heart/\n├── config.pbtxt\n├── 1/\n└── 2/",
)
MISREAD_VERSION = Rule(
    id="TR009",
    name="misread-version",
    severity="error",
    triton="depends",
    what="Triton reads a number from the name of a directory that is not that number.",
    why="Triton converts the leading digits of a directory's name, so `2-old` counts as version 2, which it may then try to "
    "load and "
    "not find; a number above 9,223,372,036,854,775,807 is an error in it (core, `VersionsToLoad` in `model_lifecycle.cc`).",
    fix="rename the directory so that its name does not begin with a digit, or is a number",
    wrong="heart/\n├── config.pbtxt\n├── 1/\n└── 2-old/",
    right="heart/\n├── config.pbtxt\n├── 1/\n└── 2/",
)
TOO_MANY = Rule(
    id="TR010",
    name="too-many-findings",
    severity="info",
    triton="depends",
    what="The model has more findings than lint lists.",
    why="Lint lists the first 1,000 findings of a model.",
    fix="correct the findings above, and run lint again",
    wrong="a configuration of thousands of tensors without names",
    right="a configuration of the tensors that the model has",
)
NO_MODELS = Rule(
    id="TR011",
    name="no-models",
    severity="warning",
    triton="accepts",
    what="The repository has no models.",
    why="Triton takes every directory of the repository for a model, and this repository has no directory. The path may be wrong.",
    fix="check the path",
    wrong="model_repository/",
    right="model_repository/\n└── heart/\n    ├── config.pbtxt\n    └── 1/model.onnx",
)
RULES = (
    REPOSITORY_IS_MODEL,
    STRAY_DIRECTORY,
    ENTRY_NAME,
    BROKEN_LINK,
    LEADS_OUTSIDE,
    UNREADABLE,
    NO_VERSION,
    NOT_A_VERSION,
    MISREAD_VERSION,
    TOO_MANY,
    NO_MODELS,
)


_ADDRESSABLE = re.compile(r"[A-Za-z0-9_.~-]+")
"""What clients write into a URL as it is."""


def root(directory: Path, found: list[Entry]) -> Iterator[Diagnostic]:
    """Check the entries of the repository itself, except what belongs to one model."""
    by_name = {each.name: each for each in found}
    if CONFIG in by_name or any(each.kind == "directory" and as_version(each.name) for each in found):
        beside = CONFIG if CONFIG in by_name else "directories that are versions"
        yield _at_root(REPOSITORY_IS_MODEL, ".", found=f"{directory.name or directory} contains {beside}")
    if not any(each.kind == "directory" for each in found):
        yield _at_root(NO_MODELS, ".", found=f"{directory.name or directory} contains no directory")
    for entry in found:
        if entry.kind == "missing":
            yield _at_root(BROKEN_LINK, entry.name, found="the link's target does not exist")
        elif entry.kind == "unreadable":
            yield _at_root(UNREADABLE, entry.name, found="the operating system refuses to describe it")


def _at_root(rule: Rule, path: str, *, found: str) -> Diagnostic:
    return Diagnostic(rule=rule, model="", path=path, found=found, triton=rule.triton)


def check(model: Model) -> Iterator[Diagnostic]:
    """Check the entries of a model's directory."""
    if not _ADDRESSABLE.fullmatch(model.name):
        yield model.of(ENTRY_NAME, "", found=f"the directory is called {model.name!r}", expected="ASCII letters, digits and '_.~-'")
    for entry in model.entries.values():
        yield from _entry(model, entry)
    if not model.versions:
        yield model.of(
            NO_VERSION, "", found="no directory of the model has a number as its name", expected="a directory such as 1/"
        )
    for version in model.versions:
        if model.entries[str(version)].outside and not model.follow:
            continue
        folder = model.directory / str(version)
        try:
            found = entries(folder, model.root)
        except OSError as error:
            yield model.of(UNREADABLE, str(version), found=error.strerror or str(error))
            continue
        for each in found:
            if each.outside and each.kind != "missing" and not model.follow:
                yield model.of(LEADS_OUTSIDE, f"{version}/{each.name}", found="a link that leads out of the repository")


def _entry(model: Model, entry: Entry) -> Iterator[Diagnostic]:
    if entry.kind == "missing":
        yield model.of(BROKEN_LINK, entry.name, found="the link's target does not exist")
    elif entry.outside and not model.follow:
        yield model.of(LEADS_OUTSIDE, entry.name, found="a link that leads out of the repository")
    elif entry.kind == "unreadable":
        yield model.of(UNREADABLE, entry.name, found="the operating system refuses to describe it")
    elif entry.kind == "directory" and entry.name not in SPECIAL and as_version(entry.name) is None:
        plain = entry.name.isascii() and entry.name.isdecimal()
        misread = entry.name[:1] in "123456789" and entry.name.isascii()
        if misread:
            found = "a number that is too large" if plain else f"Triton reads it as version {_leading(entry.name)}"
            yield model.of(MISREAD_VERSION, entry.name, found=found)
        else:
            yield model.of(NOT_A_VERSION, entry.name, found=f"a directory called {entry.name!r}", expected="a number such as 2")


def _leading(name: str) -> str:
    return next((name[:end] for end in range(len(name), 0, -1) if name[:end].isdecimal()), "")
