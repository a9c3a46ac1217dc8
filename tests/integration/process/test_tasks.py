"""The declaration of every worker task matches its function; these tests import all worker modules."""

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
    """Return every `Task` in the modules called `tasks`, by its `module:NAME`."""
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
def test_the_types_of_requests_and_answers_are_supported(place: str) -> None:
    task = all_tasks()[place]
    plain_data.require_supported(task.request)
    plain_data.require_supported(task.result)
    assert set(task.writes) <= {each.name for each in fields(task.request)}  # type: ignore[arg-type]


def test_a_task_that_does_not_exist() -> None:
    with pytest.raises(TaskError, match=r"The task tritonize\.source\.tasks:NONE does not exist"):
        find("tritonize.source.tasks:NONE")


def test_the_tasks_load_nothing_heavy() -> None:
    code = (
        f"import sys; import {', '.join(sorted({place.partition(':')[0] for place in all_tasks()}))}; "
        "print(*{'torch', 'onnx', 'onnxruntime', 'numpy', 'pydantic', 'tensorrt'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("", "")
