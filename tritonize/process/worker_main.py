"""The entry of every worker process: `python …/process/worker_main.py tritonize.<capability>.tasks:<NAME> <directory>`.

Reads `request.json` as the task's request, calls the task's function, writes `result.json` in one step: `{"value": …}`,
`{"error": …}` for an error of tritonize, `{"bug": …}` where request or answer are not of the task's types, or `{"unexpected": …}`
for any other exception. Only `workers.run_worker` starts it.
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

_TRACEBACK_LINES = 15


def _load_package() -> None:
    """Make `import tritonize` find the package this file lies in, installed or not, without a change of `sys.path`."""
    root = Path(__file__).resolve().parents[1]
    spec = importlib.util.spec_from_file_location("tritonize", root / "__init__.py", submodule_search_locations=[str(root)])
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["tritonize"] = package
    spec.loader.exec_module(package)


def _extend_path(directories: list[str]) -> None:
    """Put the user's directories behind the standard library and before installed packages.

    So a `model.py` of the user wins over a package of that name, and a `random.py` of the user breaks nothing.
    """
    position = next((i for i, entry in enumerate(sys.path) if entry.endswith(("site-packages", "dist-packages"))), len(sys.path))
    sys.path[position:position] = [entry for entry in directories if entry not in sys.path]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _describe(error: Exception) -> dict[str, object]:
    """The content of `result.json` for an exception."""
    from tritonize.core import errors
    from tritonize.process import tasks

    if isinstance(error, tasks.TaskError):
        return {"bug": str(error)}
    if isinstance(error, errors.TritonizeError):
        return {"error": error.to_dict()}
    for link in _chain(error):
        if isinstance(link, OSError) and link.errno == errno.ENOSPC:
            return {"error": errors.full_disk(link.filename if isinstance(link.filename, str) else None).to_dict()}
        if isinstance(link, MemoryError) or "can't allocate memory" in _message(link):  # the latter is a RuntimeError of torch
            what = errors.WorkerError("The worker ran out of memory.", found=_message(link), details=_trace(error))
            return {"error": what.to_dict()}
    return {"unexpected": {"type": type(error).__name__, "message": _message(error), "traceback": _trace(error)}}


def _message(error: BaseException) -> str:
    """What an exception says; a user's `__str__` may fail itself."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - any exception at all
        return "(its text cannot be made)"


def _trace(error: Exception) -> list[str]:
    try:
        lines = "".join(traceback.format_exception(error)).splitlines()
    except Exception:  # noqa: BLE001 - any exception at all
        return []
    return [line for line in lines if line.strip(" ^~")][-_TRACEBACK_LINES:]


def _result(name: str, directory: Path) -> dict[str, object]:
    from tritonize.process import tasks

    order = json.loads((directory / "request.json").read_text())
    _extend_path(order["search_path"])
    task = tasks.find(name)
    request = task.decode_request(order["request"])
    started = time.perf_counter()
    work = task.load()
    imported = time.perf_counter() - started
    return {"value": task.encode_result(work(request)), "import_seconds": imported}


def main() -> None:
    """Do the task; exit code 0 means that there is an answer, be it an error."""
    name, directory = sys.argv[1], Path(sys.argv[2])
    _load_package()
    from tritonize.core import logs
    from tritonize.process import processes, progress

    logs.enable_as_environment_says()
    progress.report_to(directory / "progress.txt")
    try:
        text = json.dumps(_result(name, directory))
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything, and all of it is the answer
        with contextlib.suppress(OSError):  # the log may lie on the very disk that is full
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
    os._exit(0)  # threads and destructors of the user's code have nothing more to say, and may hang


if __name__ == "__main__":
    main()
