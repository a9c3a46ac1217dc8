"""A repository at an address, as a copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import plain_versions
from tritonize.cli import repositories
from tritonize.core.errors import UsageError


@pytest.fixture
def address(tmp_path: Path) -> str:
    for name in ("first", "second"):
        (tmp_path / "models" / name / "1").mkdir(parents=True)
        (tmp_path / "models" / name / "config.pbtxt").write_text(plain_versions.config(name))
        (tmp_path / "models" / name / "1" / "model.onnx").write_bytes(b"x")
    return f"file://{tmp_path / 'models'}"


def test_a_copy_has_the_named_models_alone(address: str) -> None:
    with repositories.opened(address, ["first"], depth="ALL") as root:
        assert [path.name for path in root.iterdir()] == ["first"]


@pytest.mark.parametrize("names", [["third"], ["first", "third"]])
def test_a_model_that_is_not_there_is_named_with_those_that_are(address: str, names: list[str]) -> None:
    with pytest.raises(UsageError) as caught, repositories.opened(address, names, depth="ALL"):
        pass
    assert (caught.value.code, caught.value.found, caught.value.expected) == ("repository-no-model", "third", "first, second")
    assert caught.value.where == address
