"""The step before the text network, as Triton's Python backend runs it: an array of text in, an array of ids out."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

LENGTH = 12
"""Words of a text that the network reads."""


def words() -> dict[str, int]:
    """Return the vocabulary, from word to id; the file lies beside this one, here and in Triton."""
    lines = (Path(__file__).parent / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
    return {word: number for number, word in enumerate(lines, start=2)}


VOCABULARY = words()


def tokenize(text: np.ndarray) -> np.ndarray:
    """Turn texts [batch, 1] into ids, int64 [batch, LENGTH]: 0 after the last word, 1 for a word outside the vocabulary.

    Text that is not UTF-8 raises UnicodeEncodeError: bytes that are no characters are surrogates in `str`.
    """
    ids = np.zeros((len(text), LENGTH), np.int64)
    for row, one in zip(ids, text[:, 0], strict=True):
        one.encode()
        found = [VOCABULARY.get(word, 1) for word in re.findall(r"[a-z]+", one.lower())[:LENGTH]]
        row[: len(found)] = found
    return ids
