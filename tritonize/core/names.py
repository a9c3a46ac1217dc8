"""What models and tensors may be called, and what a model is called after a file whose name cannot be taken.

Measured with Triton 2.51. A tensor may have any name over HTTP, gRPC and shared memory: `x:0`, `onnx::MatMul_0`, `a/b`, `图像`.
A model may not: HTTP looks for the text of the URL as it is, and clients write everything but ASCII letters, digits and `_.-~` as
`%D1%81…`, so `сердце` is an unknown model there, while gRPC finds it.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from urllib.parse import quote

_MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_LONGEST_FILE = 200
"""Bytes of a file's name, with room for what is put around it."""

_SPELLED = """
а a б b в v г g д d е e ё e ж zh з z и i й i к k л l м m н n о o п p р r с s т t у u ф f х kh ц ts ч ch ш sh щ shch ъ - ы y ь -
э e ю iu я ia є ie і i ї i ґ g ў u
α a β v γ g δ d ε e ζ z η i θ th ι i κ k λ l μ m ν n ξ x ο o π p ρ r σ s ς s τ t υ y φ f χ ch ψ ps ω o
ß ss æ ae œ oe ø o ł l đ d ð d þ th ı i
"""
"""Letters and how they are spelled; `-` where they have no sound."""
_WORDS = _SPELLED.split()
_LETTERS = {letter: text.strip("-") for letter, text in zip(_WORDS[::2], _WORDS[1::2], strict=True)}


def is_model(name: str) -> bool:
    """Whether a model may be called so: it becomes a folder and a part of a URL."""
    return bool(_MODEL.fullmatch(name))


def is_tensor(name: str) -> bool:
    """Whether an input or an output may be called so: any text that can be printed, and does not lead out of an `.npz` file."""
    return bool(name) and name.isprintable() and name == name.strip() and ".." not in re.split(r"[/\\]", name)


def model(text: str) -> str:
    """A model's name for any text: ASCII stays, other letters are spelled out, those without a spelling are `u` and their number.

    So `Сердце v2` is `Serdtse_v2` and `心脏` is `u5FC3u810F`.
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
    """A tensor's name as part of a file's: what is fit for one stays as it is."""
    name = quote(tensor, safe="")
    return name if len(name) <= _LONGEST_FILE else f"{name[:_LONGEST_FILE]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
