"""What `tritonize serve` prints when the server is ready."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.command import invoke
from tritonize.cli import serve
from tritonize.core.artifacts import SetAside
from tritonize.core.errors import UsageError
from tritonize.core.messages.repository import SUMS
from tritonize.triton.server.ports import Ports, choose


@pytest.mark.parametrize("as_json", [False, True])
def test_what_a_model_is_served_without_is_said(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    field = SetAside(field="instance_group[0]", value="KIND_GPU", reason="the server has no GPU", needs="gpu")
    server: Any = SimpleNamespace(
        http_url="127.0.0.1:1", grpc_url="127.0.0.1:2", metrics_url="", identity={}, set_aside={"m": (field,)}
    )
    checked: Any = SimpleNamespace(notes=[])
    serve._announce(server, ["m", "n"], Path("key"), checked=checked, json=as_json)
    out, err = capsys.readouterr()
    if as_json:
        assert json.loads(out)["set_aside"] == {
            "m": [{"field": "instance_group[0]", "value": "KIND_GPU", "reason": "the server has no GPU", "needs": "gpu"}]
        }
    else:
        assert "m is served without a part of its configuration, instance_group[0] KIND_GPU: the server has no GPU" in " ".join(
            err.split()
        )
        assert "Serving m, n on" in out


@pytest.mark.parametrize(("address", "loud"), [("127.0.0.1", False), ("127.0.0.5", False), ("0.0.0.0", True), ("192.0.2.7", True)])
def test_an_address_that_others_reach_is_said_loudly(address: str, loud: bool, capsys: pytest.CaptureFixture[str]) -> None:
    serve._warn_of_others(address)
    out, err = capsys.readouterr()
    assert err.startswith(f"WARNING: every machine that reaches {address} can send inference requests") == loud
    assert out == ""


def test_metrics_and_control_come_with_their_commands(capsys: pytest.CaptureFixture[str]) -> None:
    addresses = {"http_url": "127.0.0.1:1", "grpc_url": "127.0.0.1:2", "metrics_url": "127.0.0.1:3"}
    server: Any = SimpleNamespace(**addresses, identity={}, set_aside={})
    checked: Any = SimpleNamespace(notes=[])
    serve._announce(server, ["heart"], Path("key"), checked=checked, json=False, control=True)
    out, _ = capsys.readouterr()
    assert "curl http://127.0.0.1:3/metrics" in out
    assert "curl -X POST -H @key http://127.0.0.1:1/v2/repository/models/heart/unload" in out


def test_a_server_on_every_network_is_reached_on_the_loopback() -> None:
    assert Ports(address="0.0.0.0").reached_at == "127.0.0.1"
    assert Ports(address="192.0.2.7").reached_at == "192.0.2.7"


def test_an_address_that_no_network_of_the_machine_has_is_an_error() -> None:
    with pytest.raises(UsageError) as caught:
        choose(Ports(address="192.0.2.7"))  # RFC 5737 reserves it for documentation
    assert (caught.value.code, caught.value.found) == ("server-address-not-ours", "192.0.2.7")


@pytest.mark.parametrize("text", ["localhost", "::1", "300.1.1.1", "", "127.1"])
def test_only_an_ipv4_address_can_be_bound(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        serve._address(text)
    assert caught.value.code == "server-bind-address-invalid"


@pytest.mark.parametrize(("verbosity", "shown"), [("normal", ["other"]), ("verbose", [SUMS.text(), "other"])])
def test_that_checksums_detect_no_forgery_is_left_to_verbose(
    verbosity: str, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "verbosity", lambda: verbosity)
    assert list(serve.shown_notes([SUMS.text(), "other"])) == shown


def test_two_protocols_on_one_port_are_refused_before_anything_is_read() -> None:
    done = invoke("serve", "nowhere", "--http-port", "8001", "--grpc-port", "8001")
    assert (done.returncode, "HTTP and gRPC cannot listen on the same port, 8001." in done.stderr) == (2, True)
    with pytest.raises(UsageError, match="gRPC and metrics"):
        Ports(http=8000, grpc=8001, metrics=8001)
    assert Ports(http=0, grpc=0, metrics=0).metrics == 0  # any free ports, which differ
