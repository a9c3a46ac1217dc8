"""From which integers samples are drawn: the model's own, the spec's, or a default that is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny_onnx import FLOAT, INT64, message, number, text, value_info
from tritonize.core import arrays
from tritonize.core.artifacts import Source
from tritonize.core.conclusion import default_ranges
from tritonize.core.errors import UsageError
from tritonize.core.recorder import Recorder
from tritonize.core.reports import Report
from tritonize.report import brief
from tritonize.source import drawing, file_inputs, integer_ranges
from tritonize.spec import schema

ONNX = Source(kind="onnx", location="m.onnx", sha256={})


def model(**tokens: object) -> schema.Model:
    """Tokens select from 100 rows; counts select nothing."""
    table = message(5, number(1, 100) + number(1, 8) + number(2, FLOAT) + text(8, "table"))
    gather = message(1, text(1, "table") + text(1, "tokens") + text(2, "y") + text(4, "Gather"))
    inputs = b"".join(message(11, value_info((name, INT64, ["batch", 50]))) for name in ("tokens", "counts"))
    Path("m.onnx").write_bytes(number(1, 8) + message(7, gather + table + inputs) + message(8, number(2, 18)))
    given = {"dtype": "int64", "shape": ["batch", 50]}
    described = {"source": "m.onnx", "max_batch_size": 2, "inputs": {"tokens": {**given, **tokens}, "counts": given}}
    return file_inputs.checked(schema.Model.model_validate(described), ONNX)


def test_indices_are_drawn_from_all_rows_and_a_default_is_said() -> None:
    notes = []
    completed = model()
    drawn = drawing.draw(completed, ONNX, Path("work"), recorder=Recorder(lambda _name, stage: notes.append(stage and stage.note)))
    assert notes[-1] == "4 samples, generated, seed 0; tokens 0 to 99, counts 0 to 9 by default"
    tokens = np.stack([arrays.load(drawn.samples.files, index)["tokens"] for index in range(4)])
    assert tokens.min() < 5
    assert 94 < tokens.max() < 100
    edges = {name: arrays.load(drawn.samples.files, index)["tokens"].flat[0] for index, name in drawn.samples.edges.items()}
    assert edges["largest"] == 99
    ranges = integer_ranges.defaults(completed, drawn.samples)
    assert ranges == {"counts": (0, 9)}
    report = Report(command="run", model="m", version=1, verdict="passed", details={"samples": {"default_ranges": ranges}})
    (said,) = default_ranges(report)
    assert said == "counts: integers from 0 to 9, a default: if it takes others, state its range: in the spec"
    assert any("counts: integers from 0 to 9" in line for line in brief.lines(report))


def test_a_range_of_the_spec_stays_and_one_that_leads_outside_is_a_usage_error() -> None:
    assert model(range=[-100, 50]).inputs["tokens"].range == (-100, 50)
    assert model(distribution="one_hot").inputs["tokens"].range is None
    for outside in ([0, 100], [-101, 5]):
        with pytest.raises(UsageError, match="'tokens' leads outside of the 100 rows") as error:
            model(range=outside)
        assert error.value.expected == "[0, 99]"


def test_samples_of_files_have_no_range() -> None:
    own = model().model_copy(update={"samples": schema.Samples(files="*.npz")})
    assert list(integer_ranges.drawn_inputs(own)) == []
