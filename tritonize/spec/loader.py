"""Read a specification from YAML and report all of its problems at once, each with its line, its path and a suggestion."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any  # Any: problems of pydantic and nodes of YAML

from pydantic import ValidationError
from ruamel.yaml.comments import CommentedMap

from tritonize.core import near_files, suggestions
from tritonize.core.errors import UsageError
from tritonize.core.messages import files as files_wording
from tritonize.core.messages import specification as wording
from tritonize.spec import ensembles, key_places, rules, schema, sentences, steps, yaml_file

Location = tuple[str | int, ...]
TritonCheck = Callable[[Mapping[str, object]], Iterator[tuple[tuple[str | int, ...], str]]]
"""Takes a model's `triton:` section, and yields the path inside it and a sentence for each problem."""
_NAMES = {type(None): "an empty file", list: "a list", str: "a text"}
LISTED = 50
"""Largest number of problems that an error lists."""
_FOLLOWS = {
    "axes": ("profiles", "triton"),
    "inputs": ("axes", "profiles", "triton"),
    "max_batch_size": ("axes", "inputs", "profiles", "triton"),
    "backend": ("precision", "builder", "profiles", "triton"),
    "precision": ("keep_fp32", "half_io"),
    "profiles": ("triton",),
    "source": ("weights", "kwargs"),
    "python": ("source", "files", "inputs", "outputs"),
    "files": ("python",),
    "ensemble": ("source", "inputs", "outputs", "files"),
    "outputs": ("ensemble",),
}
"""Field to the fields whose rules depend on it: if the field itself is invalid, their findings could be wrong and are left out."""
_FIELDS = tuple(schema.Model.model_fields)


def load(path: Path, *, check_triton: TritonCheck | None = None) -> schema.Spec:
    """Read a specification; relative paths in it are made relative to the file's folder.

    Args:
        path: the YAML file.
        check_triton: checks the `triton:` sections.

    Raises:
        UsageError: the file does not exist, cannot be read, is not valid YAML, or has problems; they are listed with their lines.
    """
    root = _parse(path)
    plain = yaml_file.plain(root)
    if not isinstance(plain, dict):
        raise UsageError.of(
            wording.NO_MAPPING, where=str(path), expected="a mapping", found=_NAMES.get(type(plain), "a single value")
        )
    found, parsed = _validate(plain, path.parent, check_triton)
    if found or parsed is None:
        lines = [f"line {_line(root, where)}: {key_places.dotted(where)}: {text}" for where, text in found]
        lines.sort(key=lambda line: int(line.split()[1].rstrip(":")))
        more = [f"… and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
        raise UsageError.of(wording.PROBLEMS, where=str(path), details=lines[:LISTED] + more, count=_counted(lines))
    return _resolve(parsed, path.parent)


def place_of(path: Path, value: str) -> str | None:
    """Where a specification has a value, as `line 6: models.heart.weights`; `None` if nowhere, or if it cannot be read.

    Args:
        path: the YAML file.
        value: a text, or a path that is written there relative to the file's folder.
    """
    try:
        root = _parse(path)
    except UsageError:
        return None
    written = os.path.normpath(value)
    for where, text in _texts(root, ()):
        if text == value or os.path.normpath(path.parent / text) == written:
            return f"line {_line(root, where)}: {key_places.dotted(where)}"
    return None


def _texts(node: object, where: Location) -> Iterator[tuple[Location, str]]:
    """Yield every text in a document with its place."""
    if isinstance(node, str):
        yield where, node
    elif isinstance(node, Mapping):
        for key, inner in node.items():
            yield from _texts(inner, (*where, str(key)))
    elif isinstance(node, list):
        for number, inner in enumerate(node):
            yield from _texts(inner, (*where, number))


def require_sound(specification: schema.Spec, *, check_triton: TritonCheck | None = None) -> None:
    """Check the rules between fields for a specification that was built in Python.

    Args:
        specification: the specification; pydantic has checked its single fields.
        check_triton: checks the `triton:` sections.

    Raises:
        UsageError: the specification has problems, which the error lists.
    """
    lines: list[str] = []
    for name, model in specification.models.items():
        sections = _sections(model.triton, model.variants) if check_triton else ()
        lines += [f"models.{name}.{key_places.dotted(where)}: {text}" for where, text in rules.problems(model)]
        for place, section in sections:
            assert check_triton is not None
            lines += [f"models.{name}.{key_places.dotted((*place, *where))}: {text}" for where, text in check_triton(section)]
    lines += [f"{key_places.dotted(where)}: {text}" for where, text in ensembles.problems(specification)]
    if lines:
        raise UsageError.of(wording.PROBLEMS, details=lines, count=_counted(lines))


def _counted(problems: Collection[str]) -> str:
    return "1 problem" if len(problems) == 1 else f"{len(problems)} problems"


def _parse(path: Path) -> object:
    try:
        return yaml_file.load(path)[1]
    except FileNotFoundError as error:
        instead = near_files.missing(path, suffixes=(".yaml", ".yml"))
        raise UsageError.of(files_wording.SPEC_MISSING, where=str(path), found=instead.found, meant=instead.meant) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError.of(files_wording.SPEC_UNREADABLE, where=str(path), found=str(error)) from error
    except ValueError as error:
        raise UsageError.of(files_wording.SPEC_NO_YAML, where=str(path), found=str(error)) from error


def _validate(
    plain: dict[str, object], folder: Path, check_triton: TritonCheck | None
) -> tuple[list[tuple[Location, str]], schema.Spec | None]:
    found: list[tuple[Location, str]] = []
    try:
        parsed = schema.Spec.model_validate(plain)
    except ValidationError as error:
        found += list(sentences.problems(error, schema.Spec))
        parsed = None
    models = plain.get("models")
    for name, raw in models.items() if isinstance(models, dict) else ():
        bad = {str(where[2]) for where, _ in found if where[:2] == ("models", name) and len(where) > 2}
        # A misspelled key is the field that it is near to, so what follows from that field's absence is no problem of its own.
        bad |= {near for key in bad - set(_FIELDS) for near in suggestions.near(key, _FIELDS)[:1]}
        model = parsed.models[name] if parsed else _partial(raw, bad)
        if model is not None:
            skipped = bad.union(*(_FOLLOWS.get(field, ()) for field in bad))
            every = (*rules.problems(model), *steps.missing_files(model, folder))
            problems = [(where, text) for where, text in every if where[0] not in skipped]
            found += [(("models", name, *where), text) for where, text in problems]
        sections = _sections(raw.get("triton"), raw.get("variants")) if isinstance(raw, dict) and check_triton else ()
        for place, section in sections:
            assert check_triton is not None
            found += [(("models", name, *place, *where), text) for where, text in check_triton(section)]
    if parsed:  # the rules between models need every model
        found += ensembles.problems(parsed)
    return found, parsed


def _sections(triton: object, variants: object) -> Iterator[tuple[Location, Mapping[str, object]]]:
    """Yield the sections of a model that hold fields of Triton's ModelConfig, with their places."""
    named = variants.items() if isinstance(variants, Mapping) else ()
    sections: list[tuple[Location, object]] = [(("triton",), triton), *((("variants", str(name)), each) for name, each in named)]
    for place, section in sections:
        if isinstance(section, Mapping):
            yield place, section


def _partial(raw: object, bad: Collection[str]) -> schema.Model | None:
    """Return the model without its invalid fields, to check the rules between the others; `None` if required fields are missing."""
    if not isinstance(raw, dict):
        return None
    try:
        return schema.Model.model_validate({key: value for key, value in raw.items() if key not in bad})
    except ValidationError:
        return None


def _line(root: Any, where: Location) -> int:
    """Return the line of a place, counted from 1, or the line of its nearest existing parent."""
    node, line = root, 1
    for part in where:
        try:
            line = (node.lc.key(part) if isinstance(node, CommentedMap) else node.lc.item(part))[0] + 1
            node = node[part]
        except (KeyError, IndexError, AttributeError, TypeError):
            break
    return line


def _resolve(parsed: schema.Spec, folder: Path) -> schema.Spec:
    """Return the specification with every relative path made relative to `folder`."""

    def at(path: Path | str) -> Path:
        return Path(os.path.normpath(folder / path))

    def placed(path: Path | None) -> Path | None:
        return None if path is None else at(path)

    models = {
        name: model.model_copy(
            update={
                "source": model.source if model.is_factory or not model.source else str(at(model.source)),
                "python": f"{at(model.python_file)}:{model.python.rpartition(':')[2]}" if model.python else None,
                "files": [at(path) for path in model.files],
                "weights": model.weights.model_copy(update={"file": at(model.weights.file)})
                if isinstance(model.weights, schema.Weights)
                else placed(model.weights),
                "template": placed(model.template),
                "warmup_files": [at(path) for path in model.warmup_files],
                "config": placed(model.config),
                "operators": [at(path) for path in model.operators],
                "builder": model.builder.model_copy(update={"plugins": tuple(at(path) for path in model.builder.plugins)}),
                "search_path": [at(path) for path in model.search_path],
                "outputs": {
                    key: output.model_copy(update={"labels": placed(output.labels)}) for key, output in model.outputs.items()
                },
                "samples": model.samples.model_copy(
                    update={"files": [str(at(pattern)) for pattern in model.samples.patterns] or None}
                ),
            }
        )
        for name, model in parsed.models.items()
    }
    return parsed.model_copy(update={"repository": at(parsed.repository), "models": models})
