"""The entry of every worker process: `python …/process/worker_main.py tritonize.<capability>.tasks:<NAME> <directory>`.

It reads the task's request from `request.json`, calls the task's function, and writes `result.json` in one step: `{"value": …}`,
`{"error": …}` for an error of tritonize, `{"bug": …}` if the request or the result does not have the task's type, or
`{"unexpected": …}` for any other exception. Only `workers.run_worker` starts it.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import importlib.util
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

_TRACEBACK_LINES = 15


def load_package() -> None:
    """Make `import tritonize` load the package that contains this file, installed or not, without changing `sys.path`."""
    root = Path(__file__).resolve().parents[1]
    spec = importlib.util.spec_from_file_location("tritonize", root / "__init__.py", submodule_search_locations=[str(root)])
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["tritonize"] = package
    spec.loader.exec_module(package)


def _extend_path(directories: list[str]) -> None:
    """Insert the user's directories after the standard library and before installed packages.

    A `model.py` of the user then takes precedence over an installed package of that name, and a `random.py` of the user does not
    replace the standard library's.
    """
    position = next((i for i, entry in enumerate(sys.path) if entry.endswith(("site-packages", "dist-packages"))), len(sys.path))
    sys.path[position:position] = [entry for entry in directories if entry not in sys.path]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception, then its causes or contexts."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _describe(error: Exception) -> dict[str, object]:
    """Return the content of `result.json` for an exception."""
    from tritonize.core import errors
    from tritonize.core.messages import processes as wording
    from tritonize.process import tasks

    if isinstance(error, tasks.TaskError):
        return {"bug": str(error)}
    if isinstance(error, errors.TritonizeError):
        return {"error": error.to_dict()}
    for link in _chain(error):
        if isinstance(link, OSError) and link.errno == errno.ENOSPC:
            return {"error": errors.full_disk(link.filename if isinstance(link.filename, str) else None).to_dict()}
        if isinstance(link, MemoryError) or "can't allocate memory" in _message(link):  # the latter is a RuntimeError of torch
            out_of_memory = errors.WorkerError.of(wording.WORKER_OUT_OF_MEMORY, found=_message(link), details=_trace(error))
            return {"error": out_of_memory.to_dict()}
    return {"unexpected": {"type": type(error).__name__, "message": _message(error), "traceback": _trace(error)}}


def _message(error: BaseException) -> str:
    """Return an exception's text; the `__str__` of a user's exception may itself raise."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the user's `__str__` may raise anything
        return "(no text, since its __str__ raises)"


def _trace(error: Exception) -> list[str]:
    try:
        lines = "".join(traceback.format_exception(error)).splitlines()
    except Exception:  # noqa: BLE001 - the user's `__str__` may raise anything
        return []
    return [line for line in lines if line.strip(" ^~")][-_TRACEBACK_LINES:]


def _result(name: str, directory: Path) -> dict[str, object]:
    from tritonize.process import isolation, loaded_code, tasks

    order = json.loads((directory / "request.json").read_text())
    _extend_path(order["search_path"])
    if isolation.runs_user_code(order["request"]):
        loaded_code.watch()
    task = tasks.find(name)
    request = task.decode_request(order["request"])
    started = time.perf_counter()
    work = task.load()
    imported = time.perf_counter() - started
    value = task.encode_result(work(request))
    known = [f"{directory.absolute()}/", *loaded_code.known_places(order["request"])]
    return {"value": value, "import_seconds": imported, "loaded": loaded_code.found(known)}


def run(name: str, directory: Path) -> NoReturn:
    """Run the task and write its result; exit code 0 means that `result.json` exists, also if it holds an error.

    The package is loaded (`load_package`).

    Args:
        name: the task's name; see `tasks.Task`.
        directory: the folder with `request.json`.
    """
    from tritonize.core import logs
    from tritonize.process import processes, progress

    logs.enable_from_environment()
    progress.report_to(directory / "progress.txt")
    try:
        text = json.dumps(_result(name, directory))
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything, and the result reports it
        with contextlib.suppress(OSError):  # the log may be on the disk that is full
            traceback.print_exc()
        text = json.dumps(_describe(error))
    staged = directory / "result.json.new"
    try:
        staged.write_text(text)
        staged.replace(directory / "result.json")
    except OSError as error:
        sys.exit(processes.NO_SPACE_EXIT_CODE if error.errno == errno.ENOSPC else f"{staged}: {error}")
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)  # the result is written; threads and destructors of the user's code might hang


if __name__ == "__main__":
    load_package()
    run(sys.argv[1], Path(sys.argv[2]))
