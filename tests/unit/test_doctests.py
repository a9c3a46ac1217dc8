"""The examples in docstrings that need neither PyTorch nor a server."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

import tritonize

WITH_A_MODEL = ("api/building.py", "api/verifying.py")
"""tests/e2e/test_api_examples.py runs their examples."""


def modules() -> list[str]:
    code = Path(tritonize.__file__).parent
    files = [
        path.relative_to(code).as_posix() for path in sorted(code.rglob("*.py")) if re.search(r"^ *>>> ", path.read_text(), re.M)
    ]
    assert set(WITH_A_MODEL) < set(files)
    return [name for name in files if name not in WITH_A_MODEL]


@pytest.mark.parametrize("name", modules())
def test_the_examples_of_a_docstring_hold(name: str) -> None:
    module = importlib.import_module(f"tritonize.{name.removesuffix('.py').replace('/', '.')}")
    result = doctest.testmod(module, report=True)
    assert result.attempted
    assert result.failed == 0
