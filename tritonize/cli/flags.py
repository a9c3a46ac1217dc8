"""Create a specification of one model from command-line flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from tritonize.cli import input_flags
from tritonize.cli.model_options import Described
from tritonize.core import names, near_files
from tritonize.core.errors import UsageError
from tritonize.core.local_paths import local
from tritonize.core.messages import export as wording
from tritonize.core.messages import samples as samples_wording
from tritonize.core.messages import usage
from tritonize.core.server_choice import ServerChoice
from tritonize.spec import key_places, rules, schema, sentences


@dataclass(frozen=True, kw_only=True)
class ModelFlags(Described):
    """The flags that describe a model, with its source; `None` or `False` for a missing flag."""

    source: str
    sample_files: Sequence[str] | None = None
    repository: Path | None = None


@dataclass(frozen=True, kw_only=True)
class RunFlags(ModelFlags):
    """The flags of `tritonize run` and `tritonize build`."""

    models: Sequence[str] | None = None
    replace_config: bool = False
    drop_config_fields: bool = False
    allow_unproven: bool = False
    plans: Sequence[Path] | None = None
    quick: bool = False
    force: bool = False
    address: str | None = None
    """Of a remote repository, to which the versions are published."""
    server: ServerChoice = ServerChoice()  # noqa: RUF009 - frozen
    """Which server the versions are compared on."""
    seconds: float
    json: bool = False


def specification(flags: ModelFlags) -> schema.Spec:
    """The specification that the flags describe. It may lack inputs; the run infers them from the model's file or samples.

    Raises:
        UsageError: a flag is invalid; the details list all problems of the described model.
    """
    if flags.no_batch and flags.max_batch_size:
        raise UsageError.of(usage.BATCH_FLAGS)
    outputs = flags.outputs or ()
    if len(set(outputs)) < len(outputs):
        raise UsageError.of(usage.OUTPUT_TWICE, found=", ".join(outputs))
    given = input_flags.parse(flags.inputs or (), flags.axes or (), no_batch=flags.no_batch)
    max_batch_size = 0 if flags.no_batch else flags.max_batch_size or max(schema.DEFAULT_MAX_BATCH_SIZE, given.batch)
    model = {
        "source": flags.source,
        "inputs": given.inputs,
        "axes": given.axes,
        "outputs": {name: {} for name in outputs},
        "tolerance": _tolerance(flags),
        "max_batch_size": max_batch_size,
        "precision": flags.precision or "fp32",
        "backend": flags.backend or "onnxruntime",
        "opset": flags.opset or schema.DEFAULT_OPSET,
        "operators": list(flags.operators or ()),
        "simplify": not flags.no_simplify,
        "samples": {
            "function": None if flags.sample_files else flags.sample_function,
            "files": list(flags.sample_files) if flags.sample_files else None,
            "texts": _texts(flags.texts or ()),
        },
    }
    name = default_name(flags.source) if flags.name is None else flags.name
    return _validated(name, model, flags.repository or Path("model_repository"))


def _texts(given: Sequence[str]) -> dict[str, list[str]]:
    """Input name to its texts, from flags `NAME=TEXT` or `NAME=@FILE` (one text per line)."""
    texts: dict[str, list[str]] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name:
            raise UsageError.of(samples_wording.TEXT_FORM, found=f"--text {each}")
        if not text.startswith("@"):
            texts.setdefault(name, []).append(text)
            continue
        try:
            texts.setdefault(name, []).extend(Path(text[1:]).read_text(encoding="utf-8").splitlines())
        except (OSError, UnicodeDecodeError) as error:
            instead = near_files.missing(text[1:]) if isinstance(error, FileNotFoundError) else None
            meant = instead.meant if instead else None
            raise UsageError.of(samples_wording.TEXT_FILE, where=text[1:], found=str(error), meant=meant) from error
    return texts


def _tolerance(flags: ModelFlags) -> dict[str, float] | None:
    """The tolerance of every output; `None` without a flag for it."""
    given = {"rtol": flags.rtol, "atol": flags.atol}
    return {name: value for name, value in given.items() if value is not None} or None


def tolerance(rtol: float, atol: float) -> schema.Tolerance:
    """The tolerance from --rtol and --atol."""
    return schema.Tolerance(rtol=rtol, atol=atol)


def default_name(source: str) -> str:
    """The model name for a file or a factory; see `names.model`."""
    return names.model(source.rpartition(":")[2] if schema.is_factory(source) else Path(source).stem)


def transliterated(source: str) -> str | None:
    """A note with the model's name if the file name has letters that a model name cannot have; otherwise `None`."""
    stem = Path(source).stem
    return None if stem.isascii() else wording.SPELLED.text(source=Path(source).name, name=default_name(source))


def _validated(name: str, model: dict[str, Any], repository: Path) -> schema.Spec:
    try:
        parsed = schema.Spec.model_validate({"schema": 1, "repository": repository, "models": {name: model}})
    except ValidationError as error:
        problems = [_line(where[2:], text) for where, text in sentences.problems(error, schema.Spec)]
        raise UsageError.of(usage.INVALID_FLAGS, details=problems) from error
    problems = [_line(where, text) for where, text in rules.problems(parsed.models[name])]
    if problems:
        raise UsageError.of(usage.INVALID_FLAGS, details=problems)
    return parsed


def _line(where: key_places.Place, text: str) -> str:
    return f"{key_places.dotted(where)}: {text}" if where else text


class RepositoryAndWords(NamedTuple):
    """The repository and the arguments after it."""

    repository: Path
    words: list[str]


def repository_and(words: Sequence[str], count: int, form: str) -> RepositoryAndWords:
    """Split the optional repository (default: model_repository) from the other arguments.

    Args:
        words: the arguments of the command line.
        count: the number of arguments without the repository.
        form: the names of these arguments, for the error.

    Raises:
        UsageError: the number of arguments is wrong, or the repository is an address.
    """
    if len(words) not in (count, count + 1):
        raise UsageError.of(usage.ARGUMENT_COUNT, expected=f"[REPOSITORY] {form}", found=" ".join(words))
    repository = local(words[0]) if len(words) > count else Path("model_repository")
    return RepositoryAndWords(repository, list(words[-count:]))
