"""Valid names of models and tensors, and a valid model name for any file name.

Measured with Triton 2.51: a tensor may have any name over HTTP, gRPC and shared memory (`x:0`, `onnx::MatMul_0`, `a/b`, `图像`).
A model may not. Triton's HTTP server does not decode the URL, and clients encode everything but ASCII letters, digits and `_.-~`
as `%D1%81…`. So HTTP clients do not find a model named `сердце`, while gRPC does (and HTTP, where the bytes come as they are, which
no client library sends). `resnet50-v1.5` is found over both.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Sequence
from urllib.parse import quote

_MODEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_-])?")
_LONGEST_FILE = 200
"""Longest file name in bytes: below the filesystem's 255, to leave room for a prefix and a suffix."""

_SPELLED = """
а a б b в v г g д d е e ё e ж zh з z и i й i к k л l м m н n о o п p р r с s т t у u ф f х kh ц ts ч ch ш sh щ shch ъ - ы y ь -
э e ю iu я ia є ie і i ї i ґ g ў u
α a β v γ g δ d ε e ζ z η i θ th ι i κ k λ l μ m ν n ξ x ο o π p ρ r σ s ς s τ t υ y φ f χ ch ψ ps ω o
ß ss æ ae œ oe ø o ł l đ d ð d þ th ı i
"""
"""Letters with their transliteration; `-` for a silent letter."""
_WORDS = _SPELLED.split()
_LETTERS = {letter: text.strip("-") for letter, text in zip(_WORDS[::2], _WORDS[1::2], strict=True)}


def listed(known: Sequence[str], wanted: str = "", *, most: int = 10) -> str:
    """The known names in one line; of more than `most` those most like the wanted one, and how many others there are."""
    if len(known) <= most:
        return ", ".join(known)
    alike = difflib.get_close_matches(wanted, known, n=most, cutoff=0.6)
    first = [*alike, *(name for name in known if name not in alike)][:most]
    return f"{', '.join(first)} and {len(known) - most:,} more"


def is_model(name: str) -> bool:
    """Whether the name is valid for a model, which becomes a folder and a part of a URL."""
    return bool(_MODEL.fullmatch(name))


def is_tensor(name: str) -> bool:
    """Whether the name is valid for an input or output: printable text, without a `..` that leaves the folder of an `.npz` file."""
    return bool(name) and name.isprintable() and name == name.strip() and ".." not in re.split(r"[/\\]", name)


def model(text: str) -> str:
    """A valid model name for any text.

    ASCII letters stay, other letters are transliterated, and letters without a transliteration become `u` and their code point.
    `Сердце v2` becomes `Serdtse_v2`, and `心脏` becomes `u5FC3u810F`.
    """
    spelled = "".join(_spelled(letter) for letter in unicodedata.normalize("NFC", text))
    return re.sub(r"^-+", lambda found: "_" * len(found[0]), spelled) or "_"


def _spelled(letter: str) -> str:
    if letter.isascii():
        return letter if re.fullmatch(r"[A-Za-z0-9_-]", letter) else "_"
    known = _LETTERS.get(letter, _LETTERS.get(letter.lower()))
    if known is not None:
        return known.capitalize() if letter != letter.lower() else known
    parts = unicodedata.normalize("NFKD", letter)
    base = "".join(_LETTERS.get(each, each) for each in parts if not unicodedata.combining(each))
    if base and base.isascii():
        return re.sub(r"[^A-Za-z0-9_-]", "_", base)
    return "_" if unicodedata.category(letter)[0] in "PZC" else f"u{ord(letter):04X}"


def file_name(tensor: str) -> str:
    """A tensor's name as part of a file name: percent-encoded, and shortened with a hash if it is long."""
    name = quote(tensor, safe="")
    return name if len(name) <= _LONGEST_FILE else f"{name[:_LONGEST_FILE]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
