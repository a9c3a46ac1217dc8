"""The requests of a benchmark for NVIDIA's perf_analyzer: its input file, its command lines, and the program where it is installed.

The file has the form of perf_analyzer's docs/input_data.md, the command lines have the options of its docs/cli.md. perf_analyzer
compares outputs bit by bit or not at all, so the expected outputs are not part of the file.
"""

from __future__ import annotations

import base64
import csv
import json
import shlex
import shutil
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from tritonize.bench.load import Shape
from tritonize.core import deadline, texts
from tritonize.core.arrays import Array
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import MissingError, ServerError, storage_errors
from tritonize.core.messages import bench as wording
from tritonize.process import processes

PROGRAM = "perf_analyzer"
PLACEHOLDER = "perf-analyzer"
"""A package on PyPI of almost that name, without the program."""
INPUTS, SCRIPT = "inputs.json", "run.sh"
LONGEST_S = 3600.0
"""Time limit of one load that perf_analyzer measures, in seconds."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What perf_analyzer sends requests to."""

    model: str
    version: int
    protocol: str
    address: str
    """`host:port`, or an address with scheme and path."""
    options: ConnectionOptions


def program() -> str:
    """Path of the installed program.

    Raises:
        MissingError: it is not on PATH; the error says if the package of that name is what is installed.
    """
    found = shutil.which(PROGRAM)
    if found is None:
        try:
            version = metadata.version(PLACEHOLDER)
        except metadata.PackageNotFoundError:
            raise MissingError.of(wording.NO_PERF_ANALYZER, expected=f"{PROGRAM} on PATH") from None
        raise MissingError.of(wording.PERF_ANALYZER_PLACEHOLDER, found=f"{PLACEHOLDER} {version}", expected=f"{PROGRAM} on PATH")
    return found


def inputs(samples: Sequence[Mapping[str, Array]], *, batched: bool) -> dict[str, object]:
    """The content of the input file: every sample by itself, without its batch axis, in base64 with its shape."""
    return {"data": [{name: _tensor(array, batched=batched) for name, array in sample.items()} for sample in samples]}


def _tensor(array: Array, *, batched: bool) -> dict[str, object]:
    shape = list(array.shape[1:] if batched else array.shape)
    return {"content": {"b64": base64.b64encode(_content(array)).decode()}, "shape": shape}


def _content(array: Array) -> bytes:
    """The elements in row-major order, little-endian; a text stands after its length, a number of four bytes."""
    if array.dtype == object:
        return b"".join(struct.pack("<I", len(item)) + item for item in texts.encoded(array).reshape(-1))
    return np.ascontiguousarray(array).tobytes()


def command(subject: Subject, shape: Shape, size: int, *, window_s: float) -> list[str]:
    """The command line for one load, without the file of the results."""
    words = [PROGRAM, "-m", subject.model, "-x", str(subject.version), "-i", subject.protocol, *_address(subject)]
    words += ["--input-data", INPUTS, f"--measurement-interval={round(window_s * 1000)}"]
    if size > 1:
        words += ["-b", str(size)]
    if shape.kind == "rate":
        return [*words, f"--request-rate-range={shape.level:g}", f"--request-distribution={shape.arrivals}"]
    return [*words, f"--concurrency-range={shape.level:g}"]


def _address(subject: Subject) -> list[str]:
    """Address and TLS options. Headers may be secret and are left out."""
    scheme, _, rest = subject.address.rpartition("://")
    files = subject.options
    if scheme == "grpcs":
        given = {
            "root-certifications": files.ca,
            "private-key": files.key or files.certificate,
            "certificate-chain": files.certificate,
        }
        return ["-u", rest, "--ssl-grpc-use-ssl", *(f"--ssl-grpc-{name}-file={path}" for name, path in given.items() if path)]
    if scheme != "https":
        return ["-u", rest]
    given = {"ca-certificates": files.ca, "client-certificate": files.certificate, "private-key": files.key or files.certificate}
    unchecked = ["--ssl-https-verify-peer=0", "--ssl-https-verify-host=0"] if files.insecure else []
    return ["-u", subject.address, *unchecked, *(f"--ssl-https-{name}-file={path}" for name, path in given.items() if path)]


def export(
    directory: Path, content: Mapping[str, object], commands: Sequence[Sequence[str]], *, note: str = ""
) -> tuple[Path, Path]:
    """Write the input file and a script with the command lines; the script takes another address from `URL`.

    Raises:
        RepositoryError: the folder cannot be written.
    """
    with storage_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        (directory / INPUTS).write_text(json.dumps(content), encoding="utf-8")
        lines = [
            "#!/bin/sh",
            "# The requests of a golden set, sent by NVIDIA's perf_analyzer, which compares no output.",
            *([f"# {note}"] if note else []),
        ]
        lines += ["set -e", 'cd "$(dirname "$0")"']
        lines += [f"{_with_url(words)} -f load-{number}.csv" for number, words in enumerate(commands, 1)]
        script = directory / SCRIPT
        script.write_text("\n".join(lines) + "\n", encoding="utf-8")
        script.chmod(0o755)
    return directory / INPUTS, script


def _with_url(words: Sequence[str]) -> str:
    place = words.index("-u") + 1
    default = words[place] if shlex.quote(words[place]) == words[place] else ""
    return " ".join([shlex.join(words[:place]), f'"${{URL:-{default}}}"', shlex.join(words[place + 1 :])])


def run(program: str, words: Sequence[str], directory: Path, *, number: int) -> dict[str, float]:
    """Run one load and return the first row of its results: column to value, in the program's own names and units.

    Raises:
        ServerError: it failed, or wrote no results.
    """
    results, log = directory / f"load-{number}.csv", directory / f"load-{number}.log"
    argv = [program, *words[1:], "-f", results.name]
    with processes.start(argv, log=log, cwd=directory, deadline_s=min(deadline.left(), LONGEST_S)) as process:
        ended = process.wait()
    try:
        with results.open(encoding="utf-8", newline="") as file:
            row = next(csv.DictReader(file))
        return {name: float(value) for name, value in row.items() if name and value}
    except (OSError, StopIteration, ValueError, TypeError) as error:
        tail = processes.log_tail(log)
        raise ServerError.of(wording.PERF_ANALYZER_FAILED, where=program, found=ended.describe(), details=tail) from error
