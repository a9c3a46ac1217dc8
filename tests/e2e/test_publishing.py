"""A server that polls a repository while versions are published, promoted, rolled back and pruned."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import small_versions
from tritonize import repository
from tritonize.triton import client, serving
from tritonize.triton.server import embedded

Seen = Counter[tuple[int, int]]
"""Version whose outputs a response has, and the largest batch of the configuration, to the number of such responses."""
ONES = {"x": np.ones((1, 16), np.float32)}


def publish(root: Path, number: int) -> None:
    """Versions that differ in weights, and every other one in its configuration."""
    small_versions.publish(root, number, small_versions.WEIGHTS * number, max_batch_size=4 + number % 2)


@contextlib.contextmanager
def polled(root: Path, directory: Path) -> Iterator[client.Client]:
    """A connection to the real server, which looks for changes every second."""
    own = embedded._command

    def polling(*arguments: Any, **named: Any) -> list[str]:
        mode = [each.replace("--model-control-mode=none", "--model-control-mode=poll") for each in own(*arguments, **named)]
        return [*mode, "--repository-poll-secs=1"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "_command", polling)
        with serving.serve(root, directory=directory) as server, client.connect(server.grpc_url, "grpc") as connection:
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
