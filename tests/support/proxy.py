"""A proxy on loopback in front of a server: TLS, a path prefix, a required header, and faults."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Fault = Literal["drop", "delay", "truncate", "garbage", "huge"]
_HUGE = 2**30
_PIECE = 2**20


@dataclass(kw_only=True)
class Proxy:
    """What the proxy does; it may be changed while it runs. `requests` counts HTTP requests, in `heads` are their heads."""

    upstream: str = ""
    """`host:port` of the server; not used if `status` is set."""
    tls: ssl.SSLContext | None = None
    raw: bool = False
    """Pass on bytes (gRPC) instead of HTTP requests."""
    prefix: str = ""
    """Only paths below it are passed on, without it; others are 404."""
    header: tuple[str, str] | None = None
    """Name and value that a request must have; otherwise it is 401."""
    status: int = 0
    """Respond with it and `page`, without a server."""
    page: bytes = b"<html>\n<head><title>No</title></head>\n<body>why</body></html>"
    extra: str = ""
    """Further lines of the response's head, each with its end."""
    fault: Fault | None = None
    after: int = 0
    """Requests without the fault before the first one with it."""
    delay_s: float = 0.0
    heads: list[str] = field(default_factory=list)
    address: str = ""
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    """Of every connection, so that all are closed at the end."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError, EOFError):
            await (self._pipe(reader, writer) if self.raw else self._requests(reader, writer))
        writer.close()

    async def _upstream(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.upstream.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        self.writers.append(writer)
        return reader, writer

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await self._upstream()

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, ssl.SSLError):
                while piece := await source.read(_PIECE):
                    target.write(piece)
                    await target.drain()
            with contextlib.suppress(OSError, ssl.SSLError):
                target.close()

        await asyncio.gather(copy(reader, up_writer), copy(up_reader, writer))

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            body = await reader.readexactly(int(fields.get("content-length", 0)))
            self.heads.append(head)
            response = await self._response(head, fields, body)
            faulty = self.fault if len(self.heads) > self.after else None
            if faulty in ("drop", "garbage", "truncate"):
                writer.write({"drop": b"", "garbage": b"\x00\xff" * 500, "truncate": response[: len(response) - 5]}[faulty])
                await writer.drain()
                return
            if faulty == "huge":
                writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {_HUGE}\r\n\r\n".encode())
                for _ in range(_HUGE // _PIECE):
                    writer.write(b" " * _PIECE)
                    await writer.drain()
                continue
            if faulty == "delay":
                await asyncio.sleep(self.delay_s)
            writer.write(response)
            await writer.drain()

    async def _response(self, head: str, fields: dict[str, str], body: bytes) -> bytes:
        if self.status:
            return self._own(self.status)
        method, path, version = head.split("\r\n", 1)[0].split(" ")
        if self.header and fields.get(self.header[0]) != self.header[1].lower():
            return self._own(401)
        if not path.startswith(f"{self.prefix}/"):
            return self._own(404)
        lines = [f"{method} {path.removeprefix(self.prefix)} {version}", *head.split("\r\n")[1:-2], "Connection: close"]
        up_reader, up_writer = await self._upstream()
        up_writer.write(
            "\r\n".join([*(line for line in lines if line != "Connection: keep-alive"), "", ""]).encode("latin-1") + body
        )
        await up_writer.drain()
        up_head = await up_reader.readuntil(b"\r\n\r\n")
        up_fields = dict(line.lower().split(": ", 1) for line in up_head.decode("latin-1").split("\r\n")[1:] if ": " in line)
        length = up_fields.get("content-length")
        content = await (up_reader.readexactly(int(length)) if length is not None else up_reader.read())
        up_writer.close()
        return up_head + content

    def _own(self, status: int) -> bytes:
        reasons = {302: "Found", 401: "Unauthorized", 404: "Not Found", 502: "Bad Gateway", 503: "Service Unavailable"}
        line = f"HTTP/1.1 {status} {reasons.get(status, 'Reason')}\r\n{self.extra}Content-Length: {len(self.page)}\r\n\r\n"
        return line.encode() + self.page


@contextlib.contextmanager
def running(proxy: Proxy, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[Proxy]:
    """Run the proxy in a thread; its `address` is `host:port`."""
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        server = await asyncio.start_server(proxy.serve, host, port, ssl=proxy.tls, limit=2**22)
        proxy.address = f"{host}:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await stop.wait()
        server.close()
        for task in (others := asyncio.all_tasks() - {asyncio.current_task()}):
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for writer in proxy.writers:
            with contextlib.suppress(AttributeError):  # of CPython 3.11.2, if the TLS connection is closed already
                writer.transport.abort()
        await asyncio.sleep(0.01)  # so that the aborted ones are closed
        proxy.writers.clear()

    loop.set_exception_handler(lambda *_: None)  # peers that go away in the middle are what these tests do
    thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
    thread.start()
    try:
        assert ready.wait(10)
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
