"""Commands that read a repository at an address, here `file://`: what the private copy has, and what errors about it say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonize.cli import repositories
from tritonize.core.errors import RepositoryError

ENSEMBLE = """name: "{name}"
platform: "ensemble"
ensemble_scheduling {{ step [ {{ model_name: "{step}" model_version: -1 }} ] }}
"""


def test_a_copy_of_an_ensemble_has_the_models_of_its_steps(tmp_path: Path) -> None:
    for name, text in {
        "whole": ENSEMBLE.format(name="whole", step="inner"),
        "inner": ENSEMBLE.format(name="inner", step="model"),
        "model": 'name: "model"\nbackend: "onnxruntime"\n',
        "other": 'name: "other"\nbackend: "onnxruntime"\n',
    }.items():
        (tmp_path / "store" / name / "1").mkdir(parents=True)
        (tmp_path / "store" / name / "config.pbtxt").write_text(text)
        (tmp_path / "store" / name / "1/model.onnx").write_bytes(b"weights")
    with repositories.opened(f"file://{tmp_path}/store", ["whole"], depth="ALL") as copy:
        assert sorted(each.name for each in copy.iterdir()) == ["inner", "model", "whole"]
        assert (copy / "model/1/model.onnx").read_bytes() == b"weights"
    assert not copy.exists()


def test_an_error_about_the_copy_names_the_address(tmp_path: Path) -> None:
    (tmp_path / "store/m").mkdir(parents=True)
    (tmp_path / "store/m/config.pbtxt").touch()
    address = f"file://{tmp_path}/store"
    with pytest.raises(RepositoryError) as caught, repositories.opened(address, (), depth="MANIFESTS") as copy:
        raise RepositoryError(f"no {copy}", where=f"{copy}/m", found=str(copy), next_step=f"look at {copy}", details=[f"in {copy}"])
    assert str(copy) not in str(caught.value)
    assert str(caught.value).count(address) == 5
