"""The public functions without a model: what they take, and what they refuse before any work."""

from __future__ import annotations

import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tritonize
from tritonize import Progress
from tritonize.api import listening
from tritonize.api.model_description import OF_A_SOURCE, ModelDescription, place, specified
from tritonize.core import progress
from tritonize.core.errors import UsageError
from tritonize.spec.schema import Model


def test_a_description_has_every_field_of_a_model_in_a_spec() -> None:
    assert set(ModelDescription.__annotations__) - {"example", "name", "repository"} == set(Model.model_fields) - OF_A_SOURCE


@pytest.mark.parametrize("given", [{}, {"repository": "models", "golden": "heart.golden"}])
def test_verify_takes_a_repository_or_a_golden_file(given: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        tritonize.verify(**given)
    assert caught.value.code == "api-verify-what"


def test_a_golden_file_is_of_one_model() -> None:
    with pytest.raises(UsageError) as caught:
        tritonize.verify(golden="heart.golden", urls=["http://127.0.0.1:1"], models=["a", "b"])
    assert caught.value.code == "golden-several-models"


@pytest.mark.parametrize("function", [tritonize.run, tritonize.build, tritonize.measure_tolerance])
def test_editors_and_type_checkers_know_the_keyword_arguments(function: Callable[..., object]) -> None:
    assert typing.get_type_hints(function)["description"] == typing.Unpack[ModelDescription]


def test_a_spec_takes_no_description() -> None:
    with pytest.raises(UsageError, match="spec"):
        tritonize.run("heart.yaml", max_batch_size=2)
    with pytest.raises(UsageError) as caught:
        tritonize.build(3)
    assert caught.value.found == "a int"


def test_files_that_do_not_exist_are_errors(tmp_path: Path) -> None:
    for call in (
        lambda: tritonize.read_golden(tmp_path / "none.golden"),
        lambda: tritonize.write_golden(tmp_path, "heart"),
        lambda: tritonize.diff(tmp_path, "heart", before=1, after=2),
        lambda: tritonize.build_plans(tmp_path / "request.json", tmp_path / "out"),
        lambda: tritonize.check_plan(tmp_path / "none.plan"),
        lambda: tritonize.collect_plans([tmp_path / "none"], tmp_path / "out"),
        lambda: tritonize.prove_plans([tmp_path], tmp_path / "question"),
        lambda: tritonize.request_plans(tmp_path / "none.yaml", tmp_path / "out"),
    ):
        with pytest.raises(tritonize.TritonizeError):
            call()


def test_progress_and_lines_of_text_reach_the_same_callback() -> None:
    seen: list[Progress] = []
    with listening.lines(seen.append) as on_line:
        progress.report(done=1, total=4, unit="sample")
        assert on_line is not None
        on_line("install the server")
    progress.report(done=2, total=4, unit="sample")
    assert seen == [Progress(done=1, total=4, unit="sample"), Progress(text="install the server")]
    with listening.lines(None) as on_line:
        assert on_line is None


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"precision": "fp17"}, "precision: unknown value 'fp17'; did you mean 'fp16'?"),
        ({"exmple": 3}, "exmple: unknown keyword argument; did you mean example?"),
        ({"outputs": {"y": {"tolerence": {}}}}, "outputs.y.tolerence: unknown key; did you mean 'tolerance'?"),
        ({"name": "a/b"}, "name: "),
    ],
)
def test_a_model_file_takes_a_description_whose_problems_are_named(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        tritonize.build("net.pt", **given)
    (found,) = caught.value.details
    assert found.startswith(problem)


def test_a_model_file_and_a_factory_are_specified_like_an_object() -> None:
    with specified("nets/my net.pt", {"example": np.zeros((1, 3), np.float32), "max_batch_size": 4}) as spec:
        (name,) = spec.models
        model = spec.models[name]
        assert (name, model.source, model.max_batch_size) == ("my_net", "nets/my net.pt", 4)
        assert model.inputs["INPUT__0"].shape == ["batch", 3]
    with specified("package.nets:make", {"name": "net", "repository": "models"}) as spec:
        assert (list(spec.models), str(spec.repository)) == (["net"], "models")
    assert (place("nets/heart.yaml"), place("net.pt"), place("nets:make"), place(object())) == (
        "heart.yaml",
        "Python",
        "Python",
        "Python",
    )
