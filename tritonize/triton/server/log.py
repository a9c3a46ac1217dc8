"""Parse Triton's log. The reason why a model failed to load is often available nowhere else."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

_LINE = re.compile(r'^(?P<level>[IWEF])\d{4} [\d:.]+ \d+ [\w.]+:\d+\] "(?P<text>.*)"$')
_BAD_CONFIG = re.compile(r"Error parsing text-format inference\.ModelConfig: (?P<line>\d+):(?P<column>\d+): (?P<text>.*)$")
_POLL_FAILED = re.compile(r"^Poll failed for model directory '(?P<model>.*?)': (?P<text>.*)", re.DOTALL)
_NOT_LOADED = re.compile(r"^failed to load model '(?P<model>.*?)': (?P<text>.*)", re.DOTALL)
_ENSEMBLE = re.compile(
    r"^Invalid argument: (?P<text>(?:in )?(?:ensemble|circular dependency between ensembles:) '?(?P<model>[^\s',]+).*)", re.DOTALL
)
_NO_FILE = re.compile(
    rb"Failed to preinitialize Python stub: (?P<text>Python model file not found in '\S*/(?P<model>[^/]+)/\d+/\S+')"
)
_LOAD_FAILED = re.compile(r"^failed to load '(?P<model>.*?)' version \d+: (?P<text>.*)", re.DOTALL)
_STATUS = re.compile(r"^(Internal|Invalid argument|Invalid_arg|Not found|Unavailable|Unsupported|Unknown|Already exists): ")
_EXCEPTION = re.compile(r"^(ValueError|TritonModelException|c_python_backend_utils\.TritonModelException): ")
_TAKEN = re.compile(rb"Socket '\S+' already in use")
SERVER_VERSION = re.compile(r"^\| server_version +\| (\S+) ", re.MULTILINE)
"""The line of the table that a server prints at its start."""
_RUNTIME = re.compile(r"native backend: ONNX Runtime (\S+?)\"")
_PLANS = re.compile(r": (tensorrt|tensorrt_rtx) (\d\S*), \S+ on (.+?), profiles .*?, Python (\S+?)\"")


def read(log: Path) -> str:
    """The whole log."""
    return log.read_text(encoding="utf-8", errors="replace")


def messages(log: Path) -> list[tuple[str, str]]:
    """Level and text of every line; the level is `I`, `W`, `E` or `F`, or empty for a line that Triton did not write."""
    lines = []
    for line in read(log).splitlines():
        match = _LINE.match(line)
        lines.append((match["level"], _unescape(match["text"])) if match else ("", line))
    return lines


def refusals(log: Path) -> dict[str, str]:
    """The reason why each refused model failed to load, by model name: a few lines without Triton's prefixes."""
    reasons: dict[str, str] = {}
    place = ""
    for _, text in messages(log):
        if match := _BAD_CONFIG.search(text):
            place = f"config.pbtxt, line {match['line']}, column {match['column']}: {match['text']}"
        elif match := _POLL_FAILED.match(text):
            reasons[match["model"]] = place or plain(match["text"])
            place = ""
        elif match := _LOAD_FAILED.match(text) or _NOT_LOADED.match(text) or _ENSEMBLE.match(text):
            reasons[match["model"]] = plain(match["text"])
    return reasons


def hung(log: Path) -> dict[str, str]:
    """The reason why a model will never be loaded, by model name.

    Triton 2.51 waits without end for the process of a Python model that ended because it has no file (python_backend
    `src/pb_stub.cc`), so the server never becomes ready.
    """
    found = _NO_FILE.finditer(_tail(log, 1 << 16))
    return {each["model"].decode(errors="replace"): each["text"].decode(errors="replace") for each in found}


def plain(reason: str) -> str:
    """The reason without status codes, exception names and the backend's traceback."""
    reason = reason.split("\n\nAt:", 1)[0].strip()
    while match := _STATUS.match(reason) or _EXCEPTION.match(reason):
        reason = reason[match.end() :]
    return reason


def port_was_taken(log: Path) -> bool:
    """Whether the server could not listen because another process uses the port."""
    return _TAKEN.search(_tail(log)) is not None


def problems(log: Path, lines: int = 12) -> list[str]:
    """The last warnings and errors, for the details of an error."""
    found = [line for level, text in messages(log) if level in ("W", "E", "F") for line in text.splitlines()]
    return [line[:300] for line in found if line.strip()][-lines:]


def is_unloading(log: Path) -> bool:
    """Whether the server, being stopped, has completed all requests and is about to unload its models."""
    return b"All models are stopped, unloading models" in _tail(log)


def _tail(log: Path, size: int = 4096) -> bytes:
    """The last bytes."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - size))
        return file.read()


def versions(log: Path) -> dict[str, str]:
    """The versions of the server, its runtimes, and for plans of Python and the GPU, as far as the log reports them."""
    text = read(log)
    versions = {}
    if server := SERVER_VERSION.search(text):
        versions["tritonserver"] = server[1]
    if runtime := _RUNTIME.search(text):
        versions["onnxruntime"] = runtime[1]
    for module, version, gpu, python in _PLANS.findall(text):
        versions[module], versions["gpu"], versions["python"] = version, gpu, python
    return versions


def _unescape(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text
