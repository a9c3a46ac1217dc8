"""Publishing, promote, rollback and prune are atomic: killed or failed at any step, they leave the old or the new state.

A step is an operation on a file or folder that Python reports as an audit event, or a call of fsync, write or exchange.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tritonize import repository
from tritonize.core import durable_files, errors
from tritonize.core.errors import TritonizeError
from tritonize.triton.model_config import label_filename
from tritonize.workflows import promotion, pruning

PLACE = Path("models")
MODEL = PLACE / "m"
APART = Path("models.evidence")
EVENTS = (
    "os.rename",
    "os.link",
    "os.symlink",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.utime",
    "os.chmod",
    "os.chown",
    "fcntl.flock",
)
HEALTHY, MALIGNANT = "healthy\nmalignant\n", "malignant\nhealthy\n"


@dataclass(frozen=True)
class Seen:
    """The state of the model that a server reads: the configurations, the files that they name, and the versions."""

    config: str
    labels: str
    variant: str
    warmup: str
    versions: tuple[tuple[int, bytes], ...]


def seen() -> Seen | None:
    if not MODEL.exists():
        return None
    config = (MODEL / "config.pbtxt").read_text()
    named = config.split('"')[-2]
    labels = (MODEL / named).read_text()
    variant = (MODEL / "configs/small.pbtxt").read_text()
    warmup = (MODEL / "warmup" / named).read_text()
    numbers = repository.versions(PLACE, "m")
    return Seen(
        config, labels, variant, warmup, tuple((number, (MODEL / str(number) / "model.onnx").read_bytes()) for number in numbers)
    )


def publish(content: str, labels: str, **options: Any) -> int:
    """Publish a version as a run does; the configuration names its labels file by the file's content."""
    named = label_filename("y", labels)
    with repository.staging(PLACE) as run:
        (run.work / "model.onnx").write_text(content)
        number = repository.next_version(PLACE, "m")
        text = f'name: "m" output {{ name: "y" label_filename: "{named}" }}\n'
        # The input of the warmup has the labels' name and content here.
        texts = {"config.pbtxt": text, "configs/small.pbtxt": text, f"warmup/{named}": labels, named: labels}
        staged = repository.stage(run, "m", number, files={f"{number}/model.onnx": run.work / "model.onnx"}, texts=texts)

        def finish(final: repository.StagedVersion) -> None:
            (final.version_directory / "evidence").mkdir()
            (final.version_directory / "evidence" / "report.json").write_text(json.dumps({"version": final.version}))
            for name in filter(repository.is_config, texts):
                (final.version_directory / "evidence" / name).parent.mkdir(exist_ok=True)
                shutil.copy(final.model_directory / name, final.version_directory / "evidence" / name)
            repository.write_manifest(final, {"verdict": "passed"})

        return repository.publish(staged, PLACE, allow_change=True, finish=finish, **options).version


# ---- a run of its own process, of which one step is the last, or fails ----


@dataclass(frozen=True)
class Outcome:
    """The outcome of a child process."""

    ended: str
    """`published`, `killed`, or the class of its error."""
    steps: int
    """Number of steps that it made."""
    torn: list[str]
    """Mixed states that a reader could have seen."""


def in_child(work: Callable[[], Any], allowed: set[Seen | None], *, step: int = 0, number: int = 0, stays: bool = False) -> Outcome:
    """Run the work in a child process.

    Args:
        work: the work.
        allowed: the states that a reader may see before each step.
        step: the step at which the child is killed or that fails; 0 for none.
        number: the error with which the step fails; 0 kills the child.
        stays: whether every later step fails too.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            result = _child(work, allowed, step, number, stays)
            os.write(writer, json.dumps(result).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return Outcome("killed", step, [])
    ended, steps, torn = json.loads(answer)
    return Outcome(ended, steps, torn)


def _child(work: Callable[[], Any], allowed: set[Seen | None], step: int, number: int, stays: bool) -> tuple[str, int, list[str]]:
    count, looking, torn = 0, False, []

    def before(what: str) -> None:
        nonlocal count, looking
        if looking:
            return
        looking = True
        count += 1
        if (found := seen()) not in allowed:
            torn.append(f"before step {count}, {what}: {found}")
        looking = False
        if step and (count == step or (stays and count > step)):
            if not number:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(number, os.strerror(number), what)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in EVENTS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            before(f"{event} {arguments[0]}")

    def wrapped(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            before(f"{name} {arguments[0]}")
            return function(*arguments)

        return call

    os.fsync, os.write = wrapped("fsync", os.fsync), wrapped("write", os.write)
    durable_files.exchange = wrapped("exchange", durable_files.exchange)
    sys.addaudithook(hook)
    try:
        work()
        ended = "published"
    except (OSError, TritonizeError) as error:
        ended = type(error).__name__
    looking = True
    return ended, count, torn


def without_exchange(work: Callable[[], Any]) -> Callable[[], Any]:
    """Run the work as on a filesystem that cannot exchange two folders, such as NFS."""

    def call() -> Any:
        own, durable_files.exchange = durable_files.exchange, lambda _one, _other: False
        try:
            return work()
        finally:
            durable_files.exchange = own

    return call


def change() -> int:
    return publish("two", MALIGNANT)


def same() -> int:
    return publish("two", HEALTHY)


def rollback() -> int:
    return promotion.rollback(promotion.Request(repository=PLACE, model="m")).version


def promote() -> int:
    return promotion.promote(promotion.Request(repository=PLACE, model="m", version=2)).version


def prune() -> None:
    (removal,) = pruning.prune(pruning.Request(repository=PLACE, keep=1))
    if removal.error:
        raise removal.error


def outside() -> int:
    return publish("two", HEALTHY, place="outside")


def prune_outside() -> None:
    prune()


SCENARIOS = {
    "evidence outside": outside,
    "prune of evidence outside": prune_outside,
    "replaced configuration": change,
    "without exchange": without_exchange(change),
    "same configuration": same,
    "first version": same,
    "rollback": rollback,
    "rollback without exchange": without_exchange(rollback),
    "promote": promote,
    "promote without exchange": without_exchange(promote),
    "prune": prune,
    "prune without exchange": without_exchange(prune),
}


def before(name: str) -> None:
    """Publish what the scenario finds."""
    if name != "first version":
        publish("one", HEALTHY)
    kind = name.partition(" ")[0]
    options = {"place": "outside"} if "outside" in name else {}
    if kind in ("rollback", "promote", "prune"):
        publish("two", MALIGNANT, **options)
    if kind == "promote":
        rollback()
    if kind == "prune":
        publish("three", HEALTHY)


FAILURES = [(0, False), (errno.EIO, False), (errno.ENOSPC, True)]


def prepared(name: str) -> tuple[Seen | None, Seen]:
    """Return the states before and after the scenario; leave the repository in the state before, with a backup copy."""
    before(name)
    old = seen()
    for folder, copy in ((PLACE, "backup"), (APART, "backup.evidence")):
        if folder.exists():
            shutil.copytree(folder, copy)
    SCENARIOS[name]()
    new = seen()
    assert new is not None
    reset()
    return old, new


def reset() -> None:
    for folder in (PLACE, APART, Path(".models.staging")):
        shutil.rmtree(folder, ignore_errors=True)
    for folder, copy in ((PLACE, "backup"), (APART, "backup.evidence")):
        if Path(copy).exists():
            shutil.copytree(copy, folder)


def require_whole(name: str, step: int, number: int, stays: bool, old: Seen | None, new: Seen) -> str:
    """Run the scenario with one failure, then another run; check the states that readers see."""
    where = f"{name}, step {step}, {errno.errorcode.get(number, 'killed')}{' from then on' if stays else ''}"
    between = {None} if "without exchange" in name else set()
    outcome = in_child(SCENARIOS[name], {old, new, *between}, step=step, number=number, stays=stays)
    assert outcome.torn == [], where
    after = seen()
    if outcome.ended == "published":
        assert after == new, where
    elif outcome.ended == "killed":
        assert after in {old, new, *between}, where
    else:
        assert outcome.ended == "RepositoryError", (where, outcome.ended)
        assert after == old or (after is None and "without exchange" in name and stays), where
    for again in range(1, 40, 3) if after is None and old else ():  # the next run is killed as well, while it completes this one
        in_child(lambda: publish("three", MALIGNANT), {old, new, None}, step=again)
        assert seen() in {old, new, None}, where
    next_run = publish("three", MALIGNANT)
    assert next_run == max(number for number, _ in seen().versions), where
    contents = dict(seen().versions)
    kept = {one for one, _ in (old.versions if old else ())} & {one for one, _ in new.versions}
    assert kept <= set(contents), where
    if after is not None:
        assert {**contents, **dict(after.versions)} == contents, where
    assert all(repository.integrity(PLACE, "m", each, shared=False) == () for each in contents), where
    assert {"home", "models"} <= set(os.listdir()) <= {"backup", "backup.evidence", "home", "models", APART.name}, where
    if "prune" in name:
        pruning.prune(pruning.Request(repository=PLACE, keep=9))
        left = {int(each.name) for each in APART.glob("m/*")}
        assert left <= set(repository.versions(PLACE, "m")), where
    reset()
    return outcome.ended


def points(name: str) -> tuple[int, Seen | None, Seen]:
    old, new = prepared(name)
    whole = in_child(SCENARIOS[name], {old, new, None} if "without exchange" in name else {old, new})
    assert (whole.ended, whole.torn) == ("published", [])
    reset()
    return whole.steps, old, new


def every(name: str, stride: int) -> Iterator[str]:
    steps, old, new = points(name)
    for (number, stays), step in itertools.product(FAILURES, range(1, steps + 1)):
        if stride == 1 or (step + number) % stride == 0:
            yield require_whole(name, step, number, stays, old, new)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace fsync by a function that returns at once; it is still counted as a step and made to fail."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


def tried(name: str, stride: int, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.perf_counter()
    ended = list(every(name, stride))
    counts = ", ".join(f"{ended.count(kind)} {kind}" for kind in sorted(set(ended)))
    with capsys.disabled():
        print(f"\n{name}: {len(ended)} failures, 0 torn ({counts}) in {time.perf_counter() - started:.1f} s")
    assert {"killed", "RepositoryError"} <= set(ended)


def test_an_interrupt_is_handled_after_the_published_version_is_reported():
    publish("one", HEALTHY)
    own, reported = durable_files.exchange, []

    def interrupted(one: Path, other: Path) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return own(one, other)

    durable_files.exchange = interrupted
    try:
        with pytest.raises(KeyboardInterrupt):
            publish("two", MALIGNANT, done=reported.append)
    finally:
        durable_files.exchange = own
    assert [each.version for each in reported] == [2]
    assert seen().labels == MALIGNANT
    assert sorted(os.listdir()) == ["home", "models"]


def test_a_polling_server_sees_that_the_model_changed_though_a_file_is_from_the_future():
    """Triton compares the newest modification time in a model's directory with that of its last poll."""
    publish("one", HEALTHY)
    late = time.time() + 3600
    os.utime(MODEL / "1" / "model.onnx", (late, late))
    inode = (MODEL / "1" / "model.onnx").stat().st_ino
    publish("two", MALIGNANT)
    assert MODEL.stat().st_mtime > late
    assert (MODEL / "1" / "model.onnx").stat().st_ino == inode  # the older version's files are the same ones


def test_labels_of_older_versions_and_other_files_stay():
    publish("one", HEALTHY)
    (MODEL / "notes").mkdir()
    (MODEL / "notes" / "link").symlink_to("nowhere")
    publish("two", MALIGNANT)
    assert (MODEL / label_filename("y", HEALTHY)).read_text() == HEALTHY
    assert (MODEL / "notes" / "link").readlink() == Path("nowhere")


def test_where_there_are_no_hard_links_files_are_copied(monkeypatch):
    def refused(*_arguments: Any, **_options: Any) -> None:
        raise OSError(errno.EPERM, "no links")

    publish("one", HEALTHY)
    monkeypatch.setattr(os, "link", refused)
    publish("two", MALIGNANT)
    assert seen().versions == ((1, b"one"), (2, b"two"))
    assert repository.integrity(PLACE, "m", 2) == ()


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_mixed_state_after_a_failure_at_some_steps(name, capsys):
    tried(name, 11 if name in ("same configuration", "first version") else 23, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_no_mixed_state_after_a_failure_at_every_step(name, capsys):
    tried(name, 1, capsys)


def test_a_refused_move_names_its_target() -> None:
    refused = errors.refused(PermissionError(errno.EACCES, "Permission denied", "staging/small/2", None, "models/small/2"))
    assert refused is not None
    assert refused.where == "models/small/2"
