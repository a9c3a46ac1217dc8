"""The corpus: the composition of the table, and a sample of its architectures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from corpus.catalogue import CATALOGUE, COMPOSITION, SAMPLE, entry
from corpus.trial import KINDS, try_entry

DEADLINE = 120.0


def test_the_composition_is_fixed():
    assert Counter(each.family for each in CATALOGUE) == COMPOSITION
    assert len({each.name for each in CATALOGUE}) == len(CATALOGUE)


def test_the_sample_needs_torch_alone():
    assert all(not entry(name).packages for name in SAMPLE)


def sample() -> Iterator[object]:
    """Every entry in both kinds: by turns one with the others, and one in `make test-slow`."""
    for number, name in enumerate(SAMPLE):
        for kind in KINDS:
            slow = KINDS.index(kind) != number % len(KINDS) or name in ("lstm", "scatter_add")  # for their time
            yield pytest.param(name, kind, id=f"{name}-{kind}", marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize(("name", "kind"), list(sample()))
def test_a_sample_is_right(name: str, kind: str):
    result = try_entry(entry(name), kind, DEADLINE)
    assert result.verdict == "right", result.reason
