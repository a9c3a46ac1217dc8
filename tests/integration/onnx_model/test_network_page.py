"""Netron's page as tritonize serves it: the network is there, and nothing is sent anywhere."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support import chromium
from tritonize.core.errors import UsageError
from tritonize.onnx_model import netron_page

pytest.importorskip("netron", reason='Netron is not installed: pip install "tritonize[view]"')


@pytest.fixture
def server(tmp_path: Path) -> Iterator[netron_page.Server]:
    """The page of a network with its weights beside it, in a folder that holds more."""
    weights = numpy_helper.from_array(np.ones((4, 4), np.float32), "weights")
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "weights"], ["y"])], "g", tensors[:1], tensors[1:], [weights])
    (tmp_path / "net").mkdir()
    file = tmp_path / "net" / 'a "network".onnx'
    model = helper.make_model(graph)
    onnx.save(model, file, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "net" / "secret.txt").write_text("secret")
    with netron_page.Server(file, 0) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(server: netron_page.Server, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=20)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def test_the_page_sends_no_telemetry(server: netron_page.Server) -> None:
    status, headers, body = ask(server, "/")
    assert status == 200
    assert b'<meta name="version" content="0.0.0">' in body  # what Netron takes for a build that has no telemetry
    assert b"/data/a%20%22network%22.onnx" in body
    assert "connect-src 'self'" in headers["Content-Security-Policy"]
    assert headers["Set-Cookie"].startswith("consent=")


def test_the_server_delivers_only_the_network_and_its_weights(server: netron_page.Server) -> None:
    assert ask(server, "/data/a%20%22network%22.onnx")[0] == 200
    assert len(ask(server, "/data/weights.bin")[2]) == 64
    for path in ("/data/secret.txt", "/data/../net/secret.txt", "/../server.py", "/server.py", "/data/", "/nowhere.js"):
        assert ask(server, path)[0] == 404, path
    assert ask(server, "/index.js")[1]["Content-Type"] == "text/javascript"


def test_a_request_with_another_host_name_is_rejected(server: netron_page.Server) -> None:
    assert ask(server, "/", Host="evil.example")[0] == 403


def test_an_unknown_page_is_an_error() -> None:
    with pytest.raises(UsageError, match="Netron"):
        netron_page._page("<html></html>", "x")


def test_the_page_shows_the_network_in_a_browser(server: netron_page.Server, tmp_path: Path) -> None:
    """The page displays the network, shows no consent dialog, and requests nothing from other servers."""
    if chromium.PROGRAM is None:
        pytest.skip(chromium.INSTALL)
    with chromium.page(tmp_path / "profile") as page:
        page.command("Page.navigate", url=server.address)
        until = time.monotonic() + 30
        text = ""
        while time.monotonic() < until and "MatMul" not in text:
            time.sleep(0.1)
            found = page.command(
                "Runtime.evaluate", expression="document.body.className + ' ' + document.body.innerText + document.body.textContent"
            )
            text = str(found["result"].get("value", ""))
        requested = [event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"]
    assert "MatMul" in text
    assert "anonymous usage" not in text
    assert requested
    assert [url for url in requested if not url.startswith((server.address, "blob:", "data:"))] == []
