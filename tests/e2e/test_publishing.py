"""A server that polls a repository while versions are published, promoted, rolled back and pruned."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import small_versions
from tritonize import repository
from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import InferenceError
from tritonize.core.messages import client as messages
from tritonize.triton import client, serving
from tritonize.triton.server import embedded
from tritonize.workflows import promotion

Seen = Counter[tuple[int, int]]
"""Version whose outputs a response has, and the largest batch of the configuration, to the number of such responses."""
ONES = {"x": np.ones((1, 16), np.float32)}


def publish(root: Path, number: int) -> None:
    """Versions that differ in weights, and every other one in its configuration."""
    small_versions.publish(root, number, small_versions.WEIGHTS * number, max_batch_size=4 + number % 2)


@contextlib.contextmanager
def polling_server(root: Path, directory: Path) -> Iterator[ServerHandle]:
    """The real server, which looks for changes every second."""
    own = embedded._command

    def polling(*arguments: Any, **named: Any) -> list[str]:
        mode = [each.replace("--model-control-mode=none", "--model-control-mode=poll") for each in own(*arguments, **named)]
        return [*mode, "--repository-poll-secs=1"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "_command", polling)
        with serving.serve(root, directory=directory) as server:
            yield server


@contextlib.contextmanager
def polled(root: Path, directory: Path) -> Iterator[client.Client]:
    """A connection to such a server."""
    with polling_server(root, directory) as server, client.connect(server.grpc_url, "grpc") as connection:
        yield connection


def ask(connection: client.Client, seen: Seen, seconds: float) -> None:
    """Send requests, and count those between two equal configurations."""
    first = np.maximum(ONES["x"] @ small_versions.WEIGHTS, 0)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        before = connection.model_config("small")["max_batch_size"]
        answered = float(connection.infer("small", ONES)["y"].sum() / first.sum())
        assert answered == pytest.approx(round(answered), abs=1e-4)
        if before == connection.model_config("small")["max_batch_size"]:
            seen[round(answered), before] += 1


@pytest.mark.slow
@pytest.mark.server
def test_a_polling_server_never_mixes_two_versions(tmp_path):
    """The real server polls every second; version, weights and configuration of each response belong together."""
    root, seen = tmp_path / "models", Seen()
    publish(root, 1)
    with polled(root, tmp_path / "server") as connection:
        for number in range(2, 8):
            publish(root, number)
            ask(connection, seen, 2.2)
    assert {number for number, _ in seen} >= set(range(2, 8))
    assert {size == 4 + number % 2 for number, size in seen} == {True}, seen


@pytest.mark.server
@pytest.mark.parametrize(("rounds", "commands"), [(1, 1), pytest.param(8, 3, marks=pytest.mark.slow)])
def test_a_polling_server_serves_whole_versions_while_killed_commands_change_them(tmp_path, rounds, commands):
    """Commands are killed at some moment, and two run at once; every response is of a version with its own configuration."""
    root, seen, moments = tmp_path / "models", Seen(), random.Random(3)
    for number in range(1, 5):
        publish(root, number)
    changes = (
        ("promote", "models", "small", "3"),
        ("rollback", "models", "small", "--to", "2"),
        ("prune", "models", "--keep", "2"),
    )
    command = str(Path(sys.executable).with_name("tritonize"))
    with polled(root, tmp_path / "server") as connection:
        for _ in range(rounds):
            for change in changes:
                killed = subprocess.Popen([command, *change], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                ask(connection, seen, moments.uniform(0.2, 0.9))
                killed.kill()
                killed.wait()
                ask(connection, seen, 0.3)
                both = [subprocess.Popen([command, *each], cwd=tmp_path, stderr=subprocess.PIPE) for each in (change, changes[0])]
                ask(connection, seen, 1.5)
                for each in both:
                    _, told = each.communicate(timeout=60)
                    assert each.returncode == 0, told
        ask(connection, seen, 2.2)
    assert {size == 4 + number % 2 for number, size in seen} == {True}, seen
    assert sum(seen.values()) > 20
    assert 3 in {number for number, _ in seen}  # the promotion that was not killed
    left = {path.name for path in (root / "small").iterdir()}
    assert left - {"1", "2", "3", "4", "config.pbtxt"} == set()
    for number in repository.versions(root, "small"):
        assert repository.integrity(root, "small", number, shared=False) == ()


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_64_clients_get_no_wrong_response_while_versions_are_published_and_rolled_back(tmp_path, transport):
    """Each of 64 clients sends 2,000 requests; each request has a response of a whole version that was published, or an error."""
    root, requests, clients = tmp_path / "models", 2000, 64
    publish(root, 1)
    first = np.maximum(ONES["x"] @ small_versions.WEIGHTS, 0)
    published = {1}

    def send(address: str) -> Counter[int | str]:
        found: Counter[int | str] = Counter()
        with client.connect(address, transport) as connection:
            for _ in range(requests):
                try:
                    response = connection.infer("small", ONES)["y"]
                except InferenceError as error:
                    found[f"{error.code}"] += 1
                    continue
                number = round(float(response.sum() / first.sum()))
                whole = number in published and np.allclose(response, first * number, rtol=1e-5)
                found[number if whole else f"wrong: {response}"] += 1
        return found

    with polling_server(root, tmp_path / "server") as server, ThreadPoolExecutor(clients) as pool:
        address = server.http_url if transport == "http" else server.grpc_url
        sent = [pool.submit(send, address) for _ in range(clients)]
        number = 1
        while not all(each.done() for each in sent):
            number += 1
            published.add(number)
            publish(root, number)
            time.sleep(2.5)
            promotion.rollback(promotion.Request(repository=root, model="small"))
            time.sleep(1.5)
    total = sum((each.result() for each in sent), Counter())
    assert total.total() == clients * requests
    assert number > 5, total
    versions = {what for what in total if isinstance(what, int)}
    assert len(versions) > 4, total
    errors = {what: count for what, count in total.items() if isinstance(what, str)}
    assert set(errors) <= {messages.MODEL_REFUSED.code}, errors  # while a version is exchanged
    assert sum(errors.values()) < total.total() / 100, errors
