"""Publishing, promote, rollback and prune by many processes at once, with a reader beside them."""

from __future__ import annotations

import contextlib
import os
import random
import re
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.plain_versions import config, publish
from tritonize import repository
from tritonize.core.errors import TritonizeError
from tritonize.workflows import promotion, pruning

PLACE = Path("models")
MODEL = PLACE / "m"
EXPECTED = {"version-no-earlier", "repository-no-version"}
"""What a change may find after another one: no older version, or one that was pruned in the meantime."""


def act(chance: random.Random) -> None:
    """One change; every version's configuration names its own content."""
    kind = chance.choice(["publish", "publish", "promote", "rollback", "prune"])
    try:
        if kind == "publish":
            mark = chance.randrange(1, 4000)
            publish(PLACE, str(mark), text=config(size=mark), allow_change=chance.random() < 0.5)
        elif kind == "promote":
            promotion.promote(
                promotion.Request(repository=PLACE, model="m", version=chance.choice(repository.versions(PLACE, "m")))
            )
        elif kind == "rollback":
            promotion.rollback(promotion.Request(repository=PLACE, model="m"))
        else:
            (removal,) = pruning.prune(pruning.Request(repository=PLACE, keep=3))
            if removal.error:
                raise removal.error
    except TritonizeError as error:
        if error.code not in EXPECTED and not (error.code == "repository-config-differs" and kind == "publish"):
            raise


def started(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except Exception:  # noqa: BLE001 - printed, and the exit code tells the test
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


def mixed() -> str | None:
    """What a server would find that does not belong together: the policy's version is there, with its own configuration."""
    for _ in range(1000):
        before = MODEL.stat().st_ino
        text, content, number, pinned = "", "missing", 0, None
        with contextlib.suppress(FileNotFoundError):  # the old directory is removed after an exchange, while it is read here
            text = (MODEL / "config.pbtxt").read_text()
            pinned = re.search(r"versions: \[ (\d+) \]", text)
            number = int(pinned[1]) if pinned else max(repository.versions(PLACE, "m"), default=0)
            content = (MODEL / str(number) / "model.onnx").read_text()
        if MODEL.stat().st_ino == before:  # otherwise the directory was exchanged between the reads
            if content == "missing" or (pinned and f"max_batch_size: {content}\n" not in text):
                return f"{text} serves {number}: {content}"
            return None
    return "the directory was exchanged at each of 1000 looks"


@pytest.mark.parametrize("count", [2, 10])
def test_many_processes_change_one_model_and_a_reader_sees_no_mixture(count, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    publish(PLACE, "1", text=config(size=1))

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(60 // count):
            act(chance)

    pids = {started(lambda seed=seed: work(seed)) for seed in range(count)}
    looks, codes = 0, []
    until = time.monotonic() + 120
    while pids and time.monotonic() < until:
        assert mixed() is None
        looks += 1
        for pid in tuple(pids):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                pids.remove(pid)
                codes.append(status)
    assert codes == [0] * count
    assert looks > 100
    for version in repository.versions(PLACE, "m"):
        assert repository.integrity(PLACE, "m", version) == ()
    assert sorted(os.listdir()) == ["home", "models"]
