"""Texts that only the Python parser of protobuf reads, and that Triton refuses."""

from __future__ import annotations

import pytest

from tritonize.core.errors import UsageError
from tritonize.triton import config_changes, model_config

CONFIG = """# a comment\u00a0with 1_000 and \\e
name: "a\u00a0\u4e2d 1_0 +2 \\x41\\101\\n\\u00e9"
max_batch_size: 0x10;
input [ { name: 'x_1', data_type: TYPE_FP32, dims: [ -1, 4 ] } ]
parameters < key: "k" value: < string_value: "1e+3" > >
dynamic_batching { preserve_ordering: true }
model_metrics { metric_control { histogram_options { buckets: [ 1e+3, .5, 2.5e-1 ] } } }
"""


def test_what_triton_reads_is_read() -> None:
    found = model_config.parse(CONFIG, where="")
    assert (found["name"], found["max_batch_size"]) == ("a\u00a0\u4e2d 1_0 +2 AA\n\u00e9", 16)
    assert config_changes.between(CONFIG, CONFIG.replace("\n", "\r\n").replace("0x10;", "16")) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("size:\u00a016", "3:16 : The character U+00A0"),
        ("size:\u300016", "U+3000"),
        ("size: 16\x1f", "U+001F"),
        ("size: +16", "3:17 : The character U+002B"),
        ("size: 1_6", "3:17 : The number 1_6"),
        ("size: 0b10000", "The number 0b10000"),
        ("size: 0o20", "The number 0o20"),
    ],
)
def test_what_only_python_reads_is_refused(wrong: str, said: str) -> None:
    text = CONFIG.replace("size: 0x10;", wrong)
    assert text != CONFIG
    with pytest.raises(UsageError) as caught:
        model_config.parse(text, where="config.pbtxt")
    assert said in caught.value.found
    assert config_changes.between(CONFIG, text)  # it does not say the same


@pytest.mark.parametrize("escape", ["\\e", "\\N{DIGIT ONE}", "\\?"])
def test_escapes_that_mean_something_else_in_triton_are_refused(escape: str) -> None:
    with pytest.raises(UsageError, match="The escape"):
        model_config.parse(f'name: "{escape}"', where="config.pbtxt")
