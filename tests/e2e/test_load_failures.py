"""One start of the server with a repository of broken models: the reason of each is read and explained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support import broken_models
from tritonize.core.errors import ServerError
from tritonize.triton import acceptance, remote
from tritonize.triton.acceptance import Answer
from tritonize.triton.load_failures import lookup
from tritonize.triton.server import embedded

pytestmark = pytest.mark.server
UNKNOWN = {"python_raises": "no weights"}
"""Models whose reason is their own."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("broken") / "repository"
    broken_models.write(root)
    return root


@pytest.fixture(scope="module")
def answers(repository: Path) -> Iterator[Mapping[str, Answer]]:
    names = sorted(each.name for each in repository.iterdir())
    yield acceptance.ask(repository, names, directory=repository.parent / "run")


def test_each_model_is_refused_for_its_reason_and_explained(answers: Mapping[str, Answer]) -> None:
    assert {name for name, answer in answers.items() if answer.loaded} == {"good", "wide"}
    reasons = {name: answer.reason for name, answer in answers.items() if not answer.loaded}
    found = {name: known.code if (known := lookup.explain(reason)) else reason for name, reason in reasons.items()}
    assert found == broken_models.CODES | UNKNOWN


def test_a_python_model_without_a_file_does_not_make_the_start_hang(repository: Path, tmp_path: Path) -> None:
    broken_models.server_models.write(tmp_path / "repository", "step", broken_models.server_models.DOUBLING)
    with (
        pytest.raises(ServerError) as caught,
        embedded.start(tmp_path / "repository", directory=tmp_path / "run", ready_timeout_s=120),
    ):
        pass
    assert caught.value.code == "server-model-refused"
    assert caught.value.where == "step, the version directory; config.pbtxt: default_model_filename"
    assert caught.value.cause == "the version directory has no model.py"


def test_the_index_of_a_running_server_has_the_reason(repository: Path, tmp_path: Path) -> None:
    from tritonize.triton import client

    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "input_type").symlink_to(repository / "input_type")
    with (
        embedded.start(tmp_path / "repository", directory=tmp_path / "run", all_loaded=False) as server,
        client.connect_to(server, "grpc") as connection,
    ):
        error = remote._not_ready(connection, "input_type", 1, seconds=0.1)
    assert error.next_step == "write data_type: TYPE_FP32 for B"
