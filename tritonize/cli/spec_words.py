"""Errors in the words of a spec file: YAML to write where the command line has a flag, and the line of the value that is wrong.

The catalogue of messages is written once, with the flags of the command line. Who runs a spec gets lines for it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritonize.core.errors import TritonizeError

if TYPE_CHECKING:
    from tritonize.core.reports import Report

KEYS: Mapping[str, str] = {
    "atol": "tolerance: {{atol: {}}}",
    "axis": "axes: {{...}}",
    "max-batch-size": "max_batch_size: {}",
    "no-batch": "max_batch_size: 0",
    "no-simplify": "simplify: false",
    "opset": "opset: {}",
    "precision": "precision: {}",
    "rtol": "tolerance: {{rtol: {}}}",
    "sample-function": "samples: {{function: {}}}",
    "text": "samples: {{texts: [...]}}",
}
"""Flag to the line of a model's spec that says the same; `{}` is the flag's value."""
_ASIDE = re.compile(r" \((?:--[a-z-]+(?: [A-Z][A-Z:=@]*)?(?:, )?)+ on the command line\)| \(--no-batch\)")
"""What a message adds for the command line alone."""
_INPUT = r"--input '?[^\s:']+:\w+:[\w.]*…?'?"
_INPUTS = re.compile(rf"{_INPUT}(?: {_INPUT})*")
_RUN = re.compile(rf"^tritonize run \S+ (?={_INPUT})")
_FLAG = re.compile(rf"--(?P<flag>{'|'.join(KEYS)})\b(?:[ =](?P<value>\d[\d.e-]*|[A-Z]\b|module:function|\w+:\w+))?")
_COMMAND = re.compile(r"\b(?:tritonize|tritonserver|docker|pip) [^;,(:`]*$")


@contextlib.contextmanager
def of(spec: Path) -> Iterator[None]:
    """Rephrase an error of a run of a spec.

    Raises:
        TritonizeError: the same error, with the place in the spec and with YAML in place of flags.
    """
    try:
        yield
    except TritonizeError as error:
        error.where = error.where if error.place is not None else placed(error.where, spec)
        error.next_step = error.next_step and yaml_words(error.next_step)
        error.cause = error.cause and yaml_words(error.cause)
        raise


def in_report(report: Report, spec: Path) -> Report:
    """The report of a model that ended with an error, beside others: rephrased as that error alone would be."""
    error = report.details.get("error")
    if not error:
        return report
    step = error.get("next_step") and yaml_words(str(error["next_step"]))
    where = error.get("where") if error.get("place") else placed(error.get("where"), spec)
    findings = tuple(replace(each, where=str(where)) if each.where == error.get("where") else each for each in report.findings)
    notes = tuple(f"Next: {step}" if each == f"Next: {error.get('next_step')}" else each for each in report.notes)
    details = {**report.details, "error": {**error, "where": where, "next_step": step}}
    return replace(report, findings=findings, notes=notes, details=details)


def placed(where: str | None, spec: Path) -> str | None:
    """Where an error is, with file and line if it is a value of the spec, such as the path of a file that does not exist."""
    from tritonize.spec import loader

    place = loader.place_of(spec, where) if where else None
    return f"{spec.name}, {place}: {where}" if place else where


def yaml_words(text: str) -> str:
    """Replace the flags in a text by lines of a spec.

    >>> yaml_words("describe every input, such as --input image:fp32:1x…")
    'describe every input, such as `inputs: {image: {dtype: fp32, shape: [batch, ...]}}`'
    >>> yaml_words("set max_batch_size to 0 (--no-batch on the command line), or change the model")
    'set max_batch_size to 0, or change the model'
    """
    text = _RUN.sub("write in the spec ", _ASIDE.sub("", text))
    return _FLAG.sub(_key, _INPUTS.sub(lambda found: f"`{_inputs(found[0].split('--input ')[1:])}`", text))


def _key(found: re.Match[str]) -> str:
    if _COMMAND.search(found.string[: found.start()]):
        return found[0]
    return f"`{KEYS[found['flag']].format(found['value'] or '...')}`"


def _inputs(words: Sequence[str]) -> str:
    """`x:fp32:1x3` as `inputs: {x: {dtype: fp32, shape: [batch, 3]}}`."""
    described = []
    for word in words:
        name, dtype, sizes = word.strip().strip("'").rsplit(":", 2)
        shape = ", ".join(["batch", *(size or "..." for size in sizes.removesuffix("…").split("x")[1:])])
        described.append(f"{name}: {{dtype: {dtype}, shape: [{shape}]}}")
    return f"inputs: {{{', '.join(described)}}}"
