"""Remove this machine's paths and the secrets in a factory's arguments from evidence, which is copied to other machines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar  # Any: JSON data of any shape

T = TypeVar("T")

REDACTED = "(redacted)"
_SECRET_WORDS = {
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "credential",
    "credentials",
    "auth",
    "bearer",
    "key",
    "apikey",
}
_SECRET_VALUE = re.compile(r"^(hf_|gh[pousr]_|github_pat_|glpat-|sk-|xox[abps]-|AKIA|ASIA|eyJ)[\w.=/+-]{8,}$")
_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_SHORTEST = 4
_WORD = re.compile(r"[A-Za-z_]{1,15}")
"""An ordinary word, such as `attention` in `token_mixer: attention`. It may be the name of a tensor or a node, so it stays."""


def redacted(kwargs: Mapping[str, object]) -> dict[str, object]:
    """A factory's arguments with every text replaced that has a secret's name or form. Numbers stay."""
    return {name: _redacted(value, secret=_is_secret(name)) for name, value in kwargs.items()}


def _is_secret(name: str) -> bool:
    """Whether a name contains a word for a secret, such as `hf_token` or `apiKey`; `tokenizer` does not."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return not _SECRET_WORDS.isdisjoint(re.split(r"[^a-z0-9]+", words))


def _redacted(value: object, *, secret: bool) -> object:
    if isinstance(value, Mapping):
        return {name: _redacted(each, secret=secret or _is_secret(str(name))) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(each, secret=secret) for each in value]
    if not isinstance(value, str) or not value:
        return value
    return REDACTED if secret or _SECRET_VALUE.match(value) else _IN_URL.sub(REDACTED, value)


def secrets(kwargs: Mapping[str, object]) -> tuple[str, ...]:
    """The texts that `redacted` replaces, except ordinary words: an error of the model may repeat them."""
    texts = {before for before, after in _pairs(dict(kwargs), redacted(kwargs)) if before != after}
    return tuple(text for text in texts if len(text) >= _SHORTEST and not _WORD.fullmatch(text))


def _pairs(before: object, after: Any) -> Iterator[tuple[str, str]]:
    if isinstance(before, Mapping):
        for name in before:
            yield from _pairs(before[name], after[name])
    elif isinstance(before, list | tuple):
        for one, other in zip(before, after, strict=True):
            yield from _pairs(one, other)
    elif isinstance(before, str):
        yield before, after


def sanitized(value: T, *, words: Sequence[str] = (), folders: Mapping[Path, str], hidden: Sequence[str] = ()) -> T:
    """Replace this machine's paths and secrets in every text of an artifact or of plain data.

    Args:
        words: a command line; absolute paths in it become file names.
        folders: absolute folder to its replacement, such as `""` or `models/`.
        hidden: texts to redact.
    """
    changes = {str(folder).rstrip("/") + "/": instead for folder, instead in folders.items() if folder != Path("/")}
    changes |= {
        path: Path(path).name for word in words for path in _paths(word) if not any(path.startswith(each) for each in changes)
    }
    changes |= dict.fromkeys(hidden, REDACTED)
    if not changes:
        return value
    pattern = re.compile("|".join(re.escape(each) for each in sorted(changes, key=len, reverse=True)))
    sanitized_value: T = _mapped(value, lambda text: pattern.sub(lambda match: changes[match.group()], text))
    return sanitized_value


def renamed(value: T, names: Mapping[str, str]) -> T:
    """Replace names of files and longer texts, where they are whole words, in every text of an artifact or of plain data.

    Args:
        names: text to its replacement.
    """
    if not names:
        return value
    longest = sorted(names, key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest))})(?![\w-])")
    changed: T = _mapped(value, lambda text: pattern.sub(lambda match: names[match.group()], text))
    return changed


def _paths(word: str) -> tuple[str, ...]:
    """The absolute path in a word of a command line, such as `--plans=/data/plans` or `x:fp32:/data/x.npy`."""
    path = word[word.find("/") :] if re.search(r"(?:^|[=:,])/", word) else ""
    return (path,) if len(path) > 1 and not path.startswith("//") else ()


def _mapped(value: object, change: Callable[[str], str]) -> Any:
    if isinstance(value, Enum):
        return value  # a fixed key of tritonize, even if it is also a str
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Path):
        return Path(change(str(value)))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: _mapped(getattr(value, each.name), change) for each in fields(value) if each.init})
    if isinstance(value, Mapping):
        return {_mapped(name, change): _mapped(each, change) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_mapped(each, change) for each in value)
    return value
