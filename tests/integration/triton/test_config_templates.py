"""Templates of the user's for config.pbtxt, which a confined worker renders."""

from __future__ import annotations

import pytest

from tests.support.model_configs import CASES
from tritonize.core.errors import UsageError
from tritonize.triton import model_config


def test_a_template_of_the_user_is_rendered(tmp_path):
    path = tmp_path / "mine.j2"
    path.write_text('name: {{ name | pbtxt }}\nmax_batch_size: {{ max_batch_size }}\nbackend: "custom"\n')
    assert 'backend: "custom"' in model_config.render(
        "labels", CASES["labels"][0].model_copy(update={"template": path}), CASES["labels"][1]
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name: {{ nam }}", "cannot be used"),
        ("{% if %}", "cannot be used"),
        ("name: {{ name | pbtxt }}\nmax_batch_size: 2\nno_such_field: 1", "Invalid model configuration"),
        ('name: "other"\nmax_batch_size: 8', "differs from the spec"),
        ("name: {{ name | pbtxt }}", "differs from the spec"),
    ],
)
def test_an_invalid_template_is_rejected(text, reason, tmp_path):
    path = tmp_path / "bad.j2"
    path.write_text(text)
    with pytest.raises(UsageError, match=reason):
        model_config.render("labels", CASES["labels"][0].model_copy(update={"template": path}), CASES["labels"][1])
