"""The command line with the real server."""

from __future__ import annotations

import os
import socket

import pytest

from tests.support.command import tritonize
from tests.support.leaks import INPUT, untouched


@pytest.mark.server
def test_a_port_in_use_is_exit_code_7(model_files):
    done = tritonize("run", str(model_files / "classifier.pt"), *INPUT)
    assert done.returncode == 0, done.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        before = set(os.listdir())
        done = tritonize("serve", "--http-port", port, "--grpc-port", "0")
        assert done.returncode == 7, done.stderr
        assert f"127.0.0.1:{port}" in done.stderr
        untouched(before)
