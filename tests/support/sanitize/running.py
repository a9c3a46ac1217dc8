"""Run the program under the sanitizers, several processes at a time, and collect what each found."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.support.sanitize import building
from tests.support.sanitize.scenarios import all_scenarios
from tests.support.sanitize.subjects import all_subjects
from tritonize.triton.server import native_backend

_DEADLINE_S = 900
_FUZZ_MARGIN_S = 120


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One process."""

    name: str
    exit_code: int
    output: str
    seconds: float

    @property
    def runs(self) -> int:
        """How many lives of the backend, or random models, it played."""
        found = re.search(r"^(\d+) runs?\b", self.output, re.MULTILINE)
        return int(found[1]) if found else 0

    @property
    def passed(self) -> bool:
        return self.exit_code == 0


@dataclass(frozen=True)
class Sanitized:
    """The program, and the folder that its scenarios and models are written to."""

    program: Path
    folder: Path

    @classmethod
    def build(cls, folder: Path) -> Sanitized:
        return cls(building.build(folder / "program"), folder)

    def run(self, name: str, mode: str, *arguments: str, deadline_s: float = _DEADLINE_S) -> Outcome:
        """One process in one of the modes that main.c lists."""
        command = [str(self.program), mode, str(native_backend.find().onnxruntime), *arguments]
        begun = time.monotonic()
        try:
            done = subprocess.run(
                command, env={**os.environ, **building.OPTIONS}, capture_output=True, timeout=deadline_s, check=False
            )
            code, output = done.returncode, done.stdout + done.stderr
        except subprocess.TimeoutExpired as error:
            code, output = 124, (error.stdout or b"") + (error.stderr or b"") + b"\nfinding: it did not end\n"
        return Outcome(name=name, exit_code=code, output=output.decode(errors="replace"), seconds=time.monotonic() - begun)

    def scenarios(self, *, failing: bool, workers: int = 2) -> list[Outcome]:
        """Each scenario once; with `failing`, again and again, each time with another call that fails."""
        calls: list[Callable[[], Outcome]] = []
        for each in all_scenarios():
            if failing and each.long:
                continue
            folder = self.folder / "scenarios" / each.name
            each.write(folder)
            calls.append(lambda name=each.name, folder=folder: self.run(name, "failures" if failing else "scenario", str(folder)))
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(lambda call: call(), calls))

    def fuzz(self, *, seed: int, seconds: float, runs: int = 0, log: bool = False) -> Outcome:
        """Random configurations and requests, from this seed on, for so many seconds or `runs`."""
        folder = self.folder / "models"
        for number, subject in enumerate(all_subjects()):
            subject.write(folder / f"{number:02}")
        words: Sequence[str] = (str(folder), str(seed), str(seconds), str(runs), *["--log"] * log)
        return self.run(f"seeds from {seed}", "fuzz", *words, deadline_s=seconds + _FUZZ_MARGIN_S)

    def probe(self) -> Outcome:
        """What is tried before a server is started with a library."""
        return self.run("probe", "probe")
