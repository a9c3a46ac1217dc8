"""Fill the templates of deployment files: a value gets into a file only through a filter that writes it for that kind of file.

Names of models may contain anything that a folder's name can. A value that no filter wrote is an error in the template, so no name
can add a line, a key or an instruction.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path

import jinja2

from tritonize.core import printable, resources

_UNPRINTABLE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")
"""What JSON writes as it is, and YAML does not accept or a reader does not see."""
_WORD = re.compile(r"[A-Za-z0-9._:/@=+-]+")


class Written(str):
    """Text in the syntax of the file."""

    __slots__ = ()


def yaml(value: object) -> Written:
    """A value as YAML, in the form of JSON, which is the same in YAML 1.1 and 1.2."""
    plain = json.dumps(value, ensure_ascii=False)
    return Written(_UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", plain))


def compose(value: object) -> Written:
    """A value as YAML for a compose file, where `$` begins the name of a variable."""
    return Written(yaml(value).replace("$", "$$"))


def word(value: object) -> Written:
    """A word of a Dockerfile.

    Raises:
        ValueError: it has characters that mean something there.
    """
    text = str(value)
    if not _WORD.fullmatch(text):
        raise ValueError(f"not a plain word: {text!r}")
    return Written(text)


def comment(value: object) -> Written:
    """A value in a comment: one line."""
    return Written(_UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", printable.line(str(value))))


def _finished(value: object) -> Written:
    if not isinstance(value, Written):
        raise TypeError(f"the template writes a value without a filter: {value!r}")
    return value


@functools.cache
def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(  # noqa: S701 - the files are no HTML; `_finished` requires a filter for every value
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        finalize=_finished,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"yaml": yaml, "compose": compose, "word": word, "comment": comment}
    return environment


def fill(name: str, values: Mapping[str, object]) -> str:
    """The text of a template.

    Args:
        name: path of the template below `templates/deploy`.
        values: what it may use.
    """
    return _environment(resources.templates() / "deploy").get_template(name).render(values)
