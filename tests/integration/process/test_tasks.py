"""Every worker task fits its function; the functions are imported here, with all that they need."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import typing
from dataclasses import fields

import pytest

import tritonize
from tritonize.process import plain_data
from tritonize.process.tasks import Task, TaskError, find


def all_tasks() -> dict[str, Task[object, object]]:
    """Every `Task` in the modules called `tasks`, by the place where it is."""
    names = [each.name for each in pkgutil.walk_packages(tritonize.__path__, "tritonize.") if each.name.endswith(".tasks")]
    return {
        f"{name}:{attribute}": value
        for name in names
        for attribute, value in vars(importlib.import_module(name)).items()
        if isinstance(value, Task)
    }


@pytest.mark.parametrize("place", sorted(all_tasks()))
def test_a_task_fits_its_function(place: str) -> None:
    task = all_tasks()[place]
    assert task.name == place
    assert find(place) is task
    module, _, name = task.function.partition(":")
    assert module.startswith(f"{place.partition('.tasks:')[0]}.worker.")
    work = getattr(importlib.import_module(module), name)
    hints = typing.get_type_hints(work)
    assert hints.pop("return") is task.result
    assert list(hints.values()) == [task.request]


@pytest.mark.parametrize("place", sorted(all_tasks()))
def test_all_that_a_task_hands_over_is_known(place: str) -> None:
    task = all_tasks()[place]
    plain_data.require_known(task.request)
    plain_data.require_known(task.result)
    assert set(task.writes) <= {each.name for each in fields(task.request)}  # type: ignore[arg-type]


def test_a_task_that_is_not_there() -> None:
    with pytest.raises(TaskError, match=r"There is no task tritonize\.source\.tasks:NONE"):
        find("tritonize.source.tasks:NONE")


def test_the_tasks_load_nothing_heavy() -> None:
    code = (
        f"import sys; import {', '.join(sorted({place.partition(':')[0] for place in all_tasks()}))}; "
        "print(*{'torch', 'onnx', 'onnxruntime', 'numpy', 'pydantic', 'tensorrt'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("", "")
