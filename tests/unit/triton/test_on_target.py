"""Loading a version into a running server that misbehaves; `tests/e2e/test_on_target.py` uses a real one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from tritonize.core import deadline
from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import InferenceError, ServerError, TritonizeError
from tritonize.core.messages import client as client_messages
from tritonize.triton import on_target
from tritonize.triton.on_target import Part

BOTH = ServerHandle(http_url="h:1", grpc_url="h:2")


def refusal(text: str) -> InferenceError:
    return InferenceError.of(client_messages.REFUSED, where="http, h:1", found=text)


@dataclass
class Fake:
    """A server that loads every model, unless it is told otherwise."""

    refusals: dict[str, TritonizeError] = field(default_factory=dict)
    """Transport and action, such as `grpc load`, to the error."""
    ready: dict[str, bool] = field(default_factory=dict)
    """Transport to what it says of every model."""
    asked: list[str] = field(default_factory=list)
    models: dict[str, Mapping[str, bytes]] = field(default_factory=dict)


class Connection:
    def __init__(self, fake: Fake, transport: str) -> None:
        self.fake, self.transport, self.where = fake, transport, f"{transport}, h:1"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _ask(self, action: str) -> None:
        self.fake.asked.append(f"{self.transport} {action}")
        if (error := self.fake.refusals.get(self.fake.asked[-1])) is not None:
            raise error

    def load(self, name: str, config: str, files: Mapping[str, bytes]) -> None:
        self._ask("load")
        self.fake.models[name] = files

    def unload(self, name: str) -> None:
        self._ask("unload")
        self.fake.models.pop(name, None)

    def model_ready(self, name: str, _version: str = "") -> bool:
        return self.fake.ready.get(self.transport, name in self.fake.models)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr(on_target.client, "connect_to", lambda _server, transport: Connection(made, transport))
    return made


@pytest.fixture
def part(tmp_path: Path) -> Part:
    (tmp_path / "model.onnx").write_bytes(b"weights")
    return Part(
        name="m", loaded_as="proof-m", version=7, config={"name": "proof-m"}, files={"7/model.onnx": tmp_path / "model.onnx"}
    )


def test_grpc_is_asked_first_and_http_where_grpc_is_restricted(fake: Fake, part: Part) -> None:
    with on_target.loaded(BOTH, [part]) as found:
        assert fake.models == {"proof-m": {"7/model.onnx": b"weights"}}
    assert (found.model, found.how) == ("proof-m", "its files were sent with the load request over gRPC")
    assert fake.asked == ["grpc load", "grpc unload"]
    assert fake.models == {}

    fake.asked.clear()
    restricted = refusal("This API is restricted, expecting header 'k'")
    fake.refusals = {"grpc load": restricted, "grpc unload": restricted}
    with on_target.loaded(BOTH, [part]) as found:
        assert found.how.endswith("over HTTP")
    assert fake.asked == ["grpc load", "http load", "grpc unload", "http unload"]

    fake.refusals |= {"http load": restricted}
    with pytest.raises(ServerError) as caught, on_target.loaded(BOTH, [part]):
        pass
    assert caught.value.code == "target-control-restricted"
    assert caught.value.details == ()  # nothing was loaded, so nothing remains


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (refusal("Request JSON size of 9 bytes exceeds the maximum allowed value of 1 bytes. Use --http-max-input-size"), "large"),
        (ServerError.of(client_messages.REQUEST_TOO_LARGE, where="http", status="HTTP status 413"), "large"),
        (InferenceError.of(client_messages.FILES_TOO_LARGE, where="grpc"), "large"),
        (refusal("explicit model load / unload is not allowed if polling is enabled"), "target-not-explicit"),
        (refusal("failed to load 'proof-m', failed to poll from model repository"), "target-not-in-repository"),
        (refusal("load failed for model 'm': Internal: onnx runtime error 7"), "server-model-refused"),
        (ServerError.of(client_messages.UNAUTHORIZED, where="http", status="HTTP status 401"), client_messages.UNAUTHORIZED.code),
    ],
)
def test_each_refusal_has_a_sentence_of_its_own(error: TritonizeError, code: str, fake: Fake, part: Part) -> None:
    fake.refusals = {"grpc load": error}
    with pytest.raises(ServerError) as caught, on_target.loaded(BOTH, [part]):
        pass
    assert caught.value.code == ("target-files-too-large" if code == "large" else code)
    assert fake.asked[-1] == "grpc unload"  # it may have been loaded after all


def test_a_name_that_is_ready_before_anything_was_loaded_is_no_proof(fake: Fake, part: Part) -> None:
    fake.ready = {"http": True}
    with pytest.raises(ServerError) as caught, on_target.loaded(BOTH, [part]):
        pass
    assert caught.value.code == "target-name-taken"
    assert "grpc load" not in fake.asked


def test_a_version_that_stays_loaded_is_said_whatever_ended_the_proof(fake: Fake, part: Part) -> None:
    fake.refusals = {"grpc unload": refusal("no")}
    with pytest.raises(ServerError) as caught, on_target.loaded(BOTH, [part]):
        pass
    assert caught.value.code == "target-still-loaded"
    assert "proof-m" in caught.value.what

    fake.models.clear()
    wrong = ServerError("wrong", details=["first"])
    with pytest.raises(ServerError) as caught, on_target.loaded(BOTH, [part]):
        raise wrong
    assert caught.value is wrong
    assert wrong.details[0] == "first"
    assert "proof-m" in wrong.details[1]

    fake.models.clear()
    with pytest.raises(ServerError) as caught, on_target.loaded(BOTH, [part]):
        _interrupt()
    assert caught.value.code == "target-still-loaded"
    assert isinstance(caught.value.__cause__, KeyboardInterrupt)


def test_a_server_that_answers_no_more_may_have_the_model(fake: Fake, part: Part) -> None:
    fake.refusals = {"grpc unload": ServerError.of(client_messages.SERVER_UNREACHABLE, where="grpc")}
    with pytest.raises(ServerError) as caught, on_target.loaded(BOTH, [part]):
        fake.models.clear()  # `model_ready` is false of a server that cannot be reached
    assert caught.value.code == "target-still-loaded"


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_what_is_undone_at_the_end_has_time_after_the_deadline() -> None:
    with deadline.within(0), deadline.extended(5):
        assert 4 < deadline.left() <= 5
        with deadline.within(1):
            assert deadline.left() <= 1
    with deadline.within(60), deadline.extended(5):
        assert deadline.left() > 50
