"""One real server for all tests that only ask it something; started once per test process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tritonize.triton.server import embedded


@pytest.fixture(scope="session")
def served_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with the models of `server_models`."""
    from tests.support import server_models  # it imports onnx, which unit tests may not

    return server_models.repository(tmp_path_factory.mktemp("served") / "repository")


@pytest.fixture(scope="session")
def server(served_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Running]:
    """The embedded server on that repository."""
    from tritonize.triton.server import embedded

    with embedded.start(served_repository, directory=tmp_path_factory.mktemp("server")) as running:
        yield running
