"""Names of Kubernetes objects, derived from names of models."""

from __future__ import annotations

import re

import pytest

from tritonize.deploy import names

ODD = [
    "a_b",
    "a.b",
    "A-b",
    "a-b",
    "сердце",
    "心脏",
    "1st",
    "-",
    "a" * 255,
    "a" * 254 + "b",
    "a\nkind: Pod",
    "_",
    "x-",
    "$(rm)",
    "\udcff",
]


@pytest.mark.parametrize("longest", [names.LONGEST, names.LONGEST_JOB])
def test_every_name_has_a_label_of_its_own(longest: int) -> None:
    labels = names.labels(ODD, longest)
    assert set(labels) == set(ODD)
    assert len(set(labels.values())) == len(ODD)
    for label in labels.values():
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", label)
        assert len(label) <= longest
    assert labels["a-b"] == "a-b"
    assert labels == names.labels(reversed(ODD), longest)


def test_a_derived_label_is_never_that_of_a_model_with_such_a_name() -> None:
    """Somebody names a model like the label of another one."""
    (derived,) = names.labels(["a_b"]).values()
    labels = names.labels(["a_b", derived])
    assert labels[derived] == derived
    assert labels["a_b"] not in (derived, "a_b")
    assert labels["a_b"].startswith("a-b-")


@pytest.mark.parametrize(
    ("name", "valid"), [("heart", True), ("h", True), ("1h", False), ("h-", False), ("H", False), ("h" * 41, False)]
)
def test_labels_begin_with_a_letter(name: str, valid: bool) -> None:
    assert names.is_label(name) is valid
