"""Models without a config.pbtxt, which Triton makes from the model file: what every command says of them. No server but a fake."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest

from tests.support import fake_triton, tiny_onnx
from tests.support import hostile_server as hostile
from tests.support.command import invoke
from tests.support.plain_versions import publish
from tritonize import repository
from tritonize.core.errors import RepositoryError
from tritonize.triton import model_config
from tritonize.workflows import packing, pruning

PLACE = Path("models")
ONNX = tiny_onnx.identity([("X", tiny_onnx.FLOAT, ["b", 3])], [("Y", tiny_onnx.FLOAT, ["b", 3])])
MADE = "backend onnxruntime, max_batch_size 4, input X TYPE_FP32 [3], output Y TYPE_FP32 [3], dynamic_batching"


@pytest.fixture(autouse=True)
def _models() -> None:
    for version in ("1", "2"):
        (PLACE / "bare" / version).mkdir(parents=True)
        (PLACE / "bare" / version / "model.onnx").write_bytes(ONNX)
    (PLACE / "stray").mkdir()
    publish(PLACE, "proven", name="m")


def said(*arguments: str, code: int) -> str:
    done = invoke(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


def test_they_are_models_and_a_lost_configuration_makes_no_model_one_of_them() -> None:
    assert repository.models(PLACE) == ("bare", "m")
    assert repository.read_config(PLACE, "bare") == ""
    (PLACE / "m/config.pbtxt").unlink()
    assert repository.models(PLACE) == ("bare", "m")
    assert repository.completed_by_triton(PLACE / "m") is None
    with pytest.raises(RepositoryError):
        repository.read_config(PLACE, "m")


def test_verify_shows_the_configuration_that_triton_makes() -> None:
    told = said("verify", "models", "-m", "bare", code=3)
    assert "NOT PROVEN bare version 2: The version has no evidence" in told
    assert f"Triton makes this configuration from model.onnx: {MADE}." in told
    assert "tritonize config models/bare --write" in told
    assert "no such model" not in told


def test_the_other_commands_know_them_too() -> None:
    assert "config none; Triton makes it from the model file" in said("show", "models", "bare", code=0)
    assert "no evidence" in said("golden", "export", "models", "bare", code=6)
    (bare, _) = pruning.prune(pruning.Request(repository=PLACE, keep=1, dry_run=True))
    assert (bare.served, bare.removed, bare.foreign, bare.error) == ((2,), (), (1,), None)
    assert packing.pack(PLACE, Path("out"), ["bare"]).versions == {"bare": (2,)}
    assert "has no config.pbtxt, where the version to serve would be written" in said("promote", "models", "bare", "1", code=6)
    assert "'bare' has no config.pbtxt, and a store needs one" in said(
        "push", "models", f"file://{Path('s').absolute()}", "bare", code=6
    )


def test_the_configuration_is_kept_once() -> None:
    written = said("config", "models/bare", "--write", code=0)
    assert written == "wrote models/bare/config.pbtxt"
    config = model_config.parse((PLACE / "bare/config.pbtxt").read_text(), where="")
    assert (config["name"], config["max_batch_size"]) == ("bare", 4)
    assert "nothing is overwritten" in said("config", "models/bare", "--write", code=2)
    assert "no version with a model file" in said("config", "models", "--write", code=2)


def test_a_version_that_was_proven_without_one_is_proven_again() -> None:
    shutil.copytree(PLACE / "m/1/evidence", "models.evidence/bare/1")
    assert "rm -r" in said("config", "models/bare", "--write", code=2)
    assert not (PLACE / "bare/config.pbtxt").exists()


def test_the_configuration_of_a_running_server_is_marked_as_its_own() -> None:
    served = {"name": "bare", "platform": "onnxruntime_onnx", "backend": "onnxruntime", "max_batch_size": 9}
    served |= {"input": [{"name": "X", "data_type": "TYPE_FP32", "dims": [3]}]}

    def triton(peer: socket.socket) -> None:
        while head := hostile.request(peer).decode():
            answer = served if "/config" in head else fake_triton.DESCRIPTION
            peer.sendall(hostile.http(json.dumps(answer).encode()))

    with hostile.listening(triton) as address:
        printed = invoke("config", "models/bare", "--url", f"http://{address}")
        told = said("verify", "models", "-m", "bare", "--url", f"http://{address}", code=3)
        assert "does not apply" in said("config", "models/bare", "--url", f"http://{address}", "--max-batch-size", "2", code=2)
    assert printed.stdout.startswith(f"# Made by the server at http://{address}, with the fields that it completed.\n")
    assert model_config.parse(printed.stdout, where="")["max_batch_size"] == 9
    assert f"The server at http://{address} made this configuration: backend onnxruntime, max_batch_size 9, input X" in told
