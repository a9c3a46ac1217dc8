"""Servers that misbehave, in this process: raw sockets for HTTP, handlers of raw bytes for gRPC."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

Behaviour = Callable[[socket.socket], None]
"""Called with each connection; an exception ends the connection."""


@contextlib.contextmanager
def listening(behaviour: Behaviour, *, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server with one behaviour; its `127.0.0.1:port`."""
    stopped = threading.Event()
    opened: list[socket.socket] = []

    def serve(peer: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            if tls is not None:
                peer = tls.wrap_socket(peer, server_side=True)
                opened.append(peer)
            behaviour(peer)
        with contextlib.suppress(OSError):
            peer.close()

    def accept(listener: socket.socket) -> None:
        while not stopped.is_set():
            with contextlib.suppress(OSError):
                peer, _ = listener.accept()
                opened.append(peer)
                threading.Thread(target=serve, args=(peer,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stopped.set()
            listener.shutdown(socket.SHUT_RDWR)
            for peer in opened:
                with contextlib.suppress(OSError):
                    peer.close()


def request(peer: socket.socket) -> bytes:
    """Read one request, head and body; the head."""
    return request_with_body(peer)[0]


def request_with_body(peer: socket.socket) -> tuple[bytes, bytes]:
    """Read one request; its head and its body."""
    content = b""
    while b"\r\n\r\n" not in content:
        if not (piece := peer.recv(65536)):
            raise ConnectionResetError
        content += piece
    head, _, body = content.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        if not (piece := peer.recv(65536)):
            raise ConnectionResetError
        body += piece
    return head, body


def saying(answer: bytes) -> Behaviour:
    """Read a request, send these bytes, hang up."""

    def behave(peer: socket.socket) -> None:
        request(peer)
        peer.sendall(answer)

    return behave


def http(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """A complete response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def endless(start: bytes, piece: bytes) -> Behaviour:
    """Read a request, send a start, then the same piece again and again."""

    def behave(peer: socket.socket) -> None:
        request(peer)
        peer.sendall(start)
        while True:
            peer.sendall(piece)

    return behave


def dripping(content: bytes, seconds: float = 0.02) -> Behaviour:
    """Read a request and send the response byte by byte, each byte within the timeout."""

    def behave(peer: socket.socket) -> None:
        request(peer)
        for byte in content:
            peer.sendall(bytes([byte]))
            time.sleep(seconds)

    return behave


def inference(head: dict[str, Any] | bytes, tensors: bytes = b"", *, head_length: str | None = None) -> Behaviour:
    """The response to an inference: its JSON, and the bytes after it."""
    plain = head if isinstance(head, bytes) else json.dumps(head).encode()
    length = str(len(plain)) if head_length is None else head_length
    return saying(http(plain + tensors, f"Inference-Header-Content-Length: {length}"))


class Grpc(grpc.GenericRpcHandler):
    """Answers each method of the protocol with given bytes, or by a function of the request's bytes."""

    def __init__(self, answers: dict[str, bytes | Callable[[bytes], bytes]]) -> None:
        self._answers = answers
        self.metadata: list[dict[str, str | bytes]] = []
        """Of each call."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        self.metadata.append(dict(details.invocation_metadata))
        answer = self._answers.get(details.method.rpartition("/")[2])
        if answer is None:
            return None
        return grpc.unary_unary_rpc_method_handler(lambda asked, _: answer(asked) if callable(answer) else answer)


@contextlib.contextmanager
def listening_grpc(answers: dict[str, bytes | Callable[[bytes], bytes]] | Grpc, **options: Any) -> Iterator[str]:
    """A gRPC server of raw bytes; its `127.0.0.1:port`."""
    handler = answers if isinstance(answers, Grpc) else Grpc(answers)
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, handlers=[handler], options=[("grpc.max_send_message_length", -1)], **options)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait()


def http2(status: int) -> Behaviour:
    """A proxy that speaks HTTP/2 and answers every request with this status and no gRPC."""

    def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
        return len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content

    def behave(peer: socket.socket) -> None:
        content = b""
        peer.sendall(frame(4, 0, 0))
        while piece := peer.recv(65536):
            content = (content + piece).removeprefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            while len(content) >= 9 and len(content) >= (end := 9 + int.from_bytes(content[:3], "big")):
                kind, flags, stream = content[3], content[4], int.from_bytes(content[5:9], "big")
                if kind == 4 and not flags & 1:
                    peer.sendall(frame(4, 1, 0))
                if kind == 1:  # headers: answered with `:status` as a literal, and the end of the stream
                    peer.sendall(frame(1, 5, stream, bytes([0x08, 0x03]) + str(status).encode()))
                content = content[end:]

    return behave
