"""Serve Netron's page for one network, without its requests to other servers: telemetry and the look-up of the user's country.

Netron (9.3) requests the user's country from ipinfo.io and displays a consent dialog for Google Analytics that cannot be refused.
tritonize serves Netron's files with its own server, as a development build that sends no telemetry (version 0.0.0), and sets the
consent cookie to "no". The header of every response forbids the page to connect to any other server, which also covers later
versions of Netron.
"""

from __future__ import annotations

import html
import http.server
import importlib.util
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from tritonize.core import onnx_protobuf
from tritonize.core.errors import UsageError
from tritonize.core.messages import onnx_files as wording

HOST = "127.0.0.1"
_POLICY = "connect-src 'self' blob: data:; img-src 'self' blob: data:; frame-src 'none'; object-src 'none'; form-action 'none'"
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
_VERSION = re.compile(r'<meta name="version" content="[^"]*" ?/?>')


class Server(http.server.ThreadingHTTPServer):
    """Serves one network on 127.0.0.1 until the server is closed.

    Args:
        file: an ONNX file or another file that Netron can open.
        port: TCP port; 0 lets the operating system choose one.

    Raises:
        UsageError: the page of the installed version of Netron is not supported.
        OSError: the port is in use.
    """

    daemon_threads = True

    def __init__(self, file: Path, port: int) -> None:
        spec = importlib.util.find_spec("netron")
        assert spec is not None
        assert spec.origin is not None
        self.assets = Path(spec.origin).resolve().parent
        self.page = _page((self.assets / "index.html").read_text(encoding="utf-8"), file.name)
        self.data = _data(file)
        super().__init__((HOST, port), _Handler)

    @property
    def address(self) -> str:
        """URL for the browser, such as `http://127.0.0.1:8080`."""
        return f"http://{HOST}:{self.server_address[1]}"


def _page(page: str, name: str) -> str:
    """Insert the file to open into Netron's page, and set its version to 0.0.0, since released versions send telemetry."""
    values = {"type": "Python", "version": "0.0.0", "file": f"/data/{quote(name)}", "name": name, "identifier": name}
    meta = "\n".join(f'<meta name="{key}" content="{html.escape(value)}">' for key, value in values.items())
    changed, count = _VERSION.subn(lambda _: meta, page)
    if count != 1:
        raise UsageError.of(wording.NETRON_PAGE, expected="one version tag in index.html", found=f"{count}")
    return changed


def _data(file: Path) -> Mapping[str, Path]:
    """Return the files that the page may read, by name: the network and its external data, and no other file of the folder."""
    files = {file.name: file}
    if file.suffix == ".onnx":
        files |= {path.relative_to(file.parent).as_posix(): path for path in onnx_protobuf.data_files(file) if path.is_file()}
    return files


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.headers.get("Host") not in (
            f"{HOST}:{self.server.server_address[1]}",
            f"localhost:{self.server.server_address[1]}",
        ):
            self.send_error(http.HTTPStatus.FORBIDDEN)  # against DNS rebinding, where another host name resolves to this address
            return
        path = unquote(urlsplit(self.path).path)
        if path in ("/", "/index.html"):
            self._send("text/html; charset=utf-8", self.server.page.encode())
        elif path.startswith("/data/"):
            self._send_file(self.server.data.get(path.removeprefix("/data/")), "application/octet-stream")
        else:
            asset = (self.server.assets / path.lstrip("/")).resolve()
            inside = asset.is_relative_to(self.server.assets) and asset.is_file()
            self._send_file(asset if inside and asset.suffix in _TYPES else None, _TYPES.get(asset.suffix, ""))

    do_HEAD = do_GET  # noqa: N815 - the names are http.server's

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Set-Cookie", "consent=0; Max-Age=86400; SameSite=Strict")  # answers the consent dialog with "no"
        super().end_headers()

    def _send_file(self, path: Path | None, kind: str) -> None:
        if path is None:
            self.send_error(http.HTTPStatus.NOT_FOUND)
            return
        with path.open("rb") as file:
            self._head(kind, path.stat().st_size)
            if self.command != "HEAD":
                shutil.copyfileobj(file, self.wfile)

    def _send(self, kind: str, content: bytes) -> None:
        self._head(kind, len(content))
        if self.command != "HEAD":
            self.wfile.write(content)

    def _head(self, kind: str, size: int) -> None:
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing: `tritonize view` already printed the URL."""
