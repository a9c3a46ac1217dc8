"""What `tritonize serve` prints when the server is ready."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tritonize.cli import serve
from tritonize.core.artifacts import SetAside


@pytest.mark.parametrize("as_json", [False, True])
def test_what_a_model_is_served_without_is_said(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    field = SetAside(field="instance_group[0]", value="KIND_GPU", reason="the server has no GPU", needs="gpu")
    server: Any = SimpleNamespace(http_url="127.0.0.1:1", grpc_url="127.0.0.1:2", identity={}, set_aside={"m": (field,)})
    checked: Any = SimpleNamespace(notes=[])
    serve._announce(server, ["m", "n"], Path("key"), checked=checked, json=as_json)
    out, err = capsys.readouterr()
    if as_json:
        assert json.loads(out)["set_aside"] == {
            "m": [{"field": "instance_group[0]", "value": "KIND_GPU", "reason": "the server has no GPU", "needs": "gpu"}]
        }
    else:
        assert "m is served without a part of its configuration, instance_group[0] KIND_GPU: the server has no GPU" in err
        assert "Serving m, n on" in out
