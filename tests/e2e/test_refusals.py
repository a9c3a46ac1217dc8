"""What stock's ONNX Runtime backend refuses beside what ours refuses: one server loads every model and gets every request."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from tests.support import refusals, refused_requests, server_models
from tests.support.refusals import Row
from tests.support.refused_requests import Request, Sent
from tritonize.triton.server import embedded, log
from tritonize.triton.server.embedded import Running

pytestmark = pytest.mark.server
ROWS = {f"{group.replace(' ', '_')}-{name}": row for group, rows in refusals.GROUPS.items() for name, row in rows.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that loads what it is sent, with the models that get requests."""
    root = tmp_path_factory.mktemp("refusals")
    for name, (config, write) in refused_requests.MODELS.items():
        write(server_models.write(root / "repository", name, config))
    with embedded.start(root / "repository", directory=root / "run", explicit=True) as running:
        yield running


def post(server: Running, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and text of the response."""
    connection = HTTPConnection(server.http_url, timeout=60)
    try:
        connection.request("POST", path, body, {**server.headers["http"], **(headers or {})})
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    finally:
        connection.close()


def load(server: Running, name: str, row: Row, folder: Path) -> str:
    """Load a row's model; return the reason of the refusal, empty if it is loaded."""
    path = folder / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    row.model(path)
    config = text_format.Parse(row.config, model_config_pb2.ModelConfig(name=name))
    order = {
        "config": json_format.MessageToJson(config, preserving_proto_field_name=True),
        "file:1/model.onnx": base64.b64encode(path.read_bytes()).decode(),
    }
    status, text = post(server, f"/v2/repository/models/{name}/load", json.dumps({"parameters": order}).encode())
    if status == 200:
        return ""
    return log.refusals(server.log).get(name) or str(json.loads(text)["error"])  # what core refuses stands in the log alone


def ask(server: Running, model: str, inputs: dict[str, Sent], outputs: tuple[str, ...] = ()) -> tuple[int, str]:
    described = [
        {
            "name": name,
            "shape": each.shape,
            "datatype": each.datatype,
            "parameters": {"binary_data_size": len(each.content)},
        }
        for name, each in inputs.items()
    ]
    order = {"inputs": described, **({"outputs": [{"name": each} for each in outputs]} if outputs else {})}
    header = json.dumps(order).encode()
    body = header + b"".join(each.content for each in inputs.values())
    return post(server, f"/v2/models/{model}/infer", body, {"Inference-Header-Content-Length": str(len(header))})


@pytest.mark.parametrize("name", ROWS)
def test_a_model_is_refused_with_its_field_or_loads(name: str, server: Running, tmp_path: Path) -> None:
    row = ROWS[name]
    reason = load(server, name.replace("-", "_"), row, tmp_path)
    assert (row.ours in reason) if row.ours else not reason, reason


@pytest.mark.parametrize("name", refused_requests.ROWS)
def test_a_request_is_refused_with_its_field_and_the_next_one_is_answered(name: str, server: Running) -> None:
    row: Request = refused_requests.ROWS[name]
    good = refused_requests.GOOD[row.model]
    if good:
        assert ask(server, row.model, good)[0] == 200
    status, text = ask(server, row.model, row.inputs, row.outputs)
    assert status in (400, 500), text
    assert row.ours in text
    if good:
        assert ask(server, row.model, good)[0] == 200


def test_every_difference_from_stock_has_its_reason() -> None:
    rows: dict[str, Row | Request] = {**ROWS, **refused_requests.ROWS}
    for name, row in rows.items():
        assert row.stock, name
        assert (row.refuses != bool(row.ours)) == bool(row.why), name
    assert all({**refusals.IMPOSSIBLE, **refused_requests.IMPOSSIBLE}.values())
