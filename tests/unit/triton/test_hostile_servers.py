"""A server that misbehaves: each way of it is an error of its own, soon and without much memory."""

from __future__ import annotations

import gzip
import json
import socket
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from tests.support import hostile_server as hostile
from tests.support.hostile_server import http, inference, listening, listening_grpc, saying
from tritonize.core import deadline
from tritonize.core.errors import InferenceError, ServerError, TritonizeError
from tritonize.triton import client, serving
from tritonize.triton.client import base

MIB = 2**20
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
PAGE = b"<!DOCTYPE html>\n<html><body>It works!</body></html>"
TRITON = {"name": "triton", "version": "2", "extensions": ["a"]}
X = {"X": np.zeros((1, 2), np.float32)}


def error_of(behaviour: hostile.Behaviour, *, timeout_s: float = 5.0, ask: str = "server_metadata") -> TritonizeError:
    """What one question ends in."""
    with (
        listening(behaviour) as address,
        client.connect(address, "http", timeout_s=timeout_s) as opened,
        pytest.raises(TritonizeError) as caught,
    ):
        if ask == "infer":
            opened.infer("m", X, version="1")
        else:
            getattr(opened, ask)(*(["m"] if ask.startswith("model_") and ask != "model_index" else []))
    assert address in str(caught.value.where)
    return caught.value


DESCRIPTIONS: dict[str, tuple[bytes, str]] = {
    "a page": (http(PAGE), "no-triton"),
    "a page of a proxy": (http(PAGE, status="502 Bad Gateway"), "http-bad-gateway"),
    "a redirection": (http(b"", "Location: http://127.0.0.1:9/", status="302 Found"), "redirected"),
    "an error of Triton": (http(b'{"error": "no"}', status="403 Forbidden"), "request-refused-by-server"),
    "an error that is no text": (http(b'{"error": ["no"]}', status="403 Forbidden"), "request-refused-by-server"),
    "nothing": (http(b""), "no-triton"),
    "a number": (http(b"7"), "no-triton"),
    "a list": (http(b"[1]"), "no-triton"),
    "no UTF-8": (http(b'{"name": "\xff"}'), "no-triton"),
    "another schema": (http(b'{"extensions": {"a": 1}}'), "no-triton"),
    "deep JSON": (http(b"[" * 100_000), "no-triton"),
    "deep JSON of objects": (http(b'{"name":' * 100_000), "no-triton"),
    "a number of a million digits": (http(b"1" * 1_000_000), "no-triton"),
    "garbage": (b"\x00\xff" * 500, "not-http"),
    "mail": (b"220 mail.example ESMTP\r\n", "not-http"),
    "a long first line": (b"H" * 100_000, "not-http"),
    "many headers": (OK + b"A: b\r\n" * 1000 + b"\r\n", "not-http"),
    "a long header": (OK + b"A: " + b"b" * 100_000, "not-http"),
    "a short body": (http(b"{", length=1000), "answer-ended-early"),
    "a short chunk": (CHUNKED + b"5\r\nab", "answer-ended-early"),
    "a chunk of no number": (CHUNKED + b"x\r\nab\r\n", "not-http"),
    "a chunk below zero": (CHUNKED + b"-5\r\nab\r\n", "not-http"),
    "no answer": (b"", "server-unreachable"),
    "a promise of terabytes": (http(b"", length=10**13), "answer-too-large"),
    "a bomb": (http(gzip.compress(b" " * (base.DESCRIPTION_LIMIT + 1)), "Content-Encoding: gzip"), "answer-too-large"),
    "half a bomb": (http(gzip.compress(b" " * 1000)[:20], "Content-Encoding: gzip"), "answer-unsound"),
    "no bomb": (http(b"abc", "Content-Encoding: gzip"), "answer-unsound"),
    "an encoding nobody asked for": (http(b"abc", "Content-Encoding: br"), "answer-unsound"),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_an_invalid_description_is_an_error(name: str) -> None:
    content, code = DESCRIPTIONS[name]
    error = error_of(saying(content))
    assert error.code == code
    assert error.exit_code == (8 if code in ("request-refused-by-server", "answer-unsound") else 7)
    assert len(str(error.found)) < 400


@pytest.mark.parametrize(
    "behaviour",
    [
        hostile.endless(OK + b"\r\n", b" " * MIB),
        hostile.endless(CHUNKED, b"100000\r\n" + b" " * MIB + b"\r\n"),
        hostile.endless(CHUNKED + b"-1\r\n", b" " * MIB),
        hostile.endless(CHUNKED, b"1;" + b"x" * 60_000 + b"\r\n \r\n"),
        hostile.endless(b"", b"HTTP/1.1 100 Continue\r\nA: " + b"b" * 60_000 + b"\r\n\r\n"),
    ],
    ids=["a body", "chunks", "a chunk of -1", "chunks with extensions", "100 Continue"],
)
def test_an_endless_response_takes_little_memory(behaviour: hostile.Behaviour) -> None:
    tracemalloc.start()
    try:
        assert error_of(behaviour, timeout_s=20.0).code == "answer-too-large"
        assert tracemalloc.get_traced_memory()[1] < 4 * base.DESCRIPTION_LIMIT
    finally:
        tracemalloc.stop()


def silence(peer: socket.socket) -> None:
    time.sleep(5)


@pytest.mark.parametrize(
    "behaviour",
    [
        silence,
        hostile.dripping(OK * 100),
        hostile.dripping(OK + b"A: b\r\n" * 90),
        lambda peer: (hostile.request(peer), peer.sendall(OK + b"\r\n"), hostile.dripping(b" " * 1000)(peer)),
        hostile.dripping(CHUNKED + b"1\r\n \r\n" * 1000),
    ],
    ids=["silence", "a first line", "headers", "a body", "chunks"],
)
def test_a_response_byte_by_byte_ends_at_the_deadline(behaviour: hostile.Behaviour) -> None:
    started = time.monotonic()
    assert error_of(behaviour, timeout_s=0.3).code == "server-silent"
    assert time.monotonic() - started < 2


def test_a_server_that_does_not_read_the_request_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = {"X": np.zeros((1, 2**24), np.float32)}
    with listening(silence) as address, client.connect(address, "http", timeout_s=0.3) as opened:
        started = time.monotonic()
        with pytest.raises(ServerError) as caught:
            opened.infer("m", huge)
        assert caught.value.code == "server-silent"
        assert time.monotonic() - started < 2


def test_the_commands_deadline_ends_each_request() -> None:
    for transport in ("http", "grpc"):
        with listening(silence) as address, client.connect(address, transport) as opened, deadline.within(0.3):
            for _ in range(2):  # the second one is not even sent
                started = time.monotonic()
                with pytest.raises(ServerError) as caught:
                    opened.server_metadata()
                assert caught.value.code == "server-silent"
                assert time.monotonic() - started < 2


def output(**changes: Any) -> dict[str, Any]:
    """The JSON of a valid response with its one output changed."""
    entry = {"name": "Y", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}, **changes}
    return {"model_name": "m", "model_version": "1", "outputs": [entry]}


INFERENCES: dict[str, tuple[hostile.Behaviour, str]] = {
    "another model": (inference({**output(), "model_name": "n"}, bytes(8)), "other-model-answered"),
    "no model": (inference({"outputs": output()["outputs"]}, bytes(8)), "other-model-answered"),
    "another version": (inference({**output(), "model_version": "2"}, bytes(8)), "other-model-answered"),
    "an unknown type": (inference(output(datatype="FP31"), bytes(8)), "answer-unsound"),
    "a type that is no text": (inference(output(datatype=[1]), bytes(8)), "answer-unsound"),
    "no type": (inference(output(datatype=None), bytes(8)), "answer-unsound"),
    "a shape below zero": (inference(output(shape=[-1, -2]), bytes(8)), "answer-unsound"),
    "a shape of text": (inference(output(shape=["1", "2"]), bytes(8)), "answer-unsound"),
    "a shape of floats": (inference(output(shape=[1.0, 2.0]), bytes(8)), "answer-unsound"),
    "a shape of truths": (inference(output(shape=[True, 2]), bytes(8)), "answer-unsound"),
    "a shape too large": (inference(output(shape=[10**9, 10**9]), bytes(8)), "answer-unsound"),
    "a shape of nothing, too large": (
        inference(output(shape=[0, 2**61, 2**61], parameters={"binary_data_size": 0})),
        "answer-unsound",
    ),
    "100 axes": (inference(output(shape=[1] * 99 + [2]), bytes(8)), "answer-unsound"),
    "no shape": (inference(output(shape=None), bytes(8)), "answer-unsound"),
    "too few bytes": (inference(output(), bytes(4)), "answer-unsound"),
    "too many bytes": (inference(output(), bytes(12)), "answer-unsound"),
    "a size below zero": (inference(output(parameters={"binary_data_size": -8}), bytes(8)), "answer-unsound"),
    "a size of text": (inference(output(parameters={"binary_data_size": "8"}), bytes(8)), "answer-unsound"),
    "parameters of no kind": (inference(output(parameters=7), bytes(8)), "answer-unsound"),
    "no name": (inference(output(name=None), bytes(8)), "answer-unsound"),
    "an output twice": (inference({**output(), "outputs": output()["outputs"] * 2}, bytes(16)), "answer-unsound"),
    "no outputs": (inference({"model_name": "m", "model_version": "1"}), "answer-unsound"),
    "outputs of no kind": (inference({**output(), "outputs": [1]}), "answer-unsound"),
    "a head too long": (inference(output(), head_length="100000"), "answer-unsound"),
    "a head of 5,000 digits": (inference(output(), head_length="9" * 5000), "answer-unsound"),
    "a head below zero": (inference(output(), head_length="-1"), "answer-unsound"),
    "a head of another alphabet": (inference(output(), head_length="5_0"), "answer-unsound"),
    "a head cut off": (inference(output(), bytes(8), head_length="20"), "no-triton"),
    "a page": (saying(http(PAGE)), "no-triton"),
    "a list": (inference(b"[]"), "answer-unsound"),
    "text too long": (
        inference(output(datatype="BYTES", shape=[1]), b"\xff\xff\xff\xff" + bytes(4)),
        "answer-unsound",
    ),
    "text of many": (inference(output(datatype="BYTES", shape=[10**12]), bytes(8)), "answer-unsound"),
    "text and more": (inference(output(datatype="BYTES", shape=[1]), bytes(8)), "answer-unsound"),
    "numbers in JSON, too few": (inference(output(parameters={}, data=[1])), "answer-unsound"),
    "numbers in JSON, deep": (inference(output(parameters={}, data=[[[[1]]], 2])), "answer-unsound"),
    "numbers in JSON that are none": (inference(output(parameters={}, data=[{}, "a"])), "answer-unsound"),
    "no data at all": (inference(output(parameters={})), "answer-unsound"),
    "no data for one element": (inference(output(parameters={}, shape=[1])), "answer-unsound"),
    "a number for data": (inference(output(parameters={}, shape=[1], data=1.5)), "answer-unsound"),
}


@pytest.mark.parametrize("name", INFERENCES)
def test_an_invalid_response_to_an_inference_is_an_error(name: str) -> None:
    behaviour, code = INFERENCES[name]
    error = error_of(behaviour, ask="infer")
    assert error.code == code
    assert error.exit_code == (7 if code == "no-triton" else 8)


def test_valid_responses_are_read() -> None:
    values = np.array([[1.5, -2]], np.float32)
    for behaviour in (inference(output(), values.tobytes()), inference(output(parameters={}, data=[1.5, -2]))):
        with listening(behaviour) as address, client.connect(address, "http") as opened:
            np.testing.assert_array_equal(opened.infer("m", X, version="1")["Y"], values)
    packed = http(
        gzip.compress(json.dumps({"name": "triton", "version": "2", "extensions": ["a"]}).encode()), "Content-Encoding: gzip"
    )
    with listening(saying(packed)) as address, client.connect(address, "http") as opened:
        assert opened.server_metadata()["version"] == "2"


def test_the_size_of_a_response_is_limited() -> None:
    behaviour = hostile.endless(OK + b"\r\n", bytes(MIB))
    with listening(behaviour) as address, client.connect(address, "http", response_limit=3 * MIB) as opened:
        tracemalloc.start()
        with pytest.raises(ServerError) as caught:
            opened.infer("m", X)
        assert tracemalloc.get_traced_memory()[1] < 10 * MIB
        tracemalloc.stop()
        assert caught.value.code == "answer-too-large"


@pytest.mark.parametrize("ask", ["model_metadata", "model_config"])
def test_a_description_of_another_model_is_an_error(ask: str) -> None:
    assert error_of(saying(http(b'{"name": "n"}')), ask=ask).code == "other-model-answered"


def test_a_description_of_another_version_is_an_error() -> None:
    with (
        listening(saying(http(b'{"name": "m", "versions": ["2"]}'))) as address,
        client.connect(address, "http") as opened,
        pytest.raises(InferenceError) as caught,
    ):
        opened.model_metadata("m", "1")
    assert caught.value.code == "other-model-answered"


def answered(**changes: Any) -> bytes:
    """A valid gRPC response with its one output changed."""
    message = service_pb2.ModelInferResponse(model_name="m", model_version="1", raw_output_contents=[bytes(8)])
    message.outputs.add(name="Y", datatype="FP32", shape=[1, 2])
    for name, value in changes.items():
        if name in ("model_name", "model_version"):
            setattr(message, name, value)
        elif name == "raw":
            del message.raw_output_contents[:]
            message.raw_output_contents.extend(value)
        elif name == "shape":
            message.outputs[0].shape[:] = value
        else:
            setattr(message.outputs[0], name, value)
    return bytes(message.SerializeToString())


def late(_: bytes) -> bytes:
    time.sleep(1)
    return b""


OVER_GRPC: dict[str, tuple[bytes | Callable[[bytes], bytes], str]] = {
    "another model": (answered(model_name="n"), "other-model-answered"),
    "another version": (answered(model_version="2"), "other-model-answered"),
    "an unknown type": (answered(datatype="FP31"), "answer-unsound"),
    "a shape below zero": (answered(shape=[-1, -2]), "answer-unsound"),
    "a shape too large": (answered(shape=[2**60, 2**60]), "answer-unsound"),
    "too few bytes": (answered(raw=[bytes(4)]), "answer-unsound"),
    "no bytes": (answered(raw=[]), "answer-unsound"),
    "text too long": (answered(datatype="BYTES", shape=[1], raw=[b"\xff\xff\xff\xff"]), "answer-unsound"),
    "garbage": (b"\xff" * 100, "answer-unsound"),
    "too much": (answered(raw=[bytes(20 * MIB)]), "answer-too-large"),
    "too late": (late, "server-silent"),
}


@pytest.mark.parametrize("name", OVER_GRPC)
def test_an_invalid_grpc_response_is_an_error(name: str) -> None:
    content, code = OVER_GRPC[name]
    with (
        listening_grpc({"ModelInfer": content}) as address,
        client.connect(address, "grpc", timeout_s=0.3 if name == "too late" else 5, response_limit=MIB) as opened,
        pytest.raises(TritonizeError) as caught,
    ):
        opened.infer("m", X, version="1")
    assert caught.value.code == code


def test_a_compressed_bomb_over_grpc_is_an_error() -> None:
    bomb = {"ModelInfer": answered(raw=[bytes(64 * MIB)])}
    with (
        listening_grpc(bomb, compression=grpc.Compression.Gzip) as address,
        client.connect(address, "grpc", response_limit=MIB) as opened,
        pytest.raises(ServerError) as caught,
    ):
        opened.infer("m", X)
    assert caught.value.code == "answer-too-large"


def test_credentials_are_sent_only_to_the_address_that_has_them() -> None:
    heads: list[bytes] = []

    def triton(peer: socket.socket) -> None:
        while True:
            heads.append(hostile.request(peer))
            peer.sendall(http(json.dumps(TRITON).encode()))

    described = service_pb2.ServerMetadataResponse(name="triton", version="2", extensions=["a"])
    handler = hostile.Grpc({"ServerMetadata": described.SerializeToString()})
    with listening(triton) as over_http, listening_grpc(handler) as over_grpc:
        serving.remote([f"http://me:secret@{over_http}", f"grpc://{over_grpc}"])
        assert b"authorization: basic bwu6c2vjcmv0" in heads[0].lower()
        assert "authorization" not in handler.metadata[0]
        found = serving.remote([f"http://{over_http}", f"grpc://me:secret@{over_grpc}"])
        assert b"authorization" not in heads[-1].lower()
        assert any(each.get("authorization") == "Basic bWU6c2VjcmV0" for each in handler.metadata)
        assert "bWU6" not in f"{found!r} {found.identity}"


def test_a_server_without_grpc_is_an_error() -> None:
    for behaviour, code in ((saying(http(PAGE)), "server-unreachable"), (saying(b"garbage"), "server-unreachable")):
        with (
            listening(behaviour) as address,
            client.connect(address, "grpc", timeout_s=5) as opened,
            pytest.raises(ServerError) as caught,
        ):
            opened.server_metadata()
        assert caught.value.code == code
    with listening_grpc({}) as address, client.connect(address, "grpc") as opened, pytest.raises(ServerError) as caught:
        opened.server_metadata()
    assert caught.value.code == "no-triton"
