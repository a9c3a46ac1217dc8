"""Random HTTP requests, most of them wrong, to the real server: each is answered, and the server goes on.

Not among them: tensors as JSON with huge shapes. Triton 2.51 makes room for the shape before it counts the elements, and ends.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.test_refusals import post
from tests.support import server_models
from tritonize.triton import client
from tritonize.triton.server import embedded

pytestmark = [pytest.mark.server, pytest.mark.slow]
SECONDS = 20
DIMS = (0, 1, 2, 3, -1, 7, 10**6, 2**31, 2**62, 2**63 - 1)
DATATYPES = ("FP32", "FP16", "FP64", "INT8", "INT64", "BYTES", "BF16", "BOOL", "UINT64", "X", "")
JSON = ([1, 2, 3], [[1.5]], ["a"], None, [None], {"a": 1}, [float("inf")], [True])


def drawn_input(draw: random.Random, name: str) -> tuple[dict[str, Any], bytes]:
    """One tensor of a request, and its bytes."""
    shape = [draw.choice(DIMS) for _ in range(draw.choice([0, 1, 2, 2, 2, 3, 40]))]
    shape = draw.choice([shape, [1, 3], [1, 1], [2, 3], [3]])
    datatype = draw.choice(DATATYPES) if draw.random() < 0.4 else "FP32"
    if draw.random() < 0.15 and all(each < 100 for each in shape):
        return {"name": name, "shape": shape, "datatype": datatype, "data": draw.choice(JSON)}, b""
    content = draw.randbytes(draw.choice([0, 1, 4, 5, 8, 12, 24, 100]))
    parameters = {"binary_data_size": len(content) if draw.random() < 0.9 else draw.choice([0, -1, 2**40, 3])}
    if draw.random() < 0.1:
        parameters = {"shared_memory_region": "none", "shared_memory_byte_size": 2**60, "shared_memory_offset": 2**63}
    return {"name": name, "shape": shape, "datatype": datatype, "parameters": parameters}, content


def drawn_request(draw: random.Random, names: list[str]) -> tuple[bytes, dict[str, str]]:
    """The body of a request, and its headers."""
    tensors = [drawn_input(draw, name) for name in [*names, "Z"] if draw.random() < (0.05 if name == "Z" else 0.95)]
    order: dict[str, Any] = {"inputs": [described for described, _ in tensors]}
    if draw.random() < 0.3:
        parameters = draw.choice([{}, {"binary_data": True}, {"classification": draw.choice([1, 2**31, -1])}])
        order["outputs"] = [{"name": draw.choice(["SUM", "Y", "Q"]), "parameters": parameters}]
    if draw.random() < 0.3:
        order["parameters"] = {
            "sequence_id": draw.choice([1, 2, "x", 0, 2**64 - 1]),
            "sequence_start": draw.random() < 0.5,
            "sequence_end": draw.random() < 0.3,
            "priority": draw.choice([0, 5]),
            "timeout": draw.choice([0, 1, 10**6]),
        }
    header = json.dumps(order).encode()
    size = str(len(header)) if draw.random() < 0.95 else draw.choice(["0", "-1", "x", "99999999999", str(len(header) // 2)])
    return header + b"".join(content for _, content in tensors), {"Inference-Header-Content-Length": size}


def test_every_odd_request_is_answered(tmp_path: Path) -> None:
    root = server_models.repository(tmp_path / "repository")
    server_models.sequence_sum(server_models.write(root, "sequence", server_models.SEQUENCE_SUM))
    server_models.ragged_sum(server_models.write(root, "ragged", server_models.RAGGED_SUM))
    server_models.overridable(server_models.write(root, "overridable", server_models.OVERRIDABLE))
    inputs = {"add_sub": ["A", "B"], "overridable": ["X", "W"]}
    models = sorted(path.name for path in root.iterdir())
    seed = int(time.strftime("%Y%m%d"))
    draw, statuses = random.Random(seed), Counter[int]()
    with embedded.start(root, directory=tmp_path / "run") as running:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            model = draw.choice(models)
            body, headers = drawn_request(draw, inputs.get(model, ["X"]))
            try:
                status, _ = post(running, f"/v2/models/{model}/infer", body, headers)
            except OSError as error:
                pytest.fail(f"seed {seed}: {model} got no answer ({error}) for {headers} {body!r}")
            statuses[status] += 1
        array = np.ones((1, 3), np.float32)
        with client.connect_to(running, "grpc") as connection:
            assert connection.infer("add_sub", {"A": array, "B": array})["SUM"].tolist() == [[2, 2, 2]]
    assert set(statuses) <= {200, 400, 404, 500}
    assert min(statuses[200], statuses[400], statuses[500]) > 10
