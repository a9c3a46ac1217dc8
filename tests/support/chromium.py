"""A headless Chromium with one page, controlled over the DevTools protocol through a pipe, so without a driver and a port."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
INSTALL = "Chromium is not installed; on Debian: apt-get install chromium"


class Page:
    """One tab."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._write, self._read = to_browser, from_browser
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility", "DOM"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events that arrive meanwhile go to `events`."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _next(self, seconds: float = 60) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            assert ready, "the browser did not answer in time"
            piece = os.read(self._read, 1 << 20)
            assert piece, "the browser has ended"
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(line)
        if "method" in message:
            self.events.append(message)
        return message

    def open(self, path: Path, *, width: int, height: int = 900, dark: bool = False, script: bool = True) -> None:
        """Load a file at a width in CSS pixels, and wait until it is complete."""
        self.events.clear()
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.command(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        )
        self.command("Emulation.setScriptExecutionDisabled", value=not script)
        self.command("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._next()

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        answer = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def problems(self) -> list[str]:
        """The errors of the page and its console, and all requests except those for files and data URIs."""
        found = []
        for event in self.events:
            facts = event["params"]
            if event["method"] == "Runtime.exceptionThrown" or (
                event["method"] == "Runtime.consoleAPICalled" and facts["type"] in ("error", "warning", "assert")
            ):
                found.append(json.dumps(facts))
            if event["method"] == "Log.entryAdded" and facts["entry"]["level"] in ("error", "warning"):
                found.append(facts["entry"]["text"])
            if event["method"] == "Network.requestWillBeSent" and not facts["request"]["url"].startswith(("file:", "data:")):
                found.append(facts["request"]["url"])
        return found

    def accessible(self) -> list[tuple[str, str, str]]:
        """Role, name and description of every node in the accessibility tree."""
        nodes = self.command("Accessibility.getFullAXTree")["nodes"]
        shown = [node for node in nodes if not node["ignored"]]
        part = [[node.get(key, {}).get("value", "") for key in ("role", "name", "description")] for node in shown]
        return [(str(role), str(name), str(about)) for role, name, about in part]

    def screenshot(self, path: Path, clip: dict[str, float] | None = None) -> None:
        """Write the whole page, or a part of it, as a PNG."""
        size = clip or self.value("({x: 0, y: 0, width: document.documentElement.scrollWidth, height: document.body.scrollHeight})")
        parameters = {"format": "png", "captureBeyondViewport": True, "clip": {**size, "scale": 1}}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", **parameters)["data"]))

    def pdf(self, path: Path) -> None:
        """Write the page as it is printed on A4."""
        path.parent.mkdir(parents=True, exist_ok=True)
        answer = self.command("Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.69)
        path.write_bytes(base64.b64decode(answer["data"]))


@contextmanager
def page(profile: Path) -> Iterator[Page]:
    """Start a browser with its own profile; it is closed at the end of the block."""
    assert PROGRAM
    to_browser, from_browser = os.pipe(), os.pipe()
    command = f'exec "$0" "$@" 3<&{to_browser[0]} 4>&{from_browser[1]}'  # the protocol speaks on descriptors 3 and 4
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
    flags += ["--no-first-run", "--hide-scrollbars", f"--user-data-dir={profile}", "about:blank"]
    ends = (to_browser[0], from_browser[1])
    # A group of its own, so that its helpers can be ended with it.
    browser = subprocess.Popen(
        ["bash", "-c", command, PROGRAM, *flags], pass_fds=ends, stderr=subprocess.DEVNULL, start_new_session=True
    )
    for end in ends:
        os.close(end)
    try:
        opened = Page(to_browser[1], from_browser[0])
        yield opened
        opened._session = None
        opened.command("Browser.close")
    finally:
        try:
            browser.wait(10)
        except subprocess.TimeoutExpired:
            browser.kill()
            browser.wait(10)
        for end in (to_browser[1], from_browser[0]):
            os.close(end)
