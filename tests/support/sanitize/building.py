"""Compile the native backend and the stand-in for Triton into one program, with both sanitizers."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from tests.support.command import CHECKOUT

BACKEND = CHECKOUT / "tritonize/backends/onnxruntime/native"
STAND_IN = Path(__file__).parent
FLAGS = (
    "-std=gnu11",
    "-O1",
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Werror",
)
OPTIONS = {
    # An allocation that is too large fails, as it does without a sanitizer.
    "ASAN_OPTIONS": "allocator_may_return_null=1:max_allocation_size_mb=1024:detect_stack_use_after_return=1:"
    "handle_abort=1:detect_leaks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


def compiler() -> list[str] | None:
    """The compiler's command: `$CC`, else gcc or cc; `None` without a compiler."""
    if given := shlex.split(os.environ.get("CC", "")):
        return given
    return next(([found] for name in ("gcc", "cc") if (found := shutil.which(name))), None)


def build(folder: Path) -> Path:
    """The program, in a folder that is made for it.

    Raises:
        RuntimeError: the compiler fails; the text has its messages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    program, command = folder / "sanitized", [*(compiler() or ["cc"]), *FLAGS, f"-I{BACKEND}"]
    objects: list[Path] = []
    for source in sorted((*BACKEND.glob("*.c"), *STAND_IN.glob("*.c"))):
        fallible = ["-include", str(STAND_IN / "fallible.h")] if source.parent == BACKEND else []
        objects.append(folder / f"{source.parent.name}-{source.stem}.o")
        _run([*command, *fallible, "-c", str(source), "-o", str(objects[-1])])
    _run([*command, *map(str, objects), "-o", str(program), "-ldl", "-lpthread"])
    return program


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")
