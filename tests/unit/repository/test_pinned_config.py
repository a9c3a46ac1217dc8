"""The configuration of a pinned version: text in, text out."""

from __future__ import annotations

import pytest

from tritonize.repository import pinned_config
from tritonize.triton import model_config

PINNED = 'name: "m"\nbackend: "x"\n# Written by tritonize promote or rollback: the proven configuration of version 7, which alone is served.\nversion_policy { specific { versions: [ 7 ] } }\n'  # noqa: E501
CONFIGS = [
    'name: "m"\nbackend: "x"\n',
    'name: "m"\nversion_policy { latest { num_versions: 3 } }\nbackend: "x"',
    'name: "m"\nversion_policy: < all: { } >, backend: "x"\n',
    'name: "m"\nversion_policy # { latest\n: { # }\n  specific { versions: [1, 2] } }; backend: "x"\n',
    'version_policy{specific{versions:1}}name: "m"\nbackend: "x"\n',
]


@pytest.mark.parametrize("text", CONFIGS)
def test_the_policy_is_replaced_and_all_else_stays(text):
    found = pinned_config.with_pin(text, 7)
    assert pinned_config.pinned_version(found) == 7
    before, after = (dict(model_config.parse(each, where="")) for each in (text, found))
    assert after.pop("version_policy") == {"specific": {"versions": ["7"]}}
    before.pop("version_policy", None)
    assert after == before == {"name": "m", "backend": "x"}
    assert found.endswith(PINNED[PINNED.index("# Written") :])


def test_a_policy_inside_a_text_or_a_nested_field_stays():
    text = 'name: "version_policy { all { } } \\" version_policy { }"\n'
    text += 'parameters { key: "version_policy" value { string_value: "{" } }\n'
    found = pinned_config.with_pin(text, 2)
    assert found.startswith(text)
    assert model_config.parse(found, where="")["name"] == 'version_policy { all { } } " version_policy { }'


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("versions: [ 7 ]", "versions: [ 8 ]"),
        lambda text: text.replace("version 7", "version 8"),
        lambda text: text + "\n",
        lambda text: text.rstrip("\n"),
        lambda text: text[: text.index("version_policy")],
    ],
)
def test_a_changed_ending_is_no_pin(change):
    assert pinned_config.pinned_version(PINNED) == 7
    assert pinned_config.pinned_version(change(PINNED)) is None
