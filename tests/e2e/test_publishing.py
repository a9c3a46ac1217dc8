"""A server that polls a repository while versions are published."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np
import pytest

from tests.support import small_versions
from tritonize.triton import client, serving
from tritonize.triton.server import embedded


@pytest.mark.slow
@pytest.mark.server
def test_a_polling_server_never_mixes_two_versions(monkeypatch, tmp_path):
    """The real server polls every second; version, weights and configuration of each response belong together."""
    own, root = embedded._command, tmp_path / "models"

    def polling(*arguments: Any, **named: Any) -> list[str]:
        mode = [each.replace("--model-control-mode=none", "--model-control-mode=poll") for each in own(*arguments, **named)]
        return [*mode, "--repository-poll-secs=1"]

    def replace(number: int) -> None:
        small_versions.publish(root, number, small_versions.WEIGHTS * number, max_batch_size=4 + number % 2)

    monkeypatch.setattr(embedded, "_command", polling)
    replace(1)
    ones = {"x": np.ones((1, 16), np.float32)}
    first = np.maximum(ones["x"] @ small_versions.WEIGHTS, 0)
    seen: Counter[tuple[int, int]] = Counter()
    with serving.serve(root, directory=tmp_path / "server") as server, client.connect(server.grpc_url, "grpc") as connection:
        for number in range(2, 8):
            replace(number)
            until = time.monotonic() + 2.2
            while time.monotonic() < until:
                before = connection.model_config("small")["max_batch_size"]
                answered = round(float(connection.infer("small", ones)["y"].sum() / first.sum()))
                if before == connection.model_config("small")["max_batch_size"]:
                    seen[answered, before] += 1
    assert {number for number, _ in seen} >= set(range(2, 8))
    assert {size == 4 + number % 2 for number, size in seen} == {True}, seen
